/**
 * Puts messages into inboxes. The message, its number and the run's wake-up are one statement, and a release is refused
 * while a message waits; so whoever comes second sees the other.
 */
import { limits } from "../../core/limits.ts";
import type { Message, Sent } from "../store.ts";
import { addTo } from "./columns.ts";
import type { Runner } from "./runner.ts";
import { messagesThere, sendMessages as sendSql } from "./sql.ts";

type Answer = "accepted" | "missing" | "repeated" | "ended" | "full";

/**
 * Sends what was not sent before. `ours`: an earlier try of the same may have gone through, so a message that is there
 * exactly as we would send it is taken for ours.
 */
export async function sendMessages(
  db: Runner,
  messages: readonly Message[],
  now: number | null,
  ours: boolean = false,
): Promise<readonly Sent[]> {
  const first = new Map<string, { message: Message; at: number; answer: Answer }>();
  for (const [at, message] of messages.entries()) {
    const id = idOf(message);
    if (!first.has(id)) first.set(id, { message, at, answer: "missing" });
  }
  const sent = [...first.values()];
  if (sent.length === 0) return [];
  const columns: unknown[][] = [[], [], [], []];
  for (const { message } of sent) addTo(columns, message.run, message.key, message.kind, message.body);
  const wakes = sent.map(({ message }) => message.wakes ?? true);
  const values = [now, ...columns, wakes, limits.inboxMessagesMax];
  const rows = await db.query<{ ord: number; answer: Answer }>(sendSql, values);
  const landed = ours ? await db.query<{ ord: number }>(messagesThere, columns) : [];
  for (const { ord, answer } of [...rows, ...landed.map(({ ord: at }) => ({ ord: at, answer: "accepted" as const }))]) {
    const one = sent[ord];
    if (one !== undefined) one.answer = answer;
  }
  return messages.map((message, at) => {
    const { run, key } = message;
    const known = first.get(idOf(message));
    const answer = known?.answer ?? "missing";
    if (answer !== "accepted") return { run, key, accepted: false, reason: answer };
    if (known?.at === at) return { run, key, accepted: true };
    return { run, key, accepted: false, reason: "repeated" };
  });
}

function idOf({ run, key }: Message): string {
  return JSON.stringify([run, key]);
}
