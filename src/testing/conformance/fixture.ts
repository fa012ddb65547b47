/**
 * What every guarantee of the conformance suite stands on: a bench with a fresh store and a clock in the hand of the
 * test, and builders that make runs and parts exactly as the engine does (sealed, chained and reduced by `core`), so
 * that a store is tested with what it will really be given.
 */
import assert from "node:assert/strict";
import type { StoredEvent } from "../../core/chain.ts";
import { genesis, seal, unseal } from "../../core/chain.ts";
import type { Draft, Origin, RunId, Seq, Timestamp, Value } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import { canonical, utf8Length } from "../../core/json.ts";
import type { RunState } from "../../core/reduce.ts";
import { reduce } from "../../core/reduce.ts";
import { sha256 } from "../../engine/hash.ts";
import { newRunId } from "../../engine/id.ts";
import type { Claimed, Commit, Message, NewRun, Offer, Payload, RunRow, Store } from "../../store/store.ts";

/** A fresh, empty store, and other ways to the same data. */
export type StoreUnderTest = {
  store: Store;
  /** Closes the store and opens the same data again. Left out where data lives in the process only. */
  reopen?(): Promise<Store>;
  /** A further connection to the same data, as another process would have it. Left out where there can be none. */
  second?(): Promise<Store>;
  /** Closes what is open and removes the data. */
  cleanup(): Promise<void>;
};

/** Opens a fresh, empty store that takes its time (milliseconds since 1970) from `now`. */
export type CreateStore = (context: { now: () => Timestamp }) => Promise<StoreUnderTest>;

/** Registers one guarantee: its title in plain words, and what must hold. */
export type Check = (title: string, body: (bench: Bench) => Promise<void>) => void;

/** An event that is yet to be sealed; without causes it is caused by the event before it. */
export type Step = { [T in Draft["type"]]: { type: T; data: Extract<Draft, { type: T }>["data"] } }[Draft["type"]];

export type RunOptions = {
  id?: RunId;
  workflow?: string;
  version?: number;
  input?: Value;
  origin?: Origin;
  family?: RunId;
  tags?: string[];
  payloads?: readonly Payload[];
  /** Events behind `run.created`. */
  steps?: readonly Step[];
} & Pick<NewRun, "dueAt" | "queue" | "priority" | "idempotencyKey">;

/** What a test has in its hands. */
export type Bench = {
  store: Store;
  clock: { now(): Timestamp; advance(ms: number): void };
  /** The store closed and opened again; where there is no such thing, the store as it is. */
  reopen(): Promise<Store>;
  /** Another connection to the same data; where there can be none, the store itself. */
  second(): Promise<Store>;
  newRun(options?: RunOptions): NewRun;
  /** Makes a run and creates it. */
  created(options?: RunOptions): Promise<NewRun>;
  /** Makes a run, creates it and lets `worker` claim it. */
  held(options?: RunOptions & { worker?: string }): Promise<RunRow>;
  /** A part that appends `steps` behind what `row` knows. */
  part(row: RunRow, steps: readonly Step[], options?: Partial<Commit>): Commit;
};

/** How long leases are in this suite; the clock is the test's, so nobody waits for it. */
export const leaseMs = 15_000;

/** Code that fits all runs of this suite that do not say otherwise. */
export const offer: Offer = { workflow: "audit", version: 1, fingerprint: sha256("code of audit") };

/** The page size that is asked for where the page size is not the point. */
export const pageLimit = 1000;

/** A bench around a fresh store. The caller cleans up. */
export async function openBench(create: CreateStore): Promise<{ bench: Bench; cleanup(): Promise<void> }> {
  let now = 1_800_000_000_000;
  const clock = { now: () => now, advance: (ms: number) => void (now += ms) };
  const made = await create({ now: clock.now });
  const newRun = (options: RunOptions = {}): NewRun => buildRun(clock.now(), options);
  const bench: Bench = {
    store: made.store,
    clock,
    reopen: () => made.reopen?.() ?? Promise.resolve(made.store),
    second: () => made.second?.() ?? Promise.resolve(made.store),
    newRun,
    async created(options) {
      const run = newRun(options);
      assert.deepEqual(await made.store.create([run]), [{ id: run.id, created: true }]);
      return run;
    },
    async held({ worker = "worker-a", ...options } = {}) {
      const run = await bench.created(options);
      const { runs } = await claim(made.store, worker, { offers: [offerOf(run)] });
      const row = runs.find(({ id }) => id === run.id);
      assert.ok(row, `expected ${worker} to be given ${run.id}`);
      return row;
    },
    part: (row, steps, options) => buildPart(clock.now(), row, steps, options),
  };
  return { bench, cleanup: () => made.cleanup() };
}

/** Claims with the defaults of this suite. */
export function claim(
  store: Store,
  worker: string,
  options: { offers?: readonly Offer[]; limit?: number; leaseMs?: number } = {},
): Promise<Claimed> {
  return store.claim({ worker, offers: [offer], limit: 100, leaseMs, ...options });
}

/** The ids of what a claim with the defaults of this suite gives. */
export async function claimedIds(store: Store, worker: string, offers: readonly Offer[] = [offer]): Promise<RunId[]> {
  const { runs } = await claim(store, worker, { offers });
  return runs.map(({ id }) => id);
}

/** Code that fits a run. */
export function offerOf(run: NewRun): Offer {
  return { workflow: run.state.workflow, version: run.state.version, fingerprint: offer.fingerprint };
}

/** A value that is kept apart, and the payload that keeps it. */
export function payloadOf(value: Json): { payload: Payload; value: Value } {
  const text = canonical(value);
  const digest = sha256(text);
  return { payload: { digest, text }, value: { digest, bytes: utf8Length(text) } };
}

/** A message that is unlike all others but for what is given. */
export function message(run: RunId, key: string, body: Json = { key }): Message {
  return { run, key, kind: "signal", body: canonical(body) };
}

/** One of the events of a step that succeeded. */
export function succeeded(key: string, output: Value = { inline: key }): Step {
  return { type: "step.succeeded", data: { key, output } };
}

/** The event with which a holder begins. */
export const started: Step = {
  type: "run.started",
  data: { worker: "worker-a", epoch: 1, fingerprint: offer.fingerprint },
};

export const suspended: Step = { type: "run.suspended", data: { reason: "waiting" } };

export const ended: Step = { type: "run.succeeded", data: { output: { inline: "done" } } };

/** The row after a part was accepted: what its holder knows, and can append behind. */
export function after(row: RunRow, part: Commit): RunRow {
  return { ...row, state: part.state, hash: part.events.at(-1)?.hash ?? row.hash, inboxDone: part.inbox };
}

/** Commits one part and expects it to go through; answers what its holder then knows. */
export async function accept(store: Store, row: RunRow, part: Commit): Promise<RunRow> {
  const [result] = await store.commit([part]);
  assert.equal(result?.ok, true, `expected the part of ${part.run} to be accepted, got ${JSON.stringify(result)}`);
  return after(row, part);
}

export function buildRun(now: Timestamp, options: RunOptions): NewRun {
  const { id = newRunId(now), workflow = offer.workflow, version = offer.version, tags, steps = [] } = options;
  const { origin = { kind: "new" }, family = id, input = { inline: { order: 17 } }, payloads = [] } = options;
  const data = { workflow, version, input, origin, family, seed: id, ...(tags === undefined ? {} : { tags }) };
  const { events, state } = sealAll(now, undefined, genesis(sha256, id), [{ type: "run.created", data }, ...steps]);
  const run: NewRun = { id, events, payloads, state };
  if (options.dueAt !== undefined) run.dueAt = options.dueAt;
  if (options.queue !== undefined) run.queue = options.queue;
  if (options.priority !== undefined) run.priority = options.priority;
  if (options.idempotencyKey !== undefined) run.idempotencyKey = options.idempotencyKey;
  return run;
}

function buildPart(now: Timestamp, row: RunRow, steps: readonly Step[], options: Partial<Commit> = {}): Commit {
  const { events, state } = sealAll(now, row.state, row.hash, steps);
  const { id: run, epoch, inboxDone: inbox } = row;
  return { run, epoch, seq: row.state.seq + 1, events, payloads: [], state, inbox, ...options };
}

function sealAll(
  at: Timestamp,
  before: RunState | undefined,
  hash: string,
  steps: readonly Step[],
): { events: StoredEvent[]; state: RunState } {
  const events: StoredEvent[] = [];
  let state = before;
  let previous = hash;
  for (const step of steps) {
    const seq: Seq = state === undefined ? 0 : state.seq + 1;
    const event = seal(sha256, previous, { ...step, seq, at, causes: seq === 0 ? [] : [seq - 1] });
    state = reduce(state, unseal(event));
    previous = event.hash;
    events.push(event);
  }
  assert.ok(state, "a run begins with run.created");
  return { events, state };
}
