/**
 * A store against a model of it: the same random commands go to both, and after each the answers must agree. The model
 * is what a reader of the interface would expect: maps and a list, no lock, no disk, no page. Where the interface
 * leaves a choice (who of equally urgent runs comes first; whether a run that was taken from a dead worker is fenced at
 * once or with the next claim), the model takes over what the store chose.
 *
 * fast-check prints the seed and the shortest list of commands when one fails.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { RunId, Timestamp } from "../src/core/event.ts";
import type { Commit, CommitResult, Message, NewRun, RunRow, Sent, Store } from "../src/store/store.ts";
import { postgres } from "../src/postgres.ts";
import { sqlite } from "../src/sqlite.ts";
import { dropSchema, newSchema, postgresUrl } from "./postgres/database.ts";
import type { Bench } from "../src/testing/conformance/fixture.ts";
import {
  after,
  ended,
  message,
  offer,
  openBench,
  started,
  succeeded,
  suspended,
} from "../src/testing/conformance/fixture.ts";
import type { FeedItem } from "../src/testing/conformance/read.ts";
import { wholeFeed, wholeHistory, wholeList } from "../src/testing/conformance/read.ts";

const leaseMs = 2000;
/** No sum of these is a lease, so no command ever falls on the very end of one. */
const advances = [1, 333, 1007, 5003];
const workflows = ["audit", "pay"];

// The model.

type ModelRun = {
  run: NewRun;
  hashes: string[];
  state: RunRow["state"];
  epoch: number;
  holder?: string;
  /** When it may be claimed; a run that somebody holds stays due. */
  dueAt: Timestamp | null;
  /** Keys of all messages, in order; the first `done` have become events. */
  keys: string[];
  done: number;
  claims: number;
};

/** `from` and `to`: the lease runs out in between, for a claim may leave a lease that is not half over as it is. */
type ModelWorker = { from: Timestamp; to: Timestamp; taken?: boolean; known: Map<RunId, RunRow>; offers: string[] };

type Model = { runs: Map<RunId, ModelRun>; workers: Map<string, ModelWorker>; feed: FeedItem[] };
type Real = { bench: Bench; connections: [Store, Store] };

const isEnded = ({ state }: ModelRun): boolean => state.status === "succeeded";
const waiting = ({ keys, done }: ModelRun): boolean => keys.length > done;

function modelCreate(model: Model, run: NewRun, now: Timestamp): { id: RunId; created: boolean } {
  const key = run.idempotencyKey;
  const same = [...model.runs.values()].find(
    ({ run: other }) =>
      key !== undefined && other.idempotencyKey === key && other.state.workflow === run.state.workflow,
  );
  const there = model.runs.get(run.id) ?? same;
  if (there !== undefined) return { id: there.run.id, created: false };
  const hashes = run.events.map(({ hash }) => hash);
  const { state, dueAt = now } = run;
  model.runs.set(run.id, { run, hashes, state, epoch: 0, dueAt, keys: [], done: 0, claims: 0 });
  return { id: run.id, created: true };
}

function modelSend(model: Model, { run, key }: Message, now: Timestamp): Sent {
  const found = model.runs.get(run);
  if (found === undefined) return { run, key, accepted: false, reason: "missing" };
  if (isEnded(found)) return { run, key, accepted: false, reason: "ended" };
  if (found.keys.includes(key)) return { run, key, accepted: false, reason: "repeated" };
  found.keys.push(key);
  if (found.dueAt === null || found.dueAt > now) found.dueAt = now;
  return { run, key, accepted: true };
}

/** Why the model refuses a part, if it does. */
function refusalOf(run: ModelRun, part: Commit): string | undefined {
  if (part.epoch !== run.epoch) return "epoch";
  if (part.seq !== run.state.seq + 1) return "seq";
  const blocked = part.release !== undefined && part.release.force !== true && run.keys.length > part.inbox;
  return blocked ? "inbox" : undefined;
}

function modelCommit(run: ModelRun, part: Commit): void {
  run.hashes.push(...part.events.map(({ hash }) => hash));
  run.state = part.state;
  run.done = part.inbox;
  if (part.progress === true || (part.release !== undefined && part.release.untried !== true)) run.claims = 0;
  else if (part.release !== undefined) run.claims = Math.max(0, run.claims - 1);
  if (part.release === undefined) return;
  delete run.holder;
  run.dueAt = isEnded(run) ? null : part.release.dueAt;
}

/** Takes the runs of workers whose lease has run out. */
function modelReap(model: Model, claiming: string, now: Timestamp): void {
  for (const [name, worker] of model.workers) {
    if (name === claiming || now <= worker.to) continue;
    worker.taken = true;
    free(model, name);
  }
}

/** Its runs have no holder any more; they were due when it got them, and still are. */
function free(model: Model, worker: string): void {
  for (const run of model.runs.values()) if (run.holder === worker) delete run.holder;
}

// The commands. Each is given random numbers and makes of them what fits the state that it meets.

type Command = fc.AsyncCommand<Model, Real>;

function command<T>(
  name: string,
  given: fc.Arbitrary<T>,
  run: (m: Model, r: Real, t: T) => Promise<void>,
): fc.Arbitrary<Command> {
  return given.map((t) => ({
    check: () => true,
    run: (m, r) => run(m, r, t),
    toString: () => `${name}(${JSON.stringify(t)})`,
  }));
}

const pick = <T>(from: readonly T[], at: number): T | undefined => from[at % Math.max(1, from.length)];
const small = fc.nat({ max: 9 });
const side = fc.constantFrom<0 | 1>(0, 1);
const delay = fc.constantFrom(0, 400, 5000);
/** A worker is a process: it has one connection. */
const sideOf = (worker: number): 0 | 1 => (worker % 2 === 0 ? 0 : 1);

const create = command(
  "create",
  fc.record({
    side,
    at: side,
    priority: fc.nat({ max: 2 }),
    delay,
    key: fc.option(fc.nat({ max: 4 })),
    again: fc.option(small),
  }),
  async (model, { bench, connections }, { side: via, at, priority, delay: ms, key, again }) => {
    const now = bench.clock.now();
    const old = again === null ? undefined : pick([...model.runs.keys()], again);
    const run = bench.newRun({
      workflow: workflows[at] as string,
      priority,
      ...(old === undefined ? {} : { id: old }),
      ...(ms === 0 ? {} : { dueAt: now + ms }),
      ...(key === null ? {} : { idempotencyKey: `key ${key}` }),
    });
    assert.deepEqual(await connections[via].create([run]), [modelCreate(model, run, now)]);
  },
);

const claim = command(
  "claim",
  fc.record({
    worker: fc.nat({ max: 2 }),
    offers: fc.constantFrom<number[]>([0], [1], [0, 1]),
    limit: fc.integer({ min: 1, max: 3 }),
  }),
  async (model, real, { worker, offers: offered, limit }) => {
    const name = `worker-${worker}`;
    const { clock } = real.bench;
    const now = clock.now();
    // As a worker does: one that is late finds out first that it was taken for dead.
    if (now > (model.workers.get(name)?.to ?? now)) await beat(model, real, worker);
    modelReap(model, name, now);
    const eligible = [...model.runs.values()].filter(
      (run) =>
        run.holder === undefined &&
        !isEnded(run) &&
        run.dueAt !== null &&
        run.dueAt <= now &&
        offered.includes(workflows.indexOf(run.state.workflow)),
    );
    const offers = offered.map((at) => ({ ...offer, workflow: workflows[at] as string }));
    const claimed = await real.connections[sideOf(worker)].claim({ worker: name, offers, limit, leaseMs });

    assert.equal(claimed.now, now);
    assert.equal(claimed.runs.length, Math.min(limit, eligible.length), "as many as there are, up to the limit");
    const urgency = eligible.map(({ run }) => run.priority ?? 0).sort((a, b) => a - b);
    assert.deepEqual(
      claimed.runs.map(({ priority }) => priority),
      urgency.slice(0, limit),
      "the most urgent, first",
    );
    const own = model.workers.get(name) ?? { from: now + leaseMs, to: now + leaseMs, known: new Map(), offers: [] };
    if (own.from - now <= leaseMs / 2) own.from = now + leaseMs;
    own.to = now + leaseMs;
    own.offers = offers.map(({ workflow }) => workflow);
    model.workers.set(name, own);
    for (const row of claimed.runs) {
      const run = eligible.find(({ run: { id } }) => id === row.id);
      assert.ok(run !== undefined && run.holder === undefined, `${row.id} was due, free, and given once`);
      assert.ok(row.epoch > run.epoch, "the epoch rises");
      run.epoch = row.epoch;
      run.holder = name;
      run.claims += 1;
      own.known.set(row.id, row);
      expectRow(run, row);
    }
  },
);

async function beat(model: Model, { bench, connections }: Real, worker: number): Promise<void> {
  const name = `worker-${worker}`;
  const own = model.workers.get(name);
  if (own === undefined) return;
  const now = bench.clock.now();
  const heard = await connections[sideOf(worker)].heartbeat({ worker: name, leaseMs });
  assert.equal(heard.now, now);
  assert.equal(heard.expired, own.taken === true, "a worker learns that its runs were taken, and goes on otherwise");
  if (heard.expired) free(model, name);
  const offers = heard.expired ? [] : own.offers;
  model.workers.set(name, { known: own.known, from: now + leaseMs, to: now + leaseMs, offers });
  const news = [...model.runs.values()].filter((run) => run.holder === name && waiting(run));
  const expected = news.map(({ run, keys }) => ({ run: run.id, inbox: keys.length }));
  const byRun = (a: { run: RunId }, b: { run: RunId }): number => (a.run < b.run ? -1 : 1);
  assert.deepEqual([...heard.news].sort(byRun), expected.sort(byRun));
}

const heartbeat = command("heartbeat", fc.nat({ max: 2 }), beat);

/** What a worker that is not confused says, and now and then what one says that is. */
const mostlyRight = fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, -1, 1);

type Wish = {
  at: number;
  kind: "append" | "suspend" | "end" | "drain" | "untried";
  takeIn: boolean;
  epochOff: number;
  seqOff: number;
  delay: number | null;
};

const wishes: fc.Arbitrary<Wish> = fc.record({
  at: small,
  kind: fc.constantFrom<Wish["kind"][]>("append", "append", "suspend", "end", "drain", "untried"),
  takeIn: fc.boolean(),
  epochOff: mostlyRight,
  seqOff: mostlyRight,
  delay: fc.constantFrom(null, 0, 400, 5000),
});

const commit = command(
  "commit",
  fc.record({
    at: small,
    parts: fc.array(wishes, { minLength: 1, maxLength: 3 }),
    send: fc.option(fc.record({ at: small, key: fc.nat({ max: 5 }) })),
    child: fc.boolean(),
  }),
  async (model, { bench, connections }, { at, parts: given, send, child }) => {
    const now = bench.clock.now();
    const [name, own] =
      pick(
        [...model.workers].filter(([, { known }]) => known.size > 0),
        at,
      ) ?? [];
    if (name === undefined || own === undefined) return;
    const known = [...own.known.values()];
    const parts = new Map<RunId, Commit>();
    for (const wish of given) {
      const row = pick(known, wish.at);
      if (row !== undefined && !parts.has(row.id)) parts.set(row.id, partOf(bench, model, row, wish));
    }
    const [only] = parts.values();
    const target = send === null ? undefined : pick([...model.runs.keys()], send.at);
    // Alone in its flush, so that it does not matter what a store does first.
    if (parts.size === 1 && only !== undefined) {
      if (send !== null && target !== undefined && target !== only.run) only.send = [message(target, `m${send.key}`)];
      if (child) only.create = [bench.newRun({ workflow: "pay" })];
    }
    const results = await connections[sideOf(Number(name.slice(-1)))].commit([...parts.values()]);
    assert.equal(results.length, parts.size);
    for (const result of results) {
      const part = parts.get(result.run);
      const run = model.runs.get(result.run);
      const row = own.known.get(result.run);
      assert.ok(part !== undefined && run !== undefined && row !== undefined);
      if (!expectResult(run, part, result)) {
        if (!result.ok && result.reason === "epoch" && part.epoch === row.epoch) own.known.delete(row.id);
        continue;
      }
      modelCommit(run, part);
      if (part.release === undefined) own.known.set(row.id, after(row, part));
      else own.known.delete(row.id);
      for (const each of part.create ?? []) modelCreate(model, each, now);
      for (const each of part.send ?? []) modelSend(model, each, now);
    }
  },
);

function partOf(bench: Bench, model: Model, row: RunRow, wish: Wish): Commit {
  const now = bench.clock.now();
  const { keys, done, holder } = model.runs.get(row.id) as ModelRun;
  const step = succeeded(`s${row.state.seq}`);
  const dueAt = wish.delay === null ? null : now + wish.delay;
  const inbox = wish.takeIn ? keys.length : done;
  const part = {
    append: () => bench.part(row, [started, step], { inbox }),
    suspend: () => bench.part(row, [started, suspended], { inbox, release: { dueAt } }),
    end: () => bench.part(row, [started, ended], { inbox, release: { dueAt: null, force: true } }),
    drain: () => bench.part(row, [step], { inbox, progress: true, release: { dueAt: now, force: true } }),
    untried: () => bench.part(row, [], { inbox, release: { dueAt: now, force: true, untried: true } }),
  }[wish.kind]();
  const seq = part.seq + wish.seqOff;
  const events = part.events.map((event, i) => ({ ...event, seq: seq + i }));
  // An epoch that was not given yet is nothing that anybody can have, unless it is somebody's turn to be wrong.
  const epochOff = holder === undefined ? Math.min(0, wish.epochOff) : wish.epochOff;
  return { ...part, seq, events, epoch: part.epoch + epochOff };
}

/** Compares an answer with what the model would say, and tells whether the part went through. */
function expectResult(run: ModelRun, part: Commit, result: CommitResult): boolean {
  const reason = refusalOf(run, part);
  // Its holder was taken for dead and nobody has claimed it since: a store may fence at once, or only with the claim.
  const open = run.holder === undefined && reason !== "epoch";
  if (!result.ok && open) {
    assert.ok(result.reason === "epoch" || result.reason === reason);
    return false;
  }
  const expected = reason === undefined ? { ok: true } : { ok: false, reason, seq: run.state.seq };
  expect(result).toMatchObject({ ...expected, inbox: run.keys.length });
  return result.ok;
}

const send = command(
  "send",
  fc.record({ side, at: small, key: fc.nat({ max: 5 }) }),
  async (model, real, { side: via, at, key }) => {
    const id = pick([...model.runs.keys()], at) ?? "run_that_is_not_there";
    const sent = message(id, `m${key}`);
    const before = model.runs.get(id)?.keys.includes(sent.key) === true;
    const expected = modelSend(model, sent, real.bench.clock.now());
    const [result] = await real.connections[via].send([sent]);
    // Of a key that was taken before the run ended, either may be said.
    if (before && expected.reason === "ended") assert.equal(result?.accepted, false);
    else assert.deepEqual(result, expected);
  },
);

const advance = command("advance", fc.constantFrom(...advances), async (model, real, ms) => {
  const then = real.bench.clock.now() + ms;
  // Whether this worker would be late depends on a choice of the store: it beats once more, and there is no choice.
  for (const [name, { from, to }] of model.workers) {
    if (from < then && then <= to && real.bench.clock.now() <= from) await beat(model, real, Number(name.slice(-1)));
  }
  real.bench.clock.advance(ms);
});

const reopen = command("reopen", fc.constant(null), async (_model, real) => {
  real.connections[0] = await real.bench.reopen();
});

const read = command(
  "read",
  fc.record({ side, limit: fc.integer({ min: 1, max: 7 }) }),
  (model, real, { side: via, limit }) => expectSame(model, real.connections[via], limit, real.bench.clock.now()),
);

// What can be read must be what the model has.

async function expectSame(model: Model, store: Store, limit: number, now: Timestamp): Promise<void> {
  const alive = [...model.workers.values()].filter(({ to, taken }) => taken !== true && now <= to);
  const offered = new Set(alive.flatMap(({ offers }) => offers));
  const rows = await wholeList(store, {}, limit);
  assert.deepEqual(
    rows.map(({ id }) => id),
    [...model.runs.keys()].reverse(),
  );
  for (const row of rows) {
    const run = model.runs.get(row.id) as ModelRun;
    expectRow(run, row);
    assert.equal(row.offered, offered.has(row.state.workflow));
    if (run.holder === undefined) assert.equal(row.dueAt, run.dueAt);
    const { events, inbox } = await wholeHistory(store, row.id, limit);
    assert.deepEqual(
      events.map(({ hash }) => hash),
      run.hashes,
    );
    assert.deepEqual(
      inbox.map(({ key }) => key),
      run.keys.slice(run.done),
    );
  }
  const total = [...model.runs.values()].reduce((sum, { hashes }) => sum + hashes.length, 0);
  const { events: feed } = await wholeFeed(store, total, { limit });
  assert.deepEqual(feed.slice(0, model.feed.length), model.feed, "what was read before has kept its place");
  model.feed = feed;
  for (const [id, { hashes }] of model.runs) {
    assert.deepEqual(
      feed.filter(({ run }) => run === id).map(({ event }) => event.hash),
      hashes,
    );
  }
}

function expectRow(run: ModelRun, row: RunRow): void {
  assert.deepEqual(row.state, run.state);
  assert.equal(row.hash, run.hashes.at(-1));
  assert.deepEqual([row.inbox, row.inboxDone, row.claims], [run.keys.length, run.done, run.claims]);
  assert.equal(row.worker, run.holder);
  assert.ok(row.epoch >= run.epoch);
}

/** How many times as many sequences as usual, for a long run. */
const factor = Number(process.env["STEMMA_MODEL"] ?? 1);

type Place = { open(now: () => Timestamp): Store; remove(): Promise<void> };

/** Where the data of one sequence of calls is. */
const places: Record<string, { runs: number; make(): Promise<Place> }> = {
  sqlite: {
    runs: 500,
    async make() {
      const folder = await mkdtemp(join(tmpdir(), "stemma-model-"));
      return {
        // What survives a power cut is not the question here, so the disk is not waited for.
        open: (now) => sqlite({ path: join(folder, "stemma.db"), now, synchronous: "normal" }),
        remove: () => rm(folder, { recursive: true }),
      };
    },
  },
  postgres: {
    runs: 60,
    async make() {
      const [url, schema] = [await postgresUrl(), newSchema()];
      return {
        open: (now) => postgres({ url, schema, now, connections: 2 }),
        remove: () => dropSchema(url, [schema]),
      };
    },
  },
};

it.each(Object.keys(places))(
  "%s answers every sequence of calls as the model does",
  { timeout: 300_000 },
  async (kind) => {
    const { runs, make } = places[kind] as (typeof places)[string];
    const calls = fc.commands([create, claim, claim, commit, commit, send, heartbeat, advance, reopen, read], {
      maxCommands: 40,
      size: "max",
    });
    const property = fc.asyncProperty(calls, async (commands) => {
      const place = await make();
      const { bench, cleanup } = await openBench(async ({ now }) => {
        const opened = [place.open(now)];
        const another = async (): Promise<Store> => {
          opened.push(place.open(now));
          return opened.at(-1) as Store;
        };
        const again = async (): Promise<Store> => {
          await opened[0]?.close();
          return (opened[0] = place.open(now));
        };
        const close = async (): Promise<void> => void (await Promise.all(opened.map((store) => store.close())));
        return { store: opened[0] as Store, second: another, reopen: again, cleanup: close };
      });
      const model: Model = { runs: new Map(), workers: new Map(), feed: [] };
      const real: Real = { bench, connections: [bench.store, await bench.second()] };
      const first = [0, 0, 1, 1].map((at) => bench.newRun({ workflow: workflows[at] as string }));
      try {
        await bench.store.create(first);
        for (const run of first) modelCreate(model, run, bench.clock.now());
        await fc.asyncModelRun(() => ({ model, real }), commands);
        await expectSame(model, real.connections[0], 100, bench.clock.now());
      } finally {
        await cleanup();
        await place.remove();
      }
    });
    await fc.assert(property, { numRuns: runs * factor });
  },
);
