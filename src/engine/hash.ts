/** SHA-256, given to `core`, which does no hashing of its own because it also runs where there is no node:crypto. */
import { hash as nodeHash } from "node:crypto";
import type { Digest } from "../core/event.ts";

/** Digest of UTF-8 text as 64 hexadecimal digits (FIPS 180-4). */
export function sha256(text: string): Digest {
  return nodeHash("sha256", text, "hex");
}
