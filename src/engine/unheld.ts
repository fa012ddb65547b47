/**
 * Ends for runs that no worker may come to. One that nobody has begun needs no worker in order to be cancelled, and it
 * may be that none knows its workflow. One whose code does not fit what is recorded is not given to that code again; that
 * it is to end is written into its history here, and to end it, any worker that offers its workflow will do.
 */
import type { RunId } from "../core/event.ts";
import { decode } from "../core/json.ts";
import type { Message, RunRow, Store } from "../store/store.ts";
import { Appender } from "./appender.ts";
import type { Log } from "./body.ts";
import { endMessage } from "./children.ts";
import { cancelled, endOf } from "./ending.ts";
import type { CancelMessage } from "./messages.ts";

export type UnheldParts = {
  store: Store;
  now(): number;
  log: Log;
  /** Told of the message to a run that called this one. */
  sent(messages: readonly Message[]): void;
};

/**
 * Cancels a run that nobody holds, if it takes no worker to do so.
 *
 * @returns `ended`: it is cancelled. `recorded`: it is on record that it is to be. Undefined: it takes a worker, or one
 *   has it, and a message will reach it.
 */
export async function cancelUnheld(
  id: RunId,
  request: CancelMessage,
  { store, now, sent, log }: UnheldParts,
): Promise<"ended" | "recorded" | undefined> {
  const { runs } = await store.list({ ids: [id] });
  const [row] = runs;
  if (row === undefined || row.worker !== undefined) return undefined;
  const { state } = row;
  const unbegun = state.status === "queued" && state.startedAt === undefined;
  if (!unbegun && (state.refused === undefined || state.cancel !== undefined)) return undefined;
  const { events: [last] = [], inbox = [] } = (await store.history(id, { after: state.seq - 1, limit: 1 })) ?? {};
  if (last === undefined) return undefined;
  // Whoever asked first is who it was cancelled by.
  const first = inbox.find(({ kind }) => kind === "cancel");
  const { by, reason } = first === undefined ? request : (decode(first.body) as CancelMessage);
  const asked = { ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) };
  const appender = new Appender(row, last.at, now);
  appender.append({ type: "cancel.requested", data: asked, causes: [state.seq] });
  const message = unbegun ? end(row, asked, appender) : undefined;
  // What else was sent finds a run that never began and never will: with its end, it is dealt with.
  if (unbegun) appender.inbox = row.inbox;
  const { commit } = appender.take({ dueAt: unbegun ? null : now(), force: true });
  const [result] = await store.commit([commit]);
  if (result?.ok !== true) return undefined;
  for (const { kind, key } of unbegun ? inbox : []) {
    const heard = kind === "cancel" || kind === "pause" || kind === "unpause";
    if (!heard) log.warn("A message answers nothing that is open", { run: id, kind, key });
  }
  sent(message === undefined ? [] : [message]);
  return unbegun ? "ended" : "recorded";
}

function end(row: RunRow, request: CancelMessage, appender: Appender): Message | undefined {
  const { draft, told } = endOf({ ok: false, stopped: cancelled(row.id, request) }, [], appender.state.seq);
  const message = endMessage(row.id, row.state, told);
  appender.append(draft, message === undefined ? {} : { send: [message] });
  return message;
}
