/**
 * Appends to many runs in one transaction. The first statement of each part is its guard: an update that changes the
 * run only if epoch, seq and inbox are as the holder believes. There is no read before it that could be out of date.
 *
 * The guard touches no column of an index. What rarely changes (status, tags, messages taken in) is compared with what
 * the guard returns, and written only if it differs.
 */
import type { Timestamp } from "../../core/event.ts";
import { isTerminal } from "../../core/run.ts";
import type { Commit, CommitResult } from "../store.ts";
import { append } from "./append.ts";
import { createRuns, endOf } from "./create.ts";
import { bytesOf, digestOf } from "./digest.ts";
import type { Statements } from "./driver.ts";
import { takeEffects } from "./effects.ts";
import { writeEmitted } from "./emitted.ts";
import { stateText } from "./row.ts";
import { sendMessages } from "./send.ts";
import {
  advanceRun,
  deleteTag,
  emptyMessages,
  eventHash,
  insertPack,
  insertTag,
  releaseRun,
  restRun,
  runHead,
  settleRun,
  setTags,
  takeMessagesIn,
} from "./sql.ts";

/** What the guard returns: the row as it was, but for the columns that the guard itself has set. */
type Before = {
  n: number;
  status: string;
  refused: string | null;
  tags: string;
  inbox_seq: number;
  inbox_done: number;
};

export function commitParts(db: Statements, parts: readonly Commit[], now: Timestamp): readonly CommitResult[] {
  return parts.map((part) => commitPart(db, part, now));
}

/**
 * Whether a transaction with these answers went through: one event of it is there exactly if all of it is. Parts
 * without events are taken to have failed, for repeating those does no harm. Undefined if it was to leave nothing.
 */
export function haveLanded(
  db: Statements,
  parts: readonly Commit[],
  results: readonly CommitResult[],
): boolean | undefined {
  if (!results.some((result) => result.ok)) return undefined;
  const i = parts.findIndex((part, at) => part.events.length > 0 && results[at]?.ok === true);
  const part = parts[i];
  return part !== undefined && isThere(db, part);
}

/** Whether the last event of `part` is in the store, written by this very part: its hash covers everything before it. */
export function isThere(db: Statements, part: Commit): boolean {
  const last = part.events.at(-1);
  if (last === undefined) return false;
  const row = db.prepare(eventHash).get(part.run, last.seq);
  return row !== undefined && digestOf(row["hash"] as Uint8Array) === last.hash;
}

function commitPart(db: Statements, part: Commit, now: Timestamp): CommitResult {
  const { run, events, state, release } = part;
  const last = events.at(-1);
  const before = db
    .prepare(advanceRun)
    .get(
      part.seq - 1 + events.length,
      last === undefined ? null : bytesOf(last.hash),
      stateText(state),
      claimsForgotten(part),
      run,
      part.epoch,
      part.seq - 1,
      release === undefined || release.force === true ? Number.MAX_SAFE_INTEGER : part.inbox,
    ) as Before | undefined;
  if (before === undefined) return refusal(db, part);
  const { family } = state;
  append(db, { run: before.n, family, seq: part.seq, events, payloads: part.payloads, reuse: part.reuse });
  for (const { first, body } of part.packs ?? []) db.prepare(insertPack).run(before.n, first, body);
  settle(db, part, before, now);
  if (part.emit !== undefined && part.emit.length > 0) writeEmitted(db, before.n, part.emit);
  if (part.create !== undefined) createRuns(db, part.create, now);
  if (part.send !== undefined) sendMessages(db, part.send, now);
  if (part.effects === undefined || part.effects.length === 0) return { run, ok: true, inbox: before.inbox_seq };
  return { run, ok: true, inbox: before.inbox_seq, effects: takeEffects(db, run, part.effects) };
}

/** How many claims of a run no longer count after this part. */
function claimsForgotten({ progress, release }: Commit): number {
  if (progress === true || (release !== undefined && release.untried !== true)) return Number.MAX_SAFE_INTEGER;
  return release === undefined ? 0 : 1;
}

function refusal(db: Statements, { run, epoch, seq }: Commit): CommitResult {
  const row = db.prepare(runHead).get(run) as { epoch: number; seq: number; inbox_seq: number } | undefined;
  if (row === undefined) return { run, ok: false, reason: "missing", epoch: 0, seq: -1, inbox: 0 };
  const reason = row.epoch !== epoch ? "epoch" : row.seq !== seq - 1 ? "seq" : "inbox";
  return { run, ok: false, reason, epoch: row.epoch, seq: row.seq, inbox: row.inbox_seq };
}

function settle(db: Statements, part: Commit, before: Before, now: Timestamp): void {
  const { state, release } = part;
  const refused = state.refused ?? null;
  if (state.status !== before.status || refused !== before.refused) {
    db.prepare(settleRun).run(state.status, endOf(state, now), refused, before.n);
  }
  if (part.inbox > before.inbox_done) {
    db.prepare(takeMessagesIn).run(part.inbox, before.n);
    db.prepare(emptyMessages).run(before.n, before.inbox_done, part.inbox);
  }
  const tags = JSON.stringify(state.tags);
  if (tags !== before.tags) retag(db, before.n, JSON.parse(before.tags) as string[], state.tags, tags);
  if (release !== undefined) {
    const dueAt = dueAtAfter(part, before, now);
    db.prepare(releaseRun).run(dueAt, dueAt !== null && dueAt <= now ? 1 : 0, before.n);
  } else if (isTerminal(state.status)) {
    db.prepare(restRun).run(before.n);
  }
}

/**
 * When a run that is given back may be claimed again. At its end: never. With messages that it has not taken in (only
 * a forced release comes so far): at once, or they would wait for ever. So is a run that was in the midst of something
 * when its worker was stopped, unless it is to rest. Else: when it wants to be.
 */
function dueAtAfter({ state, release, inbox }: Commit, before: Before, now: Timestamp): Timestamp | null {
  if (isTerminal(state.status)) return null;
  if (before.inbox_seq > Math.max(inbox, before.inbox_done)) return now;
  const isAtWork = state.status === "queued" || state.status === "running";
  const stopped = release?.force === true && release.rests !== true && isAtWork;
  return release?.dueAt ?? (stopped ? now : null);
}

function retag(db: Statements, run: number, from: readonly string[], to: readonly string[], text: string): void {
  for (const tag of from) if (!to.includes(tag)) db.prepare(deleteTag).run(tag, run);
  for (const tag of to) db.prepare(insertTag).run(tag, run);
  db.prepare(setTags).run(text, run);
}
