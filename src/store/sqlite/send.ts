/**
 * Puts messages into inboxes. The message, its number and the run's wake-up are one transaction, and a release is
 * refused while a message waits; so whoever comes second sees the other.
 */
import type { Timestamp } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import type { Status } from "../../core/run.ts";
import { isTerminal } from "../../core/run.ts";
import type { Message, Sent } from "../store.ts";
import type { Statements } from "./driver.ts";
import { inboxTarget, insertMessage, messageOf, messageThere, noteMessage, wakeRun } from "./sql.ts";

type Target = {
  n: number;
  status: Status;
  inbox_seq: number;
  inbox_done: number;
  epoch: number;
  due_at: Timestamp | null;
};

export function sendMessages(db: Statements, messages: readonly Message[], now: Timestamp): readonly Sent[] {
  return messages.map((message) => {
    const reason = sendMessage(db, message, now);
    const { run, key } = message;
    return reason === undefined ? { run, key, accepted: true } : { run, key, accepted: false, reason };
  });
}

/** Whether messages that were answered as accepted are there; undefined if none were. */
export function haveLanded(db: Statements, sent: readonly Sent[]): boolean | undefined {
  const first = sent.find((message) => message.accepted);
  return first === undefined ? undefined : db.prepare(messageOf).get(first.run, first.key) !== undefined;
}

function sendMessage(
  db: Statements,
  { run, key, kind, body, wakes }: Message,
  now: Timestamp,
): Sent["reason"] | undefined {
  const target = db.prepare(inboxTarget).get(run) as Target | undefined;
  if (target === undefined) return "missing";
  // Before the end of the run is looked at: who sends again learns that it arrived, not that it came too late.
  if (db.prepare(messageThere).get(target.n, key) !== undefined) return "repeated";
  if (isTerminal(target.status)) return "ended";
  if (target.inbox_seq - target.inbox_done >= limits.inboxMessagesMax) return "full";
  const number = target.inbox_seq + 1;
  db.prepare(insertMessage).run(target.n, number, key, kind, body, now);
  const isWhole = target.epoch > 0 || (target.due_at ?? 0) <= now + limits.takingInMs;
  if (wakes === false || !isWhole) db.prepare(noteMessage).run(number, target.n);
  else db.prepare(wakeRun).run(number, now, now, target.n);
  return undefined;
}
