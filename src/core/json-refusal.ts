/** How values and texts are refused: with the path, what was found there, and what to do instead. */
import { StemmaError } from "./error.ts";
import type { Pass } from "./json-pass.ts";
import { textCharsMax } from "./json-pass.ts";

/** What JSON would lose, and what to do instead. */
const remedies: Record<string, string> = {
  NaN: "use null or a string",
  Infinity: "use null or a string",
  "-Infinity": "use null or a string",
  "-0": "use 0",
  bigint: "use a string, for example String(value)",
  symbol: "use a string",
  function: "leave it out; values are data, not code",
  undefined: "use null",
  hole: "fill it, for example with null",
  "property of an array": "use an object",
  "symbol key": "use a string key",
  "lone surrogate": "use base64 for binary data, or text.toWellFormed()",
  "invalid Date": "use null, or check the date before",
  cycle: "refer to it by an id",
  "code that throws": "pass plain data",
  Map: "use Object.fromEntries(map)",
  Set: "use an array, [...set]",
  Error: "use { name: error.name, message: error.message }",
  RegExp: "use its source, a string",
  Promise: "await it first",
};

export function refuse(pass: Pass, type: string, found: string, cause?: unknown): never {
  const path = pathOf(pass.keys.slice(0, pass.depth));
  // A class may be named "constructor" or "toString"; only own names of the table count.
  const known = Object.hasOwn(remedies, type) ? remedies[type] : undefined;
  const remedy = known ?? "use a plain object, or give the class a toJSON";
  const message = `${pass.what}: expected a JSON value, found ${found} at ${path}; ${remedy}.`;
  const options = cause === undefined ? { data: { path, type } } : { data: { path, type }, cause };
  return fail(pass, new StemmaError("json.not_serializable", message, options));
}

export function fail(pass: Pass, error: StemmaError): never {
  pass.refusal = error;
  throw error;
}

export function refuseInstance(value: object, pass: Pass): never {
  const name = classOf(value);
  return refuse(pass, name, `an instance of ${name}`);
}

export function refuseArray(array: readonly unknown[], own: readonly string[], pass: Pass): never {
  const hole = own.findIndex((key, i) => key !== String(i));
  const first = hole === -1 ? own.length : hole;
  pass.keys[pass.depth++] = first < array.length ? first : (own[first] ?? "");
  if (first < array.length) refuse(pass, "hole", "a hole in an array");
  return refuse(pass, "property of an array", "a property on an array");
}

/** Too many elements; if one of the first that could be looked at is a hole, that is the more useful thing to say. */
export function refuseLongArray(array: readonly unknown[], pass: Pass): never {
  const end = Math.min(array.length, pass.nodesMax);
  for (let i = 0; i < end; i++) {
    if (i in array) continue;
    pass.keys[pass.depth++] = i;
    refuse(pass, "hole", "a hole in an array");
  }
  return tooMany(pass);
}

/** Symbols that are not enumerable mark an object for its library and are no part of the value, like other such keys. */
export function refuseSymbolKey(value: object, pass: Pass): void {
  const isEnumerable = (key: symbol): boolean => Object.prototype.propertyIsEnumerable.call(value, key);
  const symbol = Object.getOwnPropertySymbols(value).find(isEnumerable);
  if (symbol === undefined) return;
  pass.keys[pass.depth++] = String(symbol);
  refuse(pass, "symbol key", "a property whose key is a symbol");
}

export function tooDeep(value: object, pass: Pass): never {
  const chain = [...pass.above.slice(0, pass.depth), value];
  const again = chain.findIndex((container, i) => chain.indexOf(container) < i);
  if (again === -1) return tooNested(pass);
  const first = chain.indexOf(chain[again] as object);
  pass.depth = again;
  return refuse(pass, "cycle", `a cycle (the object at ${pathOf(pass.keys.slice(0, first))} again)`);
}

export function tooNested(pass: Pass): never {
  const message = `${pass.what}: expected at most ${pass.depthMax} levels of nesting, found more; make it flatter.`;
  return fail(pass, new StemmaError("json.too_deep", message, { data: { depthMax: pass.depthMax } }));
}

export function tooMany(pass: Pass): never {
  return tooLarge(pass, pass.nodesMax, "values");
}

export function tooLong(pass: Pass): never {
  return tooLarge(pass, textCharsMax, "characters of JSON text");
}

export function tooManyBytes(pass: Pass, max: number): never {
  return tooLarge(pass, max, "bytes of JSON text");
}

function tooLarge(pass: Pass, max: number, unit: string): never {
  const message = `${pass.what}: expected at most ${max} ${unit}, found more; split it, or store it elsewhere and refer to it.`;
  return fail(pass, new StemmaError("payload.too_large", message, { data: { max, unit } }));
}

export function refuseText(pass: Pass, found: string, remedy: string): never {
  const path = pathOf(pass.keys.slice(0, pass.depth));
  const message = `${pass.what}: expected JSON that can be kept exactly, found ${found} at ${path}; ${remedy}.`;
  return fail(pass, new StemmaError("json.invalid", message, { data: { path } }));
}

/** Name of the class of `value`, for messages: of the built-in kind, else of its constructor. */
export function classOf(value: object): string {
  const builtIn = Object.prototype.toString.call(value).slice(8, -1);
  if (builtIn !== "Object" && builtIn !== "Array") return builtIn;
  const maker: unknown = (value as { constructor?: unknown }).constructor;
  return typeof maker === "function" && maker.name !== "" ? maker.name : "an unnamed class";
}

export function describeThrown(error: unknown): string {
  try {
    return shortened(String(error));
  } catch {
    return "something that cannot be shown";
  }
}

/** JSON path as in `$.items[3].price`; keys that are no identifiers are quoted: `$["a b"]`. */
export function pathOf(keys: readonly (string | number)[]): string {
  const parts = keys.map((key) => {
    if (typeof key === "number") return `[${key}]`;
    return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${shortened(key)}` : `[${JSON.stringify(shortened(key))}]`;
  });
  return `$${parts.join("")}`;
}

/** Messages are for people: a key or a text of a megabyte does not help them. */
export function shortened(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
