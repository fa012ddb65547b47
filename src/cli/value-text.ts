/** Recorded values as text: short ones on a line, large ones by their size, and whole where somebody asks for that. */
import type { Digest, Value } from "../core/event.ts";
import type { Json } from "../core/json.ts";
import { bytesText } from "./look.ts";
import { jsonText, shorten } from "./terminal.ts";

/** Texts of the payloads that were loaded, by digest; values that are not among them are shown by their size. */
export type Texts = ReadonlyMap<Digest, string>;

/** The value on one line of at most `charsMax` characters; empty for `undefined`. */
export function shortText(value: Value | undefined, texts: Texts, charsMax: number): string {
  if (value === undefined || "undefined" in value) return "";
  if ("inline" in value) return shorten(jsonText(value.inline), charsMax);
  return texts.has(value.digest)
    ? shorten(jsonText(parsed(value, texts)), charsMax)
    : `${bytesText(value.bytes)} of JSON`;
}

/** The value in full, indented. */
export function fullLines(value: Value | undefined, texts: Texts): string[] {
  if (value === undefined || "undefined" in value) return [];
  if ("inline" in value) return jsonText(value.inline, 2).split("\n");
  if (!texts.has(value.digest))
    return [`${bytesText(value.bytes)} of JSON that are not in the store any more (${value.digest})`];
  return jsonText(parsed(value, texts), 2).split("\n");
}

/**
 * The value for programs, under the given name: as JSON where it is at hand, else as its digest and size. `undefined`
 * is left out, as JSON has no word for it.
 */
export function valueFields(name: string, value: Value | undefined, texts: Texts): { [key: string]: Json } {
  if (value === undefined || "undefined" in value) return {};
  if ("inline" in value) return { [name]: value.inline };
  if (texts.has(value.digest)) return { [name]: parsed(value, texts) };
  return { [`${name}Digest`]: value.digest, [`${name}Bytes`]: value.bytes };
}

/** Digests of the values that are kept apart from their events. */
export function digestsOf(values: readonly (Value | undefined)[]): Digest[] {
  const digests = values.flatMap((value) => (value !== undefined && "digest" in value ? [value.digest] : []));
  return [...new Set(digests)];
}

function parsed(value: { digest: Digest }, texts: Texts): Json {
  return JSON.parse(texts.get(value.digest) ?? "null") as Json;
}
