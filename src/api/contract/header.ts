/**
 * Any text as a header: headers carry printable ASCII, and keys may be anything. What is more than that is written as
 * RFC 8187 does it (https://www.rfc-editor.org/rfc/rfc8187): `UTF-8''` and percent-encoded bytes.
 */
import { StemmaError } from "../../core/error.ts";

const mark = "UTF-8''";

export function encodeHeader(text: string): string {
  return /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(text) && !text.startsWith(mark)
    ? text
    : mark + encodeURIComponent(text);
}

/** Throws name.invalid. */
export function decodeHeader(header: string): string {
  if (!header.startsWith(mark)) return header;
  try {
    return decodeURIComponent(header.slice(mark.length));
  } catch {
    throw new StemmaError("name.invalid", `Expected percent-encoded UTF-8 behind ${mark} in a header.`);
  }
}
