/**
 * What a task changed in its context, as a JSON Merge Patch (RFC 7396). In such a patch null means that a member is taken
 * away; members that really are null are named beside it.
 */
import type { Json } from "../../core/json.ts";

export type ContextPatch = { patch: Json; nulls?: string[][] };

type JsonObject = { [key: string]: Json };

/** What makes `after` of `before`; undefined if they are the same. Both are left as they are. */
export function patchOf(before: Json, after: Json): ContextPatch | undefined {
  const nulls: string[][] = [];
  const patch = difference(before, after, [], nulls);
  if (patch === undefined) return undefined;
  return nulls.length === 0 ? { patch } : { patch, nulls };
}

/** The value with the changes. It may share parts with both. */
export function patched(before: Json, { patch, nulls = [] }: ContextPatch): Json {
  const after = merged(before, patch);
  for (const path of nulls) setNull(after, path);
  return after;
}

function difference(before: Json, after: Json, path: string[], nulls: string[][]): Json | undefined {
  if (!isObject(after) || !isObject(before)) {
    if (isEqual(before, after)) return undefined;
    noteNulls(after, path, nulls);
    return after;
  }
  const patch: JsonObject = {};
  let changed = false;
  for (const key of Object.keys(before)) {
    if (Object.hasOwn(after, key)) continue;
    put(patch, key, null);
    changed = true;
  }
  for (const [key, value] of Object.entries(after)) {
    const old = Object.hasOwn(before, key) ? before[key] : undefined;
    const part =
      old === undefined ? added(value, [...path, key], nulls) : difference(old, value, [...path, key], nulls);
    if (part === undefined) continue;
    put(patch, key, part);
    changed = true;
  }
  return changed ? patch : undefined;
}

function added(value: Json, path: string[], nulls: string[][]): Json {
  noteNulls(value, path, nulls);
  return value;
}

/** A patch cannot say null, so where it is needed is noted. Arrays are taken as they are. */
function noteNulls(value: Json, path: string[], nulls: string[][]): void {
  if (value === null) nulls.push(path);
  else if (isObject(value)) for (const [key, part] of Object.entries(value)) noteNulls(part, [...path, key], nulls);
}

function merged(before: Json, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const after: JsonObject = isObject(before) ? { ...before } : {};
  for (const [key, part] of Object.entries(patch)) {
    if (part === null) delete after[key];
    else put(after, key, merged(Object.hasOwn(after, key) ? (after[key] as Json) : null, part));
  }
  return after;
}

function setNull(value: Json, path: readonly string[]): void {
  let at = value;
  for (const key of path.slice(0, -1)) at = isObject(at) ? (at[key] as Json) : null;
  const last = path.at(-1);
  if (isObject(at) && last !== undefined) put(at, last, null);
}

/** `__proto__` is a key like others. */
function put(object: JsonObject, key: string, value: Json): void {
  Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEqual(a: Json, b: Json): boolean {
  return a === b || (typeof a === "object" && typeof b === "object" && JSON.stringify(a) === JSON.stringify(b));
}
