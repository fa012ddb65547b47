/**
 * The hash of a stored event, from its texts as they are stored. They are canonical already, so nothing has to be read
 * and written again: only the inline values, which enter the hash by their digests, are looked for and replaced.
 */
import type { StoredEvent } from "./chain.ts";
import { valueFields } from "./chain.ts";
import type { Digest } from "./event.ts";
import type { Hash } from "./identity.ts";
import { utf8Length } from "./json.ts";

/** What an inline value begins with. */
export const inline = '{"inline":';
const [quote, backslash, comma] = [0x22, 0x5c, 0x2c];
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];

/**
 * The hash that `seal` gives the event that these texts stand for, if they are as it wrote them; for any other text
 * the hash differs from the recorded one.
 *
 * @param valueHash the same as `hash`, for texts of values, many of which will be hashed again in a short while
 */
export function storedHash(hash: Hash, previous: Digest, stored: StoredEvent, valueHash: Hash = hash): Digest {
  const { seq, at, type, causes, data } = stored;
  return hash(
    `${previous}{"at":${at},"causes":${causes},"data":${sealedText(valueHash, data)},"seq":${seq},"type":${JSON.stringify(type)}}`,
  );
}

/** The text with the inline values of its own named places (not of what is nested in them) replaced by digests. */
function sealedText(hash: Hash, text: string): string {
  if (!text.includes(inline)) return text;
  let result = "";
  let copied = 0;
  // The object's brace, then name, colon and value of each member, with a comma or the last brace behind it.
  for (let at = 1; text.charCodeAt(at) === quote; at += 1) {
    const colon = stringEnd(text, at);
    const start = colon + 1;
    if (colon < 0) break;
    const isInline = text.startsWith(inline, start) && valueFields.has(text.slice(at + 1, colon - 1));
    const from = start + inline.length;
    const to = isInline ? valueEnd(text, from) : -1;
    // Whatever is not exactly an inline value counts as it stands, also one that ends with another bracket.
    if (to >= 0 && text.charCodeAt(to) === closeBrace) {
      const value = text.slice(from, to);
      result += `${text.slice(copied, start)}{"bytes":${utf8Length(value)},"digest":"${hash(value)}"}`;
      copied = to + 1;
      at = copied;
    } else {
      at = valueEnd(text, start);
      if (at < 0) break;
    }
    if (text.charCodeAt(at) !== comma) break;
  }
  return result + text.slice(copied);
}

/** Where the JSON value that begins at `start` ends; -1 where it does not. */
export function valueEnd(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit === quote) {
      at = stringEnd(text, at) - 1;
      if (at < 0) return -1;
      if (depth === 0) return at + 1;
    } else if (unit === openBrace || unit === openBracket) {
      depth += 1;
    } else if (unit === closeBrace || unit === closeBracket) {
      // A number or a word has no end of its own: it ends before what separates it from the next.
      if (depth === 0) return at;
      depth -= 1;
      if (depth === 0) return at + 1;
    } else if (unit === comma && depth === 0) {
      return at;
    }
  }
  return -1;
}

/** Behind the quote that ends the string whose first quote is at `start`; -1 where there is none. */
function stringEnd(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = 0;
    while (text.charCodeAt(end - 1 - escapes) === backslash) escapes += 1;
    if (escapes % 2 === 0) return end + 1;
  }
  return -1;
}
