/** JSON paths as they are printed in messages and typed by people: `$.items[3].name`, also without the `$`. */
import { StemmaError } from "./error.ts";
import type { Json } from "./json-pass.ts";

const part = /\.(?<name>[^.[\]]+)|\[(?:(?<index>\d+)|(?<quoted>"(?:[^"\\]|\\.)*"))\]/uy;

/**
 * The parts of a path, outermost first.
 *
 * @throws StemmaError `usage.invalid`
 * @example pathParts("items[3].name"); // ["items", 3, "name"]
 */
export function pathParts(path: string): (string | number)[] {
  const parts: (string | number)[] = [];
  const text = path.startsWith("$") ? path.slice(1) : path === "" || /^[.[]/.test(path) ? path : `.${path}`;
  part.lastIndex = 0;
  while (part.lastIndex < text.length) {
    const { name, index, quoted } = part.exec(text)?.groups ?? {};
    if (name !== undefined) parts.push(name);
    else if (index !== undefined) parts.push(Number(index));
    else if (quoted !== undefined) parts.push(JSON.parse(quoted) as string);
    else throw new StemmaError("usage.invalid", `Expected a path such as items[3].name, got ${JSON.stringify(path)}.`);
  }
  return parts;
}

/** What stands at a path; undefined where there is nothing. */
export function valueAt(value: Json | undefined, path: string): Json | undefined {
  let at = value;
  for (const key of pathParts(path)) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string | number, Json>)[key];
  }
  return at;
}

/**
 * A copy of the value in which something else stands at a path. Objects that are not there are made; a list takes what
 * it has, or one more.
 *
 * @throws StemmaError `usage.invalid` where the path leads through something that is neither
 */
export function withValueAt(value: Json | undefined, path: string, set: Json): Json {
  return place(value, pathParts(path), 0, set, path);
}

/** As deep as the path is long. */
function place(
  value: Json | undefined,
  parts: readonly (string | number)[],
  at: number,
  set: Json,
  path: string,
): Json {
  const key = parts[at];
  if (key === undefined) return set;
  if (Array.isArray(value) && typeof key === "number" && key <= value.length) {
    const copy = [...value];
    copy[key] = place(value[key], parts, at + 1, set, path);
    return copy;
  }
  const isObject = value === undefined || (typeof value === "object" && value !== null && !Array.isArray(value));
  if (isObject && typeof key === "string") {
    const own = value !== undefined && Object.hasOwn(value, key) ? value[key] : undefined;
    // Not an assignment: a key such as `__proto__` is a key like others.
    return Object.fromEntries([...Object.entries(value ?? {}), [key, place(own, parts, at + 1, set, path)]]);
  }
  const found = value === undefined ? "nothing" : Array.isArray(value) ? `a list of ${value.length}` : typeof value;
  throw new StemmaError(
    "usage.invalid",
    `Expected ${typeof key === "number" ? "a list" : "an object"} for ${JSON.stringify(key)} of ${path}, found ${found}.`,
    { data: { path } },
  );
}
