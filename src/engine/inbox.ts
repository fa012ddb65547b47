/** Messages from outside, and what they become in the history of the run that they are for. */
import { StemmaError } from "../core/error.ts";
import type { Digest, ErrorRecord, Event, RunId, Value } from "../core/event.ts";
import { decode, parse } from "../core/json.ts";
import type { Received } from "../store/store.ts";
import type { Extra } from "./appender.ts";
import type { Ask } from "./ask.ts";
import type { Log } from "./body.ts";
import type { Journal, OutcomeDraft } from "./journal.ts";
import { toValue } from "./value.ts";

/** Body of a message of kind `child`: how a called run ended. */
export type EndMessage = { run: RunId; key: string; status: string; output?: Value; error?: ErrorRecord };

/** Body of a message of kind `answer`: what somebody said to an open wait. `text` is JSON; absent for undefined. */
export type AnswerMessage = { key: string; text?: string; error?: ErrorRecord; by?: string };

/** Whether a wait is open to an answer; false when it has one already. Throws wait.not_open in every other case. */
export function mayAnswer(history: readonly Event[], run: RunId, wait: string): boolean {
  const about = history.filter((event) => "key" in event.data && event.data.key === wait);
  const last = about.at(-1)?.type;
  if (last === "wait.answered" || last === "wait.failed") return false;
  if (last === "wait.opened" || last === "wait.refused") return true;
  const why = last === undefined ? "it has not been opened" : `it is over (${last})`;
  throw new StemmaError("wait.not_open", `The wait ${JSON.stringify(wait)} of ${run} takes no answer: ${why}.`, {
    data: { run, wait },
  });
}

/** Messages that wait, with the texts of what they refer to. */
export type Mail = { messages: readonly Received[]; texts: ReadonlyMap<Digest, string> };

/** Makes the messages that are new into outcomes of what they answer. */
export function takeIn(
  { messages, texts }: Mail,
  journal: Journal,
  find: (key: string) => Ask | undefined,
  log: Log,
  run: RunId,
): void {
  for (const message of messages) {
    if (message.number <= journal.inbox) continue;
    journal.takenIn(message.number);
    const found = outcomeOfMessage(message, texts, find);
    if (found !== undefined) journal.recordOutcome(found.ask, found.draft, found.extra);
    else log.warn("A message answers nothing that is open", { run, kind: message.kind, key: message.key });
  }
}

/** The outcome that a message is for an ask that is open; undefined where it is for none. `texts`: what it refers to. */
function outcomeOfMessage(
  message: Received,
  texts: ReadonlyMap<Digest, string>,
  find: (key: string) => Ask | undefined,
): { ask: Ask; draft: OutcomeDraft; extra: Extra } | undefined {
  if (message.kind === "child") {
    const { run, key, status, output, error } = decode(message.body) as unknown as EndMessage;
    const ask = find(key);
    if (ask?.work.kind !== "call") return undefined;
    const data = {
      key,
      run,
      status,
      ...(output === undefined ? {} : { output }),
      ...(error === undefined ? {} : { error }),
    };
    const digest = output !== undefined && "digest" in output ? output.digest : "";
    const text = texts.get(digest);
    const extra = text === undefined ? {} : { known: [{ digest, text }] };
    return { ask, draft: { type: "child.ended", data }, extra };
  }
  if (message.kind !== "answer") return undefined;
  const { key, text, error, by } = decode(message.body) as unknown as AnswerMessage;
  const ask = find(key);
  if (ask?.work.kind !== "wait" || ask.work.ask.kind === "timer") return undefined;
  const common = { key, message: message.key, ...(by === undefined ? {} : { by }) };
  if (error !== undefined) return { ask, draft: { type: "wait.failed", data: { ...common, error } }, extra: {} };
  const { value, payload } = toValue(text === undefined ? undefined : parse(text), `answer to ${key}`);
  const extra = payload === undefined ? {} : { payloads: [payload] };
  return { ask, draft: { type: "wait.answered", data: { ...common, value } }, extra };
}
