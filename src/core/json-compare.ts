/** Where two values differ, in the order in which they are written. */
import type { Json } from "./json-pass.ts";
import { newPass, trustedDepthMax } from "./json-pass.ts";
import { pathOf, tooNested } from "./json-refusal.ts";
import { sorted } from "./json-write.ts";

/** `place` is where `a` and `b` are; it is one stack for the whole comparison. */
export function differ(a: Json | undefined, b: Json | undefined, place: (string | number)[]): string | undefined {
  if (a === b) return undefined;
  if (!isContainer(a) || !isContainer(b) || Array.isArray(a) !== Array.isArray(b)) return pathOf(place);
  if (place.length >= trustedDepthMax) tooNested(newPass("value to compare", true, trustedDepthMax, 0));
  for (const key of Array.isArray(a) && Array.isArray(b) ? longer(a, b).keys() : keysOfBoth(a, b)) {
    place.push(key);
    const found = differ(ownValue(a, key), ownValue(b, key), place);
    if (found !== undefined) return found;
    place.pop();
  }
  return undefined;
}

export function isContainer(value: Json | undefined): value is Json[] | { [key: string]: Json } {
  return typeof value === "object" && value !== null;
}

export function longer(a: Json[], b: Json[]): Json[] {
  return a.length > b.length ? a : b;
}

export function keysOfBoth(a: object, b: object): string[] {
  return sorted([...new Set([...Object.keys(a), ...Object.keys(b)])]);
}

/** An own property only: a key such as `toString` or `__proto__` must not find what every object inherits. */
export function ownValue(container: object, key: string | number): Json | undefined {
  return Object.hasOwn(container, key) ? (container as Record<string | number, Json>)[key] : undefined;
}
