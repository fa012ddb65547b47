/**
 * Where the secrets of webhooks are: in the inbox of the run that keeps the webhook, as a message that nobody takes in. So
 * they are in the store, where every server on it finds them, and in none of its events: no feed, history, export, trace or
 * answer of the server has them. When a webhook is given up its inbox is taken in, which removes them. Whoever can read the
 * database can read them, unless a key was given: then they are sealed with AES-256-GCM, each under a key of its own.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import { decode, encode } from "../../core/json.ts";
import { secretKind } from "../../engine/messages.ts";
import type { Store } from "../../store/store.ts";
import type { Sealed } from "./wish.ts";

export type Vault = {
  /** Throws webhook.not_found where the webhook is not there any more. */
  put(id: RunId, sealed: Sealed): Promise<void>;
  /** Nothing where there is none. Throws webhook.invalid for one that was sealed with another key. */
  take(id: RunId): Promise<Sealed | undefined>;
};

const messageKey = "secret";
const keyCharsMin = 16;
const ivBytes = 12;
const tagBytes = 16;
/** Behind all events of what keeps a value. */
const behindAll = 1_000_000;

/** @param key what secrets are sealed with; without one they are not. Throws usage.invalid for a short one. */
export function vaultOf(store: Store, key?: string): Vault {
  if (key !== undefined && (typeof key !== "string" || key.length < keyCharsMin)) {
    throw new StemmaError(
      "usage.invalid",
      `Expected the key for webhooks to be at least ${keyCharsMin} characters. Make one: openssl rand -hex 32.`,
    );
  }
  return {
    async put(id, sealed) {
      const text = encode(sealed, "secrets of a webhook") ?? "";
      const body = encode(key === undefined ? { open: text } : { sealed: seal(key, id, text) }) ?? "";
      const [sent] = await store.send([{ run: id, key: messageKey, kind: secretKind, body, wakes: false }]);
      if (sent?.accepted === true || sent?.reason === "repeated") return;
      throw new StemmaError("webhook.not_found", `There is no webhook ${id} any more.`, { data: { webhook: id } });
    },
    async take(id) {
      const page = await store.history(id, { after: behindAll, limit: 1 });
      const message = page?.inbox.find((one) => one.kind === secretKind);
      if (message === undefined) return undefined;
      const { open, sealed = "" } = decode(message.body) as { open?: string; sealed?: string };
      return decode(open ?? unseal(key, id, sealed)) as unknown as Sealed;
    },
  };
}

function keyFor(key: string, id: RunId): Buffer {
  return Buffer.from(hkdfSync("sha256", key, id, "stemma webhook", 32));
}

function seal(key: string, id: RunId, text: string): string {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv("aes-256-gcm", keyFor(key, id), iv);
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString("base64");
}

function unseal(key: string | undefined, id: RunId, text: string): string {
  try {
    const bytes = Buffer.from(text, "base64");
    const iv = bytes.subarray(0, ivBytes);
    const decipher = createDecipheriv("aes-256-gcm", keyFor(key ?? "", id), iv);
    decipher.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes));
    const opened = Buffer.concat([decipher.update(bytes.subarray(ivBytes + tagBytes)), decipher.final()]);
    return opened.toString("utf8");
  } catch {
    throw new StemmaError(
      "webhook.invalid",
      `Expected the key that the secrets of webhook ${id} were sealed with; this server has ${key === undefined ? "none" : "another"}.`,
      { data: { webhook: id } },
    );
  }
}
