/** Where two values differ, all places of it up to a number, with what stands there: what a comparison shows. */
import type { Json } from "./json-pass.ts";
import { newPass, trustedDepthMax } from "./json-pass.ts";
import { pathOf, tooNested } from "./json-refusal.ts";
import { isContainer, keysOfBoth, longer, ownValue } from "./json-compare.ts";

/** What stands at a place in each of two values; absent where there is no such place. */
export type JsonDifference = { path: string; a?: Json; b?: Json };

/**
 * The first `max` places, in the order of the canonical text, at which two values differ. Elements of lists are compared
 * with those of the same number.
 *
 * @example
 * differences({ a: 1, b: [1] }, { a: 2, b: [1, 5] }, 10); // [{ path: "$.a", a: 1, b: 2 }, { path: "$.b[1]", b: 5 }]
 */
export function differences(a: Json | undefined, b: Json | undefined, max: number): JsonDifference[] {
  const found: JsonDifference[] = [];
  collect(a, b, [], found, max);
  return found;
}

/** As deep as values are nested, which is bounded. */
function collect(
  a: Json | undefined,
  b: Json | undefined,
  place: (string | number)[],
  found: JsonDifference[],
  max: number,
): void {
  if (a === b || found.length >= max) return;
  if (!isContainer(a) || !isContainer(b) || Array.isArray(a) !== Array.isArray(b)) {
    found.push({ path: pathOf(place), ...(a === undefined ? {} : { a }), ...(b === undefined ? {} : { b }) });
    return;
  }
  if (place.length >= trustedDepthMax) tooNested(newPass("value to compare", true, trustedDepthMax, 0));
  for (const key of Array.isArray(a) && Array.isArray(b) ? longer(a, b).keys() : keysOfBoth(a, b)) {
    place.push(key);
    collect(ownValue(a, key), ownValue(b, key), place, found, max);
    place.pop();
    if (found.length >= max) return;
  }
}
