/** Where in a value another one is found again. */
import type { Json } from "./json-pass.ts";
import { equal } from "./json.ts";

/** Parts of a value that are looked at. */
const partsMax = 100_000;

/**
 * The path of the first place, outermost first, where `needle` stands in `value`; undefined where it does not, and where
 * it is such that finding it says nothing: null, a boolean, an empty text or list, a number of one digit.
 *
 * @example placeOf({ items: [{ licence: "MIT" }] }, "MIT"); // "$.items[0].licence"
 */
export function placeOf(value: Json, needle: Json): string | undefined {
  if (!tells(needle)) return undefined;
  let level: [path: string, value: Json][] = [["$", value]];
  let looked = 0;
  while (level.length > 0 && looked < partsMax) {
    const next: typeof level = [];
    for (const [path, part] of level) {
      looked += 1;
      if (typeof part === typeof needle && equal(part, needle)) return path;
      if (typeof part !== "object" || part === null) continue;
      if (Array.isArray(part)) for (const [i, item] of part.entries()) next.push([`${path}[${i}]`, item]);
      else for (const [key, item] of Object.entries(part)) if (item !== undefined) next.push([pathTo(path, key), item]);
    }
    level = next;
  }
  return undefined;
}

/** Whether finding the value somewhere else says that it came from there. */
export function tells(value: Json): boolean {
  if (typeof value === "string") return value !== "";
  if (typeof value === "number") return !Number.isInteger(value) || Math.abs(value) > 9;
  return typeof value === "object" && value !== null && Object.keys(value).length > 0;
}

function pathTo(path: string, key: string): string {
  return /^[^.[\]"\\]+$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
}
