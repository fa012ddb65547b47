/**
 * Ends for runs that no worker comes to. One that nobody has begun needs no worker in order to be cancelled, and neither
 * does one whose code nobody offers, unless its body is needed to make up for what it did. Those that it called are ended
 * before it. One whose code does not fit what is recorded is not given to that code again; that it is to end is written
 * into its history here, and to end it, any worker that offers its workflow will do.
 */
import { isStemmaError } from "../core/error.ts";
import type { Draft, RunId, Seq } from "../core/event.ts";
import { decode } from "../core/json.ts";
import { isTerminal } from "../core/run.ts";
import type { Message, Received, RunRow, Store } from "../store/store.ts";
import { Appender } from "./appender.ts";
import type { Log } from "./body.ts";
import { callerOf, cancelMessage, endMessage, unwantedBy } from "./children.ts";
import { cancelled, endOf } from "./ending.ts";
import { readHistory } from "./history-pages.ts";
import type { CancelMessage, ChildMessage } from "./messages.ts";
import { Recall } from "./recall.ts";
import { lookAgainAt, suspensionBeforeEnd } from "./rest.ts";
import { isBeingTakenIn } from "./taking-in.ts";
import { closings } from "./unasked.ts";

export type UnheldParts = {
  store: Store;
  now(): number;
  log: Log;
  /** Told of the messages that were sent. */
  sent(messages: readonly Message[]): void;
};

/** `ended`: it is cancelled. `recorded`: it is on record that it is to be. */
export type Unheld = "ended" | "recorded" | undefined;

const endsReason = "it ends";

/** How often it is tried again because something came between. */
const triesMax = 10;

/**
 * Cancels a run that nobody holds, if it takes no worker to do so; and with it those that called it and were only waiting
 * for its end.
 *
 * @param request left out: only if somebody has asked for it already
 * @returns undefined where it takes a worker, or one has it, and a message will reach it
 */
export async function cancelUnheld(id: RunId, request: CancelMessage | undefined, parts: UnheldParts): Promise<Unheld> {
  const done = await cancelWithBelow(id, request, parts);
  if (done !== "ended") return done;
  const [row] = (await parts.store.list({ ids: [id] })).runs;
  const origin = row?.state.origin;
  // Its caller may have waited for this and be as alone as it was.
  const caller = origin === undefined ? undefined : callerOf(origin);
  if (caller !== undefined) await cancelUnheld(caller.run, undefined, parts);
  return done;
}

async function cancelWithBelow(id: RunId, request: CancelMessage | undefined, parts: UnheldParts): Promise<Unheld> {
  for (let tries = 0; tries < triesMax; tries += 1) {
    const done = await tryOnce(id, request, parts);
    if (done !== "again") return done;
  }
  return undefined;
}

async function tryOnce(id: RunId, request: CancelMessage | undefined, parts: UnheldParts): Promise<Unheld | "again"> {
  const [row] = (await parts.store.list({ ids: [id] })).runs;
  if (row === undefined || !isAlone(row) || isBeingTakenIn(row, parts.now())) return undefined;
  if (request === undefined && row.state.cancel === undefined) return undefined;
  if (isUnbegun(row) || !row.offered) {
    try {
      return await endAlone(row, request ?? {}, parts);
    } catch (error) {
      // What cannot be read here needs somebody who can.
      if (isStemmaError(error) && error.retryable) throw error;
      parts.log.warn("A run that is to end could not be read", { run: id, error: String(error) });
      return undefined;
    }
  }
  return row.state.refused === undefined || row.state.cancel !== undefined
    ? undefined
    : recordRequest(row, request ?? {}, parts);
}

function isAlone({ worker, state }: RunRow): boolean {
  return worker === undefined && !isTerminal(state.status);
}

function isUnbegun({ state }: RunRow): boolean {
  return state.status === "queued" && state.startedAt === undefined;
}

/** Who asked first is who it is cancelled by. Puts that on record, unless it is there. */
function asked(appender: Appender, inbox: readonly Received[], request: CancelMessage): CancelMessage {
  const { cancel, seq } = appender.state;
  if (cancel !== undefined) return cancel;
  const first = inbox.find(({ kind }) => kind === "cancel");
  const { by, reason } = first === undefined ? request : (decode(first.body) as CancelMessage);
  const data = { ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) };
  const message = first === undefined ? {} : { message: first.key };
  appender.append({ type: "cancel.requested", data: { ...data, ...message }, causes: [seq] });
  return data;
}

/** Puts on record that it is to end; the worker that offers it sees to the rest. */
async function recordRequest(listed: RunRow, request: CancelMessage, parts: UnheldParts): Promise<Unheld | "again"> {
  const { store, now } = parts;
  const page = await store.history(listed.id, { after: listed.state.seq - 1, limit: 1 });
  const [last] = page?.events ?? [];
  if (page === undefined || last === undefined || page.more) return "again";
  const { row, inbox } = page;
  const appender = new Appender(row, last.at, now);
  asked(appender, inbox, request);
  const [result] = await store.commit([appender.take({ dueAt: now(), force: true }).commit]);
  return result?.ok === true ? "recorded" : "again";
}

/** Ends it here, once those that it called have ended. */
async function endAlone(listed: RunRow, request: CancelMessage, parts: UnheldParts): Promise<Unheld | "again"> {
  const { store, now, log, sent } = parts;
  const from = listed.state.checkpoint?.seq ?? 0;
  const { row, events, inbox } = await readHistory(store, listed.id, from - 1);
  const last = events.at(-1);
  if (last?.seq !== row.state.seq || row.epoch !== listed.epoch) return "again";
  const recall = new Recall(from, row.state.seq);
  for (const event of events) recall.add(event);
  // What somebody decides may be a success that has to be made up for, and only its body knows how.
  if (recall.complete().compensable || inbox.some(({ kind }) => kind === "decide")) return undefined;
  const appender = new Appender(row, last.at, now);
  const open = takeEndsIn(appender, recall, inbox);
  const first = asked(appender, inbox, request);
  if (open.length > 0 && appender.state.status === "running")
    appender.append(suspensionBeforeEnd(undefined, appender.state.seq));
  const messages =
    open.length > 0
      ? open.map((child) => cancelMessage(row.id, child, endsReason))
      : end(row, first, closings(recall, "run ended"), appender);
  appender.send(messages);
  appender.inbox = inbox.at(-1)?.number ?? row.inboxDone;
  // Not by force: what came meanwhile may be the end of one that it called.
  const dueAt = open.length > 0 ? lookAgainAt(row.state, now()) : null;
  // Before it is so, as where a worker does it: who dies behind the commit could not say it any more.
  warnOfUnheard(row.id, inbox, log);
  const [result] = await store.commit([appender.take({ dueAt }).commit]);
  if (result?.ok !== true) return "again";
  sent(messages);
  return open.length === 0 ? "ended" : endBelow(row.id, open, parts);
}

/** Ends the runs that a run called, where that takes no worker. Where it did, the run itself may be at its end. */
async function endBelow(caller: RunId, open: readonly RunId[], parts: UnheldParts): Promise<"recorded" | "again"> {
  let again = false;
  for (const child of open) {
    if ((await cancelWithBelow(child, unwantedBy(caller, endsReason), parts)) === "ended") again = true;
  }
  return again ? "again" : "recorded";
}

/** Puts on record the ends of called runs that wait in the inbox, and gives those that have not ended. */
function takeEndsIn(appender: Appender, recall: Recall, inbox: readonly Received[]): RunId[] {
  const open = new Map<string, { run: RunId; seq: Seq }>();
  for (const { key, child, outcome, first } of recall.noted()) {
    if (child !== undefined && outcome === undefined) open.set(key, { run: child, seq: first });
  }
  for (const { kind, body } of inbox) {
    const told = kind === "child" ? (decode(body) as unknown as ChildMessage) : undefined;
    const child = told === undefined ? undefined : open.get(told.key);
    if (told === undefined || child === undefined) continue;
    open.delete(told.key);
    appender.append({ type: "child.ended", data: told, causes: [child.seq] });
  }
  return [...open.values()].map(({ run }) => run);
}

/** Appends the end, and what comes with it; gives what the run's caller is to be told. */
function end(row: RunRow, request: CancelMessage, closed: readonly Draft[], appender: Appender): Message[] {
  for (const draft of closed) appender.append(draft);
  const { draft, told } = endOf({ ok: false, stopped: cancelled(row.id, request) }, [], appender.state.seq);
  appender.append(draft);
  const message = endMessage(row.id, row.state, told);
  return message === undefined ? [] : [message];
}

/** What else was sent finds a run that has ended and does nothing with it. */
function warnOfUnheard(run: RunId, inbox: readonly Received[], log: Log): void {
  const heard: ReadonlySet<string> = new Set(["cancel", "child", "pause", "unpause"]);
  for (const { kind, key } of inbox)
    if (!heard.has(kind)) log.warn("A message answers nothing that is open", { run, kind, key });
}
