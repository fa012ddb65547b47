/** The other side of `chain-thread`: hashes one history after its own texts, a page at a time. */
import { parentPort } from "node:worker_threads";
import type { StoredEvent } from "../core/chain.ts";
import { storedHash } from "../core/chain-text.ts";
import type { Digest } from "../core/event.ts";
import type { PageMessage } from "./chain-thread.ts";
import { between } from "./chain-thread.ts";
import { rememberedDigest, sha256 } from "./hash.ts";

let hash: Digest | undefined;

parentPort?.on("message", (page: PageMessage | "end") => {
  if (page !== "end") hash = hashOf(page, hash ?? page.before);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have none
  parentPort?.postMessage(page === "end" ? (hash ?? "") : undefined);
});

/** Hash of the last event of a page; of texts that are not those of events it is no event's. */
function hashOf({ seq, at, types, causes, data }: PageMessage, before: Digest): Digest {
  const [typeTexts, causeTexts, dataTexts] = [types.split(between), causes.split(between), data.split(between)];
  if ([typeTexts, causeTexts, dataTexts].some((texts) => texts.length !== at.length)) return "";
  let last = before;
  for (let i = 0; i < at.length; i += 1) {
    const stored = { seq: seq + i, at: at[i], type: typeTexts[i], causes: causeTexts[i], data: dataTexts[i] };
    last = storedHash(sha256, last, stored as StoredEvent, rememberedDigest);
  }
  return last;
}
