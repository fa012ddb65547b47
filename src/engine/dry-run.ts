/**
 * The plan of a restart or fork with the code that would carry it out: the body runs under the rules of reuse, in a run
 * that is nowhere, and whatever is not reused is noted and not begun. What is asked before anything is missed is sure.
 * What other branches ask later is not, for by then what was missed may have come to an end, and they may know of it.
 * Nothing is written, and no function of a step is entered; what the body itself does between its steps, it does.
 */
import { StemmaError } from "../core/error.ts";
import type { Event, RunId, Seq, StepRef } from "../core/event.ts";
import { namesOf } from "../core/identity.ts";
import type { PlannedStep } from "../core/plan.ts";
import { mayGoBackText } from "../core/plan.ts";
import type { NewRun, Store } from "../store/store.ts";
import { Activation } from "./activation.ts";
import { heldFor } from "./in-bulk.ts";
import type { Ask } from "./ask.ts";
import type { Log, Workflow } from "./body.ts";
import type { Clock } from "./clock.ts";
import { Committer } from "./committer.ts";
import type { Delivery } from "./delivery.ts";
import { standingOf } from "./effect-standing.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { load } from "./load.ts";
import { latest } from "./recall.ts";
import { besideText, siblingsOf } from "./siblings.ts";
import { Untouched } from "./untouched.ts";

export type DryRunParts = {
  store: Store;
  clock: Clock;
  delivery: Delivery;
  workflow: Workflow;
  /** How long the body must have asked for nothing new, when something was missed; and when nothing was. */
  lingerMs: number;
  recallGraceMs: number;
};

/** What a dry run came to. `ended`: the body came to its end, so it asks for nothing more. */
export type DryRun = { steps: readonly PlannedStep[]; ended: boolean };

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** @param run as it would be created, @param offered the runs whose successes it is offered */
export async function dryRun(parts: DryRunParts, run: NewRun, offered: readonly RunId[]): Promise<DryRun> {
  const missed: Ask[] = [];
  /** The last outcome that the body had been given when it asked for what was missed first. */
  let firstMissAfter: Seq | undefined;
  const nowhere = nowhereOf(parts.store, run);
  const { store, clock, workflow, delivery, lingerMs, recallGraceMs } = { ...parts, store: nowhere.store };
  const now = (): number => clock.now();
  const loaded = await load(store, nowhere.row, now, clock.turn, heldFor(workflow, delivery));
  const activation = new Activation(nowhere.row, workflow, loaded, {
    store,
    clock,
    committer: new Committer(store, clock, silent),
    delivery,
    log: silent,
    worker: "dry run",
    fingerprint: fingerprintOf(workflow),
    // It waits for nothing, and is over when nothing new is asked for.
    lingerMs: foreverMs,
    recallGraceMs,
    abortGraceMs: 0,
    poisonAfter: Infinity,
    missed(ask) {
      nowhere.activity += 1;
      firstMissAfter ??= ask.after;
      missed.push(ask);
    },
    hold: () => undefined,
    sent() {},
    look() {},
    cancelUnheld: () => Promise.resolve(),
  });
  const { promise, resolve } = Promise.withResolvers<boolean>();
  void activation.over.then(() => resolve(true));
  activation.start();
  const stop = whenQuiet(
    clock,
    nowhere,
    () => (missed.length > 0 ? lingerMs : recallGraceMs),
    () => resolve(false),
  );
  const ended = await promise;
  stop();
  activation.drop();
  const isSure = (after: Seq): boolean => firstMissAfter === undefined || after <= firstMissAfter;
  const steps: PlannedStep[] = [];
  for (const event of nowhere.committed) {
    const step = reusedStep(event);
    if (step !== undefined) steps.push(isSure(askedAfter(event)) ? step : { ...step, ...unsure });
  }
  const allowed = loaded.created.data.allowEffects ?? [];
  let siblings: Promise<RunId[] | undefined> | undefined;
  const others = (): Promise<RunId[] | undefined> =>
    (siblings ??= siblingsOf(parts.store, loaded.created.data, offered));
  for (const ask of missed) {
    if (ask.withdrawn === "lost race") continue;
    const step = await missedStep(parts.store, ask, { offered, others }, allowed);
    steps.push(isSure(ask.after) ? step : { ...step, ...unsure });
  }
  return { steps, ended };
}

const unsure = { verdict: "depends", reason: "beside what runs" } as const;

/** The last outcome that the body had been given when it asked for what this is the outcome of. */
function askedAfter({ data, causes }: Event): Seq {
  const { after } = data as StepRef;
  return after ?? ("same" in causes ? causes.same : latest(causes));
}

const foreverMs = 2 ** 31 - 1;
const lookMs = 5;

/** Calls back when nothing has happened for a while. */
function whenQuiet(clock: Clock, watched: { activity: number }, quietMs: () => number, call: () => void): () => void {
  let [seen, quietFor] = [watched.activity, 0];
  let stop = (): void => undefined;
  const look = (): void => {
    if (watched.activity !== seen) [seen, quietFor] = [watched.activity, 0];
    if (quietFor >= quietMs()) return call();
    quietFor += lookMs;
    stop = clock.after(lookMs, look, { kind: "look" });
  };
  look();
  return () => stop();
}

function reusedStep({ type, data }: Event): PlannedStep | undefined {
  if (type === "step.overridden") return { key: data.key, verdict: "reuse", reason: "output given", saves: nothing };
  if (type === "step.failed" && data.from !== undefined) {
    return { key: data.key, verdict: "reuse", reason: "failed, and was survived", saves: nothing };
  }
  if (type !== "step.reused") return undefined;
  const { ms = 0, cost = 0 } = data.saved ?? {};
  return { key: data.key, verdict: "reuse", reason: "the same", saves: { ms, cost }, run: data.from.run };
}

const nothing = { ms: 0, cost: 0 };

async function missedStep(
  store: Store,
  ask: Ask,
  { offered, others }: { offered: readonly RunId[]; others(): Promise<RunId[] | undefined> },
  allowed: readonly string[],
): Promise<PlannedStep> {
  const { key } = ask.ref;
  if (ask.goesBack !== undefined)
    return { key, verdict: "depends", reason: mayGoBackText, saves: nothing, run: ask.goesBack };
  const row = { key, verdict: "run" as const, reason: ask.why ?? "not recorded", saves: nothing };
  if (ask.work.kind !== "step" || ask.work.ask.effect !== "once") return row;
  if (namesOf(key, ask.identity).some((named) => allowed.includes(named))) return row;
  const beside = await others();
  for (const run of [...offered, ...(beside ?? [])]) {
    let standing = await standingOf(store, run, { identity: ask.identity }, ask.reuse ?? "");
    if (standing.is === "not done")
      standing = await standingOf(store, run, ask.way === undefined ? { key } : { way: ask.way }, ask.reuse ?? "");
    if (standing.is === "not done") continue;
    // Where it was reused from decides: there it may have been made up for.
    if (standing.is === "succeeded" && standing.found.event.type === "step.reused") continue;
    if (standing.is === "succeeded" && !standing.isSettled)
      return { ...row, verdict: "depends", reason: mayGoBackText, run };
    if (standing.is === "succeeded") return { ...row, verdict: "reuse", reason: "done once in this line", run };
    return { ...row, verdict: "decide", reason: "effect needs a decision", run };
  }
  return beside === undefined ? { ...row, verdict: "depends", reason: besideText } : row;
}

/** A store in which the run is, besides all that are in another one. */
function nowhereOf(store: Store, { id, state, payloads, events: [first] }: NewRun): Untouched {
  if (first === undefined) throw new StemmaError("engine.bug", "A new run has a first event.");
  const events: (typeof first)[] = [first];
  return new Untouched(store, {
    id,
    state,
    hash: first.hash,
    payloads,
    by: "dry run",
    events: ({ after }) => Promise.resolve({ events: after < 0 ? events : [], more: false }),
  });
}
