/** What a webhook says: made of an event and of its run's row, so that it is the same whenever it is made. */
import { createHash } from "node:crypto";
import type { Digest, Event, RunId, Seq, Value } from "../../core/event.ts";
import { unseal } from "../../core/chain.ts";
import type { Json } from "../../core/json.ts";
import { decode, encode, utf8Length } from "../../core/json.ts";
import { limits } from "../../core/limits.ts";
import type { RunRow, Store } from "../../store/store.ts";
import { isWebhookEvent, told } from "./events.ts";

/** The body of a request, as Standard Webhooks has it: what happened, when, and the facts. */
export type Message = {
  type: string;
  /** ISO 8601 */
  timestamp: string;
  data: { [name: string]: Json };
};

/** The id under which a receiver knows a message again, however often it comes. */
export function messageId(hook: RunId, run: RunId, seq: Seq): string {
  return `msg_${createHash("sha256").update(`${hook} ${run} ${seq}`).digest("base64url").slice(0, 32)}`;
}

/**
 * The message of an event; nothing for what webhooks do not tell: timers are nobody's question. What is too large is left
 * out and named in `omitted`, and can be asked for.
 */
export async function messageOf(store: Store, row: RunRow, event: Event): Promise<Message | undefined> {
  const { type } = event;
  if (!isWebhookEvent(type) || (await isOfTimer(store, row.id, event))) return undefined;
  const { id: run, state } = row;
  const { workflow, version, family, tags } = state;
  const found: Record<string, Json> = {};
  const omitted: Record<string, Json> = {};
  const facts = event.data as Record<string, unknown>;
  const texts = await textsOf(
    store,
    told[type].flatMap((name) => valueOf(facts[name]) ?? []),
  );
  for (const name of told[type]) {
    const fact = facts[name];
    if (fact === undefined) continue;
    const text = textOf(fact, texts);
    // A value that is `undefined` is left out, as in JSON.
    if (text === undefined) continue;
    const shown = name === "given" ? "input" : name;
    if ("left" in text) omitted[shown] = text.left;
    else found[shown] = decode(text.text);
  }
  const data: Message["data"] = {
    run,
    workflow,
    version,
    family,
    tags,
    seq: event.seq,
    // A wait has tags and reasons of its own.
    ...(type.startsWith("wait.") ? { wait: found } : found),
    ...(Object.keys(omitted).length > 0 ? { omitted } : {}),
  };
  return { type, timestamp: new Date(event.at).toISOString(), data };
}

function valueOf(fact: unknown): Value | undefined {
  if (typeof fact !== "object" || fact === null) return undefined;
  return "inline" in fact || "digest" in fact || "undefined" in fact ? (fact as Value) : undefined;
}

async function textsOf(store: Store, values: readonly Value[]): Promise<ReadonlyMap<Digest, string>> {
  const digests = values.flatMap((value) =>
    "digest" in value && value.bytes <= limits.webhookFactBytesMax ? [value.digest] : [],
  );
  return digests.length === 0 ? new Map() : store.payloads(digests);
}

function textOf(fact: unknown, texts: ReadonlyMap<Digest, string>): { text: string } | { left: Json } | undefined {
  const value = valueOf(fact);
  if (value !== undefined && "undefined" in value) return undefined;
  if (value !== undefined && "digest" in value) {
    const { digest, bytes } = value;
    const text = texts.get(digest);
    return text === undefined ? { left: { digest, bytes } } : { text };
  }
  const text = encode(value === undefined ? fact : value.inline) ?? "null";
  const bytes = utf8Length(text);
  return bytes > limits.webhookFactBytesMax ? { left: { bytes } } : { text };
}

/** Whether an event is of a timer: it opens one, or settles what an earlier event opened as one. */
async function isOfTimer(store: Store, run: RunId, event: Event): Promise<boolean> {
  if (event.type === "wait.opened") return event.data.kind === "timer";
  if (!event.type.startsWith("wait.")) return false;
  const eventAt = async (seq: Seq): Promise<Event | undefined> => {
    const [stored] = (await store.history(run, { after: seq - 1, limit: 1 }))?.events ?? [];
    return stored === undefined ? undefined : unseal(stored);
  };
  let { causes } = event;
  for (let steps = 0; "same" in causes && steps < sameMax; steps += 1) {
    causes = (await eventAt(causes.same))?.causes ?? [];
  }
  // What settles a wait is caused by what opened it; where that is not so, it came over a checkpoint, as no timer does.
  const [first] = "same" in causes ? [] : causes;
  const opened = first === undefined ? undefined : await eventAt(first);
  return opened?.type === "wait.opened" && opened.data.kind === "timer";
}

/** Events whose causes are those of another, one after the other, until they are named. */
const sameMax = 10;
