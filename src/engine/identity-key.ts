/**
 * Keys of maps that have an entry for each step with a declared input, for as long as its run is in hand. A text put
 * together from path and digest would be kept as its parts, several times as large; here it is one string with a
 * character for each byte, and the digest in 32 of them.
 */
import type { Digest } from "../core/event.ts";
import type { Identity } from "../core/identity.ts";
import { identityText, kindText, pathOf } from "../core/identity.ts";

/** Longer paths are rare, and get a key that is larger. */
const bytesMax = 4096;
const digestBytes = 32;
const bytes = Buffer.allocUnsafe(bytesMax);

/** A key for the asks equal in all but their place. */
export function kindKey(scope: string, name: string, input: Digest): string {
  return packed(pathOf(scope, name), input, "") ?? kindText(scope, name, input);
}

/** A key for one identity. */
export function identityKey(identity: Identity): string {
  const { scope, name, input, n } = identity;
  return (input === null ? undefined : packed(pathOf(scope, name), input, `#${n}`)) ?? identityText(identity);
}

/** Digest, path and place in one string, where they fit. No path has a control character, so it begins like no text. */
function packed(path: string, input: Digest, place: string): string | undefined {
  if ((path.length + place.length) * 3 + digestBytes + 1 > bytesMax) return undefined;
  bytes[0] = 0;
  if (bytes.write(input, 1, "hex") !== digestBytes) return undefined;
  let end = 1 + digestBytes;
  end += bytes.write(path, end, "utf8");
  end += bytes.write(place, end, "latin1");
  return bytes.toString("latin1", 0, end);
}
