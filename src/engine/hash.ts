/** SHA-256, given to `core`, which does no hashing of its own because it also runs where there is no node:crypto. */
import { hash as nodeHash } from "node:crypto";
import type { Digest } from "../core/event.ts";

/** Digest of UTF-8 text as 64 hexadecimal digits (FIPS 180-4). */
export function sha256(text: string): Digest {
  return nodeHash("sha256", text, "hex");
}

/** Texts up to this length are remembered, so many of them at most. */
const shortMax = 128;
const rememberedMax = 256;

/**
 * The same, for many texts of which some come again and again: the inputs and outputs of a run often are a few short
 * texts, and to look one up takes a fraction of hashing it.
 */
export function rememberingSha256(): (text: string) => Digest {
  const known = new Map<string, Digest>();
  return (text) => {
    if (text.length > shortMax) return sha256(text);
    let digest = known.get(text);
    if (digest === undefined) {
      digest = sha256(text);
      if (known.size === rememberedMax) known.clear();
      known.set(text, digest);
    }
    return digest;
  };
}
