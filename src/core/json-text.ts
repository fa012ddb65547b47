/** Checks of JSON text from outside, which may be made to harm: nesting, size, integers that a number cannot hold. */
import { StemmaError } from "./error.ts";
import type { Json, Pass } from "./json-pass.ts";
import { refuseText, shortened, tooMany, tooNested } from "./json-refusal.ts";
import { limits } from "./limits.ts";

export function parseText(text: string, what: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const position = /position (\d+)/.exec(reason)?.[1];
    const message = `${what}: expected JSON, found ${shortened(reason)}; send valid JSON text.`;
    const data = position === undefined ? {} : { position: Number(position) };
    throw new StemmaError("json.invalid", message, { data, cause: error });
  }
}

/** Counts brackets outside of strings; no stack, and it ends at the first bracket too many or at the largest size. */
export function checkNesting(text: string, pass: Pass): void {
  const end = Math.min(text.length, limits.payloadBytesMax);
  let depth = 0;
  let inString = false;
  for (let i = 0; i < end; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0x22) inString = !inString;
    else if (inString) i += unit === 0x5c ? 1 : 0;
    else if (unit === 0x5b || unit === 0x7b) {
      if (++depth > pass.depthMax) tooNested(pass);
    } else if (unit === 0x5d || unit === 0x7d) depth--;
  }
}

/** Refuses what could not be written again, makes -0 to 0, and tells whether there are integers beyond 2^53 - 1. */
export function inspect(value: Json, pass: Pass): boolean {
  if (++pass.nodes > pass.nodesMax) tooMany(pass);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) refuseText(pass, "a number too large for a double", "send it as a string");
    return Number.isInteger(value) && !Number.isSafeInteger(value);
  }
  if (typeof value === "string") checkWellFormed(value, pass);
  if (typeof value !== "object" || value === null) return false;
  const at = pass.depth++;
  let beyond = false;
  const visit = (container: Record<string | number, Json>, key: string | number): void => {
    pass.keys[at] = key;
    if (typeof key === "string") checkWellFormed(key, pass);
    if (inspect(container[key] as Json, pass)) beyond = true;
    if (container[key] === 0) container[key] = 0;
  };
  if (Array.isArray(value)) for (let i = 0; i < value.length; i++) visit(value as unknown as Record<number, Json>, i);
  else for (const key of Object.keys(value)) visit(value, key);
  pass.depth = at;
  return beyond;
}

function checkWellFormed(text: string, pass: Pass): void {
  if (!text.isWellFormed()) refuseText(pass, "one half of a surrogate pair", "send whole characters");
}

/**
 * Parses again with the literals at hand: an integer is refused if its digits are neither the exact value of the number
 * nor the digits that the number is written with. Literals with a fraction or an exponent mean a double and may round.
 */
export function checkIntegers(text: string, pass: Pass): void {
  JSON.parse(text, (_key: string, value: unknown, context?: { source?: string }): unknown => {
    if (typeof value !== "number" || Number.isSafeInteger(value) || !Number.isInteger(value)) return value;
    const literal = context?.source ?? "";
    if (literal === String(value) || /[.eE]/.test(literal)) return value;
    if (literal !== "" && BigInt(literal) === BigInt(value)) return value;
    const found = `the integer ${shortened(literal)}, which a number cannot hold exactly`;
    const message = `${pass.what}: expected JSON that can be kept exactly, found ${found}; send it as a string.`;
    throw new StemmaError("json.invalid", message, { data: { literal: shortened(literal) } });
  });
}
