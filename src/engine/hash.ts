/** SHA-256, given to `core`, which does no hashing of its own because it also runs where there is no node:crypto. */
import { hash as nodeHash } from "node:crypto";
import type { Digest } from "../core/event.ts";

/** Digest of UTF-8 text as 64 hexadecimal digits (FIPS 180-4). */
export function sha256(text: string): Digest {
  return nodeHash("sha256", text, "hex");
}

/** Texts of values whose digests are kept for a while, and how long such a text may be, in characters. */
const keptMax = 2048;
const keptCharsMax = 512;
let young = new Map<string, Digest>();
let old: ReadonlyMap<string, Digest> = new Map();

/**
 * Digest of the text of a value that is likely to be needed again soon: what a step was given stands in its event too,
 * and what a source has on record stands in the record of whoever reuses it.
 */
export function rememberedDigest(text: string): Digest {
  if (text.length > keptCharsMax) return sha256(text);
  const known = young.get(text) ?? old.get(text);
  if (known !== undefined) return known;
  const digest = sha256(text);
  if (young.size >= keptMax) [old, young] = [young, new Map()];
  young.set(text, digest);
  return digest;
}

/** Digest of the text of a value, from what is kept if it is there. Nothing is kept for it. */
export function valueDigest(text: string): Digest {
  const known = text.length > keptCharsMax ? undefined : (young.get(text) ?? old.get(text));
  return known ?? sha256(text);
}
