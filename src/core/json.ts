/**
 * Strict JSON. Whatever a run records goes through here: one canonical text per value (RFC 8785), so that equal values
 * have equal digests for ever, and a refusal that names the path wherever JSON would silently change the value.
 * Limits on depth and size come before any work, so that no value and no text can exhaust the stack or the memory.
 */

import { StemmaError } from "./error.ts";
import { limits } from "./limits.ts";

/** A value that survives being written as JSON and read again. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/**
 * State of one pass. `keys[0 … depth-1]` leads to the value at hand and `above[0 … depth-1]` are the containers it is
 * in. They are filled as the pass goes and read only to word a refusal, so that no path is made for values that pass.
 */
interface Pass {
  readonly what: string;
  readonly trusted: boolean;
  readonly depthMax: number;
  readonly nodesMax: number;
  readonly keys: (string | number)[];
  readonly above: object[];
  depth: number;
  nodes: number;
  refusal: StemmaError | undefined;
}

/** Text of one value before its bytes are judged; a bound far below the longest string of any engine. */
const textCharsMax = 64 * 1024 * 1024;

/** Records of ours wrap a value of the full depth in a few levels; they must still be writable and comparable. */
const trustedDepthMax = limits.jsonDepthMax + 32;

/** What a string must not contain to be its own JSON text: quote, backslash, controls, surrogates. */
// oxlint-disable-next-line no-control-regex -- control characters are what must be found
const needsCare = /["\\\u0000-\u001f\ud800-\udfff]/;

/**
 * The canonical JSON text (RFC 8785) of `value`; `undefined` for `undefined`, which is a value of its own.
 *
 * One pass validates and writes. Properties that are `undefined` are left out and `toJSON` is honoured, as by
 * `JSON.stringify`, and so a Date becomes its ISO string. Properties that are not enumerable are no part of the value,
 * as for `structuredClone`. An accessor is read exactly once: telling it apart from data would cost a descriptor for
 * every property of every value, and one read cannot disagree with itself.
 *
 * @param what names the value in messages, for example `output of step charge`.
 * @throws StemmaError `json.not_serializable` with `{ path, type }` for all that JSON would lose or change,
 * `json.too_deep` beyond `limits.jsonDepthMax`, `payload.too_large` beyond `limits.jsonNodesMax` values.
 * @example
 * encode({ b: 1, a: [true, "x"] }); // '{"a":[true,"x"],"b":1}'
 * encode({ price: NaN }, "output of step charge"); // throws: … NaN at $.price …
 */
export function encode(value: unknown, what: string = "value"): string | undefined {
  return run(value, newPass(what, false, limits.jsonDepthMax, limits.jsonNodesMax));
}

/**
 * The canonical text (RFC 8785) of a value that is known to be JSON. -0 becomes 0, as the RFC says, and some levels
 * more than `limits.jsonDepthMax` are allowed, for records that contain a value.
 *
 * @throws StemmaError as {@link encode}, should the value not be JSON after all.
 */
export function canonical(value: Json): string {
  const pass = newPass("value", true, trustedDepthMax, Number.POSITIVE_INFINITY);
  return run(value, pass) ?? refuse(pass, "undefined", "undefined");
}

/**
 * Reads text that Stemma wrote itself, so nothing but its syntax is checked.
 *
 * @throws StemmaError `json.invalid` if it is no JSON text.
 */
export function decode(text: string): Json {
  return parseText(text, "recorded value");
}

/**
 * Reads JSON text that comes from outside: a request, a file, a command line. What it returns can always be written
 * again by {@link encode}; for that, -0 is read as 0. Nesting is counted on the text before it is parsed, because
 * engines parse what they can no longer write. Of equal keys the last one counts. A key `__proto__` is a key like others.
 *
 * @param what names the text in messages, for example `body of POST /runs`.
 * @throws StemmaError `json.invalid` for bad syntax, for integers that a number cannot hold exactly, for numbers too
 * large for a double and for lone surrogates; `json.too_deep` beyond `limits.jsonDepthMax`; `payload.too_large` beyond
 * `limits.payloadBytesMax` UTF-8 bytes or `limits.jsonNodesMax` values.
 */
export function parse(text: string, what: string = "JSON text"): Json {
  const pass = newPass(what, true, limits.jsonDepthMax, limits.jsonNodesMax);
  checkNesting(text, pass);
  if (text.length > limits.payloadBytesMax || utf8Length(text) > limits.payloadBytesMax) tooManyBytes(pass);
  if (!text.isWellFormed()) refuseText(pass, "one half of a surrogate pair in the text", "send well-formed text");
  const value = parseText(text, what);
  if (inspect(value, pass)) checkIntegers(text, pass);
  return value === 0 ? 0 : value;
}

/** Whether two values have the same canonical text; the order of keys does not matter. */
export function equal(a: Json, b: Json): boolean {
  return differ(a, b, []) === undefined;
}

/**
 * JSON path of the first place, in the order of the canonical text, where two values differ; `undefined` if they are
 * equal. If one of the roots is missing or of another kind, that is `$`.
 *
 * @example
 * firstDifference({ items: [1, 2] }, { items: [1, 3] }); // "$.items[1]"
 */
export function firstDifference(a: Json | undefined, b: Json | undefined): string | undefined {
  return differ(a, b, []);
}

/** Bytes of `text` in UTF-8. Half a surrogate pair counts 3, as the replacement character that encoders write for it. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    bytes += unit < 0x800 ? 1 : 2;
    // A whole pair is two units and four bytes, and the two more have just been added with its first unit.
    if ((unit & 0xfc00) === 0xd800 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) i++;
  }
  return bytes;
}

function newPass(what: string, trusted: boolean, depthMax: number, nodesMax: number): Pass {
  return { what, trusted, depthMax, nodesMax, keys: [], above: [], depth: 0, nodes: 0, refusal: undefined };
}

function run(value: unknown, pass: Pass): string | undefined {
  try {
    return write(value, pass);
  } catch (error) {
    if (pass.refusal !== undefined && error === pass.refusal) throw error;
    // Code of the value itself threw: a getter, a toJSON, a trap of a Proxy.
    return refuse(pass, "code that throws", `code of the value that throws (${describeThrown(error)})`, error);
  }
}

function write(value: unknown, pass: Pass): string | undefined {
  if (++pass.nodes > pass.nodesMax) tooMany(pass);
  switch (typeof value) {
    case "string":
      return quote(value, pass);
    case "number":
      return writeNumber(value, pass);
    case "boolean":
      return value ? "true" : "false";
    case "object":
      return value === null ? "null" : writeObject(value, pass);
    case "undefined":
      return undefined;
    default:
      return refuse(pass, typeof value, `a ${typeof value}`);
  }
}

function writeNumber(value: number, pass: Pass): string {
  if (value === 0) return pass.trusted || 1 / value > 0 ? "0" : refuse(pass, "-0", "-0");
  // Only NaN and the infinities do not give 0 here. The number format of ES is the one of RFC 8785.
  return value - value === 0 ? String(value) : refuse(pass, String(value), String(value));
}

function quote(text: string, pass: Pass): string {
  if (!needsCare.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) return refuse(pass, "lone surrogate", "a string with one half of a surrogate pair");
  // For well-formed text JSON.stringify escapes exactly what RFC 8785 escapes, in the same spelling.
  return JSON.stringify(text);
}

function writeObject(value: object, pass: Pass): string | undefined {
  // Before the value is touched: it bounds the recursion and ends every cycle.
  if (pass.depth >= pass.depthMax) tooDeep(value, pass);
  const toJSON = (value as { toJSON?: unknown }).toJSON;
  if (typeof toJSON !== "function") return writeContainer(value, pass);
  const key = pass.depth === 0 ? "" : String(pass.keys[pass.depth - 1]);
  const made: unknown = toJSON.call(value, key);
  if (made === null && classOf(value) === "Date") refuse(pass, "invalid Date", "an invalid Date");
  return typeof made === "object" && made !== null ? writeContainer(made, pass) : write(made, pass);
}

function writeContainer(value: object, pass: Pass): string {
  return Array.isArray(value) ? writeArray(value, pass) : writeProperties(value, pass);
}

function writeArray(array: readonly unknown[], pass: Pass): string {
  const length = array.length;
  if (length > pass.nodesMax - pass.nodes) refuseLongArray(array, pass);
  const prototype: unknown = Object.getPrototypeOf(array);
  if (prototype !== Array.prototype && !isForeignPrototype(prototype, "Array")) refuseInstance(array, pass);
  // Own indices come first and ascend, so an array is dense and bare exactly if it has as many keys as elements and
  // the last key is the last index.
  const own = Object.keys(array);
  if (own.length !== length || (length > 0 && own[length - 1] !== String(length - 1))) refuseArray(array, own, pass);
  if (Object.getOwnPropertySymbols(array).length > 0) refuseSymbolKey(array, pass);
  const at = pass.depth++;
  pass.above[at] = array;
  let text = "";
  for (let i = 0; i < length; i++) {
    pass.keys[at] = i;
    const item = write(array[i], pass) ?? refuse(pass, "undefined", "undefined in an array");
    text += i === 0 ? item : `,${item}`;
    if (text.length > textCharsMax) tooLong(pass);
  }
  pass.depth = at;
  return `[${text}]`;
}

function writeProperties(value: object, pass: Pass): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null && !isForeignPrototype(prototype, "Object")) {
    refuseInstance(value, pass);
  }
  if (Object.getOwnPropertySymbols(value).length > 0) refuseSymbolKey(value, pass);
  const own = Object.keys(value);
  if (own.length > pass.nodesMax - pass.nodes) tooMany(pass);
  const at = pass.depth++;
  pass.above[at] = value;
  let text = "";
  for (const key of sorted(own)) {
    pass.keys[at] = key;
    const item = write((value as Record<string, unknown>)[key], pass);
    if (item === undefined) continue;
    text += text === "" ? `${quote(key, pass)}:${item}` : `,${quote(key, pass)}:${item}`;
    if (text.length > textCharsMax) tooLong(pass);
  }
  pass.depth = at;
  return `{${text}}`;
}

/** The keys, which may be moved, in the order of their UTF-16 code units (RFC 8785 section 3.2.3). */
function sorted(keys: string[]): string[] {
  // Few keys are the rule, and for few keys insertion is several times faster than the general sort.
  if (keys.length > 24) return keys.toSorted();
  for (let i = 1; i < keys.length; i++) {
    const key = keys[i] as string;
    let to = i;
    for (; to > 0 && (keys[to - 1] as string) > key; to--) keys[to] = keys[to - 1] as string;
    keys[to] = key;
  }
  return keys;
}

/** Whether `prototype` is the Array.prototype or Object.prototype of another realm (a vm context, a test runner). */
function isForeignPrototype(prototype: unknown, name: "Array" | "Object"): boolean {
  if (typeof prototype !== "object" || prototype === null) return false;
  if (name === "Array")
    return Array.isArray(prototype) && isForeignPrototype(Object.getPrototypeOf(prototype), "Object");
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, "isPrototypeOf");
}

function parseText(text: string, what: string): Json {
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
function checkNesting(text: string, pass: Pass): void {
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
function inspect(value: Json, pass: Pass): boolean {
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
function checkIntegers(text: string, pass: Pass): void {
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

/** `place` is where `a` and `b` are; it is one stack for the whole comparison. */
function differ(a: Json | undefined, b: Json | undefined, place: (string | number)[]): string | undefined {
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

function isContainer(value: Json | undefined): value is Json[] | { [key: string]: Json } {
  return typeof value === "object" && value !== null;
}

function longer(a: Json[], b: Json[]): Json[] {
  return a.length > b.length ? a : b;
}

function keysOfBoth(a: object, b: object): string[] {
  return sorted([...new Set([...Object.keys(a), ...Object.keys(b)])]);
}

/** An own property only: a key such as `toString` or `__proto__` must not find what every object inherits. */
function ownValue(container: object, key: string | number): Json | undefined {
  return Object.hasOwn(container, key) ? (container as Record<string | number, Json>)[key] : undefined;
}

// What JSON would lose, and what to do instead.

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

function refuse(pass: Pass, type: string, found: string, cause?: unknown): never {
  const path = pathOf(pass.keys.slice(0, pass.depth));
  const remedy = remedies[type] ?? "use a plain object, or give the class a toJSON";
  const message = `${pass.what}: expected a JSON value, found ${found} at ${path}; ${remedy}.`;
  const options = cause === undefined ? { data: { path, type } } : { data: { path, type }, cause };
  return fail(pass, new StemmaError("json.not_serializable", message, options));
}

function fail(pass: Pass, error: StemmaError): never {
  pass.refusal = error;
  throw error;
}

function refuseInstance(value: object, pass: Pass): never {
  const name = classOf(value);
  return refuse(pass, name, `an instance of ${name}`);
}

function refuseArray(array: readonly unknown[], own: readonly string[], pass: Pass): never {
  const hole = own.findIndex((key, i) => key !== String(i));
  const first = hole === -1 ? own.length : hole;
  pass.keys[pass.depth++] = first < array.length ? first : (own[first] ?? "");
  if (first < array.length) refuse(pass, "hole", "a hole in an array");
  return refuse(pass, "property of an array", "a property on an array");
}

/** Too many elements; if one of the first that could be looked at is a hole, that is the more useful thing to say. */
function refuseLongArray(array: readonly unknown[], pass: Pass): never {
  const end = Math.min(array.length, pass.nodesMax);
  for (let i = 0; i < end; i++) {
    if (i in array) continue;
    pass.keys[pass.depth++] = i;
    refuse(pass, "hole", "a hole in an array");
  }
  return tooMany(pass);
}

/** Symbols that are not enumerable mark an object for its library and are no part of the value, like other such keys. */
function refuseSymbolKey(value: object, pass: Pass): void {
  const isEnumerable = (key: symbol): boolean => Object.prototype.propertyIsEnumerable.call(value, key);
  const symbol = Object.getOwnPropertySymbols(value).find(isEnumerable);
  if (symbol === undefined) return;
  pass.keys[pass.depth++] = String(symbol);
  refuse(pass, "symbol key", "a property whose key is a symbol");
}

function tooDeep(value: object, pass: Pass): never {
  const chain = [...pass.above.slice(0, pass.depth), value];
  const again = chain.findIndex((container, i) => chain.indexOf(container) < i);
  if (again === -1) return tooNested(pass);
  const first = chain.indexOf(chain[again] as object);
  pass.depth = again;
  return refuse(pass, "cycle", `a cycle (the object at ${pathOf(pass.keys.slice(0, first))} again)`);
}

function tooNested(pass: Pass): never {
  const message = `${pass.what}: expected at most ${pass.depthMax} levels of nesting, found more; make it flatter.`;
  return fail(pass, new StemmaError("json.too_deep", message, { data: { depthMax: pass.depthMax } }));
}

function tooMany(pass: Pass): never {
  return tooLarge(pass, pass.nodesMax, "values");
}

function tooLong(pass: Pass): never {
  return tooLarge(pass, textCharsMax, "characters of JSON text");
}

function tooManyBytes(pass: Pass): never {
  return tooLarge(pass, limits.payloadBytesMax, "bytes of JSON text");
}

function tooLarge(pass: Pass, max: number, unit: string): never {
  const message = `${pass.what}: expected at most ${max} ${unit}, found more; split it, or store it elsewhere and refer to it.`;
  return fail(pass, new StemmaError("payload.too_large", message, { data: { max, unit } }));
}

function refuseText(pass: Pass, found: string, remedy: string): never {
  const path = pathOf(pass.keys.slice(0, pass.depth));
  const message = `${pass.what}: expected JSON that can be kept exactly, found ${found} at ${path}; ${remedy}.`;
  return fail(pass, new StemmaError("json.invalid", message, { data: { path } }));
}

/** Name of the class of `value`, for messages: of the built-in kind, else of its constructor. */
function classOf(value: object): string {
  const builtIn = Object.prototype.toString.call(value).slice(8, -1);
  if (builtIn !== "Object" && builtIn !== "Array") return builtIn;
  const maker: unknown = (value as { constructor?: unknown }).constructor;
  return typeof maker === "function" && maker.name !== "" ? maker.name : "an unnamed class";
}

function describeThrown(error: unknown): string {
  try {
    return shortened(String(error));
  } catch {
    return "something that cannot be shown";
  }
}

/** JSON path as in `$.items[3].price`; keys that are no identifiers are quoted: `$["a b"]`. */
function pathOf(keys: readonly (string | number)[]): string {
  const parts = keys.map((key) => {
    if (typeof key === "number") return `[${key}]`;
    return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${shortened(key)}` : `[${JSON.stringify(shortened(key))}]`;
  });
  return `$${parts.join("")}`;
}

/** Messages are for people: a key or a text of a megabyte does not help them. */
function shortened(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
