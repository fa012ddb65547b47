/** The canonical writer (RFC 8785): one pass that validates and writes. */
import type { Pass } from "./json-pass.ts";
import { textCharsMax } from "./json-pass.ts";
import {
  classOf,
  describeThrown,
  refuse,
  refuseArray,
  refuseInstance,
  refuseLongArray,
  refuseSymbolKey,
  tooDeep,
  tooLong,
  tooMany,
} from "./json-refusal.ts";

/** What a string must not contain to be its own JSON text: quote, backslash, controls, surrogates. */
// oxlint-disable-next-line no-control-regex -- control characters are what must be found
const needsCare = /["\\\u0000-\u001f\ud800-\udfff]/;

/**
 * The text of a value that needs no pass, because it is written as it is; undefined for all others. Most of what an event
 * says is of this kind.
 */
export function plainText(value: unknown): string | undefined {
  if (typeof value === "string") return needsCare.test(value) ? undefined : `"${value}"`;
  if (typeof value === "number") return Number.isSafeInteger(value) ? String(value) : undefined;
  return undefined;
}

export function run(value: unknown, pass: Pass): string | undefined {
  try {
    return write(value, pass);
  } catch (error) {
    if (pass.refusal !== undefined && error === pass.refusal) throw error;
    // Code of the value itself threw: a getter, a toJSON, a trap of a Proxy.
    return refuse(pass, "code that throws", `code of the value that throws (${describeThrown(error)})`, error);
  }
}

export function write(value: unknown, pass: Pass): string | undefined {
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

export function quote(text: string, pass: Pass): string {
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
export function sorted(keys: string[]): string[] {
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
