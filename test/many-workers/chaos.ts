/**
 * Many workers on one PostgreSQL, for a time in which everything goes wrong that may: each process is killed, or stopped
 * for longer than its lease and let go on, again and again at random, and in the midst of it the server is restarted
 * without being given the time to write anything down. Then nothing is harmed any more, and all must come to its end.
 */
import type { RunId } from "../../src/index.ts";
import { postgres } from "../../src/postgres.ts";
import { chanceOf } from "../crash/chance.ts";
import type { Chance } from "../crash/chance.ts";
import { pause } from "../crash/insist.ts";
import { judge } from "../crash/judge.ts";
import type { Bug } from "../crash/store.ts";
import type { Life } from "../crash/world.ts";
import { rehearse, World } from "../crash/world.ts";
import { sql } from "../postgres/database.ts";
import { startPostgres } from "../postgres/server.ts";
import type { Running } from "../postgres/server.ts";
import type { Item, Tail, Truth } from "./tail.ts";
import { faultsOfTail, tailOf, wholeFeed } from "./tail.ts";

export type ChaosOptions = {
  seed: number;
  /** How long everything goes wrong. */
  chaosMs: number;
  /** It goes on for up to four times as long until so many were killed, stopped, and taken from: a slow machine needs more time. */
  atLeast?: number;
  /** How long nothing may move at the end before what is left counts as stuck. */
  patienceMs: number;
  /** How likely a process is stopped in the place of being killed. */
  freezes: number;
  /** How long each is left alone between two such events, at most. */
  gapMs: number;
  /** How far away the store is from every worker, one way, at most; chance decides if left out. */
  farMs?: number;
  bug?: Bug;
  /** The server answers before what it was given is on disk. */
  forgetfulServer?: boolean;
};

export type Chaos = {
  kills: number;
  /** Of the kills: while a flush was under way, else while a step was running, else neither. */
  inFlush: number;
  inStep: number;
  idle: number;
  /** How often a process was stopped past its lease; of those, how often others had taken its runs when it went on. */
  stops: number;
  taken: number;
  restarts: number;
  /** How long the restart took. */
  restartMs: number;
  runs: number;
  steps: number;
  events: number;
  /** `once` steps that were in doubt, and settled. */
  doubts: number;
  late: number;
  settleMs: number;
  /** What a reader of the feed has had who looked on, and what is there. */
  read: readonly Item[];
  truth: Truth;
  faults: string[];
};

const workers = 4;
const leaseMs = 400;
/** So many runs are under way at most, so that a slow machine has no mountain to carry off at the end. */
const openMax = 60;
const schema = "chaos";

/** Lives through it, and judges what is left. */
export async function chaos(options: ChaosOptions): Promise<Chaos> {
  const server = await startPostgres(options.forgetfulServer === true ? { settings: ["wal_writer_delay=10s"] } : {});
  try {
    return await inWorld(server, options);
  } finally {
    await server.stop();
  }
}

async function inWorld(server: Running, options: ChaosOptions): Promise<Chaos> {
  const chance = chanceOf(options.seed);
  const { url } = server;
  const world = new World(chance, { url, schema });
  const reader = postgres({ url, schema });
  const found: Chaos = {
    kills: 0,
    inFlush: 0,
    inStep: 0,
    idle: 0,
    stops: 0,
    taken: 0,
    restarts: 0,
    restartMs: 0,
    runs: 0,
    steps: 0,
    events: 0,
    doubts: 0,
    late: 0,
    settleMs: 0,
    read: [],
    truth: { counts: new Map(), whole: [] },
    faults: [],
  };
  try {
    await rehearse(world);
    await reader.list({});
    if (options.forgetfulServer === true) await forget(url);
    const tail = tailOf(reader);
    const over = endOf(options, found);
    const places = Array.from({ length: workers }, () => place(world, options, chance, over, found));
    await Promise.all([...places, bring(world, tail, over), restart(server, options, chance, found)]);
    const settling = performance.now();
    await settle(world, options, found);
    found.settleMs = performance.now() - settling;
    await weigh(world, tail, options, found);
    return found;
  } finally {
    const { bug = "none", forgetfulServer = false } = options;
    const keep = found.faults.length > 0 && bug === "none" && !forgetfulServer;
    await world.end(keep);
    await reader.close();
    if (keep) found.faults.push(`the witness is in ${world.folder}`);
  }
}

function endOf({ chaosMs, atLeast = 0 }: ChaosOptions, found: Chaos): () => boolean {
  const began = performance.now();
  return () => {
    const past = performance.now() - began;
    const enough = Math.min(found.kills, found.stops, found.taken) >= atLeast;
    return past > (enough ? chaosMs : 4 * chaosMs);
  };
}

/** One place for a worker: what is in it is killed or stopped again and again. The last one is left alive. */
async function place(
  world: World,
  { bug = "none", freezes, gapMs, farMs }: ChaosOptions,
  chance: Chance,
  over: () => boolean,
  found: Chaos,
): Promise<void> {
  // Far from the store or near to it; what a lost answer does is seen as well.
  const start = (): Life => {
    const travelMsMax = farMs ?? (chance.happens(0.6) ? 0 : 1 + chance.below(8));
    return world.start({ bug, leaseMs, travelMsMax, forgets: chance.happens(0.6) ? 0 : 0.05 });
  };
  let life = start();
  for (;;) {
    const next = performance.now() + 200 + chance.below(gapMs);
    await world.until(() => life.gone || performance.now() > next || over(), Infinity);
    if (over()) return;
    // One that is only just starting is no victim.
    if (life.entered === 0 && !life.gone) continue;
    if (chance.happens(freezes)) await freeze(world, life, chance, found);
    else {
      found.kills += 1;
      await world.kill(life);
      found[life.flushing ? "inFlush" : life.inside > 0 ? "inStep" : "idle"] += 1;
    }
    if (life.gone) life = start();
  }
}

/**
 * Stops a process past its lease, wherever it is, and lets it go on as one that was taken for dead: mostly right
 * after others took its runs, when its own next write is most likely to fit; else a while later.
 */
async function freeze(world: World, life: Life, chance: Chance, found: Chaos): Promise<void> {
  life.child.kill("SIGSTOP");
  world.pen.write("stop", String(life.pid));
  world.look();
  const held = [...world.holders].filter(([, pid]) => pid === life.pid).map(([run]) => run);
  await pause(leaseMs);
  const isTaken = (): boolean => held.some((run) => world.holders.get(run) !== life.pid);
  if (await world.until(isTaken, 2 * leaseMs)) found.taken += 1;
  await pause(chance.below(chance.happens(0.3) ? 2 * leaseMs : 60));
  world.pen.write("continue", String(life.pid));
  life.child.kill("SIGCONT");
  found.stops += 1;
}

/** Brings work for as long as it lasts: as much as they can do, and no mountain of it. */
async function bring(world: World, tail: Tail, over: () => boolean): Promise<void> {
  const started = new Set<RunId>();
  let ended = 0;
  let seen = 0;
  while (!over()) {
    for (const { run, type } of tail.items.slice(seen)) if (type === "run.succeeded" && started.has(run)) ended += 1;
    seen = tail.items.length;
    if (world.runs.length - ended < openMax) {
      const before = world.runs.length;
      await world.feed(3);
      for (const run of world.runs.slice(before)) started.add(run);
    }
    await pause(60);
  }
}

async function restart(server: Running, { chaosMs }: ChaosOptions, chance: Chance, found: Chaos): Promise<void> {
  await pause(chaosMs * (0.4 + 0.2 * chance.next()));
  const started = performance.now();
  await server.restart();
  found.restarts += 1;
  found.restartMs = performance.now() - started;
}

/** Waits until every run is at its end, or nothing moves any more. */
async function settle(world: World, { patienceMs }: ChaosOptions, found: Chaos): Promise<void> {
  let left = "";
  let quietSince = performance.now();
  for (;;) {
    world.look();
    const open = await world.open();
    if (open.length === 0) return;
    if (open.join() !== left) [left, quietSince] = [open.join(), performance.now()];
    if (performance.now() - quietSince > patienceMs) {
      found.faults.push(...open.map((run) => `stuck: ${run}`));
      return;
    }
    await pause(50);
  }
}

async function weigh(world: World, tail: Tail, { patienceMs }: ChaosOptions, found: Chaos): Promise<void> {
  for (const life of world.lives) {
    if (life.failed !== undefined) found.faults.push(`a worker ended by itself: ${life.failed}`);
  }
  world.look();
  const verdict = await judge(world);
  await tail.end(verdict.events, patienceMs);
  found.read = tail.items;
  found.truth = { counts: verdict.counts, whole: await wholeFeed(world.store) };
  found.faults.push(...verdict.faults, ...faultsOfTail(found.read, found.truth));
  found.runs = world.runs.length + verdict.called;
  found.steps = verdict.steps;
  found.events = verdict.events;
  found.doubts = verdict.doubts;
  found.late = verdict.late;
}

/** Has the server answer every write before it is on disk, although each connection says that it does not. */
async function forget(url: string): Promise<void> {
  const tables = await sql(url, `select tablename from pg_tables where schemaname = '${schema}'`);
  await sql(
    url,
    `create function ${schema}.forget() returns trigger language plpgsql as
       $$ begin perform set_config('synchronous_commit', 'off', true); return null; end $$`,
    ...tables.map(
      ({ tablename }) =>
        `create trigger forget before insert or update or delete on ${schema}.${String(tablename)}
           for each statement execute function ${schema}.forget()`,
    ),
  );
}
