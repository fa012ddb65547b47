/**
 * Digests as the file keeps them: 32 bytes instead of 64 digits, and for looking reuse keys up one integer, because an
 * index over digests would cost as much as many a step's output.
 */
import { hash } from "node:crypto";

import { StemmaError } from "../../core/error.ts";
import type { Digest, RunId } from "../../core/event.ts";

export function isDigest(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

export function bytesOf(digest: Digest): Uint8Array {
  // What is no hexadecimal digit ends the bytes, so they are 32 exactly if all digits are good.
  const bytes = Buffer.from(digest, "hex");
  if (digest.length === 64 && bytes.length === 32) return bytes;
  throw new StemmaError("engine.bug", `Expected a digest of 64 hexadecimal digits, got ${digest.length} characters.`);
}

export function digestOf(bytes: Uint8Array): Digest {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

/** The first 63 bits of SHA-256 over family and key, which SQLite keeps as an integer. Whoever finds it compares both. */
export function reuseNumber(family: RunId, key: Digest): bigint {
  // By its digits, because a buffer for each costs more than the hash.
  return BigInt(`0x${hash("sha256", `${family} ${key}`, "hex").slice(0, 16)}`) >> 1n;
}
