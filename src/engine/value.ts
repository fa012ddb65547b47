/**
 * Values on their way into the journal and out of it. What a body receives is always decoded from the recorded text,
 * live and in recall alike: a `Date` comes back as a string both times, and nobody can change a recorded value through
 * a reference they kept.
 */
import { inspect } from "node:util";
import { StemmaError } from "../core/error.ts";
import type { Digest, Value } from "../core/event.ts";
import { decode, encode, utf8Length } from "../core/json.ts";
import { limits } from "../core/limits.ts";
import type { Payload } from "../store/store.ts";
import { rememberedDigest, sha256 } from "./hash.ts";

/** A value in canonical text (`undefined` where it was undefined), and what an event holds of it. */
export type Encoded = { text: string | undefined; value: Value; payload?: Payload };

/**
 * Encodes a value strictly.
 *
 * @param what for messages: "output of step charge"
 * @throws json.not_serializable, json.too_deep, payload.too_large
 */
export function toValue(input: unknown, what: string): Encoded {
  const text = encode(input, what);
  if (text === undefined) return { text, value: { undefined: true } };
  // A UTF-16 code unit takes at most three bytes, so most texts need no counting.
  const bytes = text.length * 3 <= limits.inlineBytesMax ? text.length : utf8Length(text);
  if (bytes > limits.payloadBytesMax) {
    throw new StemmaError(
      "payload.too_large",
      `Expected ${what} to be at most ${limits.payloadBytesMax} bytes of JSON, got ${bytes}. Keep the data elsewhere and return a reference to it.`,
      { data: { bytes, limit: limits.payloadBytesMax } },
    );
  }
  if (bytes <= limits.inlineBytesMax) return { text, value: { inline: decode(text) } };
  const digest = sha256(text);
  return { text, value: { digest, bytes }, payload: { digest, text } };
}

/**
 * Keeps what a step returned although it cannot be its output, for people: it may have been paid for. A value that is
 * merely too large is kept as it is (up to `limits.keptBytesMax`), anything else as text that shows it. Never throws;
 * undefined where nothing can be kept.
 */
export function keepRefused(refused: unknown): Encoded | undefined {
  try {
    return keptApart(encode(refused) ?? "null");
  } catch {
    try {
      return toValue(inspect(refused, shown).slice(0, shownCharsMax).toWellFormed(), "text of a refused value");
    } catch {
      return undefined;
    }
  }
}

const shownCharsMax = 500_000;

/** Runs no code of the value: no getters, no inspectors of its own, no traps of a proxy. */
const shown = { depth: 10, maxArrayLength: 1000, maxStringLength: 100_000, customInspect: false } as const;

function keptApart(text: string): Encoded | undefined {
  const bytes = utf8Length(text);
  if (bytes > limits.keptBytesMax) return undefined;
  const digest = sha256(text);
  return { text, value: { digest, bytes }, payload: { digest, text } };
}

/** Digest of an encoded value; `undefined` has the digest of the empty text, which no JSON text is. */
export function digestOf(encoded: Encoded): Digest {
  return "digest" in encoded.value ? encoded.value.digest : rememberedDigest(encoded.text ?? "");
}

/** The text of a value that an event holds, or `undefined`; `texts` has the payloads that were loaded. */
export function textOf(value: Value, texts: ReadonlyMap<Digest, string>): string | undefined {
  if ("undefined" in value) return undefined;
  if ("inline" in value) return JSON.stringify(value.inline);
  const text = texts.get(value.digest);
  if (text === undefined) {
    throw new StemmaError(
      "payload.missing",
      `The value ${value.digest} (${value.bytes} bytes) is not in the store any more.`,
      { data: { digest: value.digest } },
    );
  }
  return text;
}

/** A fresh copy of the value, for a body. */
export function fromValue(value: Value, texts: ReadonlyMap<Digest, string>): unknown {
  const text = textOf(value, texts);
  return text === undefined ? undefined : decode(text);
}
