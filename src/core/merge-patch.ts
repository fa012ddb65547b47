/** JSON Merge Patch (RFC 7396): changes to a value, written as the value that they are about. */
import type { Json } from "./json.ts";

/**
 * The value with the patch applied: objects are merged, `null` takes a property away, anything else replaces what is
 * there. Neither argument is changed.
 *
 * @example mergePatch({ a: 1, b: { c: 2, d: 3 } }, { a: 5, b: { c: null } }); // { a: 5, b: { d: 3 } }
 */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const merged = new Map<string, Json>(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}

function isObject(value: Json | undefined): value is { [name: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
