/** Numbers that count something, as callers give them. */
import { StemmaError } from "../core/error.ts";

/** Gives the number. Throws usage.invalid where it is none that counts, or not from `min` to `max`. */
export function checkWhole(given: number, name: string, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(given) && given >= min && given <= max) return given;
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min} on` : `from ${min} to ${max}`;
  throw new StemmaError("usage.invalid", `Expected ${name} to be a whole number ${range}, got ${String(given)}.`);
}
