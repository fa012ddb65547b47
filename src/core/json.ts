/**
 * Strict JSON. Whatever a run records goes through here: one canonical text per value (RFC 8785), so that equal values
 * have equal digests for ever, and a refusal that names the path wherever JSON would silently change the value.
 * Limits on depth and size come before any work, so that no value and no text can exhaust the stack or the memory.
 */
import { differ } from "./json-compare.ts";
import type { Json } from "./json-pass.ts";
import { newPass, trustedDepthMax } from "./json-pass.ts";
import { refuse, refuseText, tooManyBytes } from "./json-refusal.ts";
import { checkIntegers, checkNesting, inspect, parseText } from "./json-text.ts";
import { plainText, run } from "./json-write.ts";
import { limits } from "./limits.ts";

export type { Json } from "./json-pass.ts";

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
  const plain = plainText(value);
  if (plain !== undefined) return plain;
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
 * `bytesMax` UTF-8 bytes (`limits.payloadBytesMax` if left out) or `limits.jsonNodesMax` values.
 */
export function parse(text: string, what: string = "JSON text", bytesMax: number = limits.payloadBytesMax): Json {
  const pass = newPass(what, true, limits.jsonDepthMax, limits.jsonNodesMax);
  checkNesting(text, pass);
  if (text.length > bytesMax || utf8Length(text) > bytesMax) tooManyBytes(pass, bytesMax);
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

// oxlint-disable-next-line no-control-regex -- the first of them is where ASCII begins
const beyondAscii = /[^\u0000-\u007f]/;

/** Bytes of `text` in UTF-8. Half a surrogate pair counts 3, as the replacement character that encoders write for it. */
export function utf8Length(text: string): number {
  if (!beyondAscii.test(text)) return text.length;
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
