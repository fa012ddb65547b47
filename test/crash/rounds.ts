/**
 * Rounds of crashes: in each place of a world a worker process lives until it is killed at a random instant soon after
 * it began to work; now and then one is frozen for longer than its lease, so that another takes its runs, and let go on
 * as a zombie that must be fenced. At the end nobody is killed any more, and everything must come to its end.
 */
import type { Chance } from "./chance.ts";
import { chanceOf } from "./chance.ts";
import { pause } from "./insist.ts";
import { judge } from "./judge.ts";
import type { Bug } from "./store.ts";
import type { Life } from "./world.ts";
import type { Database } from "./worker.ts";
import { rehearse, World } from "./world.ts";

export type RoundsOptions = {
  seed: number;
  kills: number;
  /** How likely a process is frozen in the place of being killed. */
  freezes: number;
  /** How often each of the last two processes is frozen at the end, with nobody killed. */
  lastFreezes: number;
  /** How long nothing may move at the end before what is left counts as stuck. */
  patienceMs: number;
  bug?: Bug;
  /** Where the runs are; in a file of their own if left out. */
  database?: Database;
};

export type Outcome = {
  kills: number;
  /** Of the kills: while a flush was under way, else while a step was running, else neither. */
  inFlush: number;
  inStep: number;
  idle: number;
  stops: number;
  runs: number;
  steps: number;
  events: number;
  /** Steps that a frozen process entered as the very first thing when it went on. */
  late: number;
  faults: string[];
};

const leaseMs = 400;
/** Looks of a quarter of a second at a process that does nothing before something must be wrong. */
const idleLooksMax = 80;

/** Lives through the rounds in a world of their own, and judges what is left. */
export async function rounds(options: RoundsOptions): Promise<Outcome> {
  const chance = chanceOf(options.seed);
  const world = new World(chance, options.database);
  const bug = options.bug ?? "none";
  const outcome: Outcome = {
    kills: 0,
    inFlush: 0,
    inStep: 0,
    idle: 0,
    stops: 0,
    runs: 0,
    steps: 0,
    events: 0,
    late: 0,
    faults: [],
  };
  try {
    await rehearse(world);
    await world.feed(16);
    const places = [0, 1].map(() => place(world, options, chance, outcome));
    const last = await Promise.all(places);
    await finale(world, options, chance, outcome, last);
    outcome.runs = world.runs.length;
    world.look();
    const verdict = await judge(world);
    Object.assign(outcome, { steps: verdict.steps, events: verdict.events, late: verdict.late });
    outcome.faults.push(...verdict.faults);
    return outcome;
  } finally {
    const keep = outcome.faults.length > 0 && bug === "none";
    await world.end(keep);
    if (keep) outcome.faults.push(`the files are in ${world.folder}`);
  }
}

/** One place for a process: fills it again and again, until there were kills enough. Gives the last one, alive. */
async function place(world: World, options: RoundsOptions, chance: Chance, outcome: Outcome): Promise<Life> {
  let life = start(world, options, chance);
  let before = 0;
  let idleLooks = 0;
  for (;;) {
    const over = (): boolean => life.gone || outcome.kills >= options.kills;
    const busy = await world.until(() => life.entered > before || over(), 250);
    if (life.failed !== undefined) outcome.faults.push(`a worker ended by itself: ${life.failed}`);
    if (over()) return life;
    if (!busy) {
      // It may be slow to start, or have nothing to do because the other one has it all.
      await world.feed(2);
      if ((idleLooks += 1) < idleLooksMax) continue;
      outcome.faults.push(`a worker entered nothing although there was work: ${(await world.open()).join()}`);
      return life;
    }
    idleLooks = 0;
    await pause(chance.below(60));
    if (chance.happens(options.freezes) && (await freeze(world, life, chance))) {
      outcome.stops += 1;
      before = life.entered;
      // It comes back as a zombie; a while, so that it can do harm, and sometimes a long one.
      await pause(chance.below(80));
      if (chance.happens(0.5)) continue;
    }
    if (life.gone) continue;
    outcome.kills += 1;
    await world.kill(life);
    outcome[life.flushing ? "inFlush" : life.inside > 0 ? "inStep" : "idle"] += 1;
    await world.feed(2);
    life = start(world, options, chance);
    before = 0;
  }
}

function start(world: World, { bug = "none" }: RoundsOptions, chance: Chance): Life {
  const travelMsMax = chance.happens(0.4) ? 0 : 1 + chance.below(8);
  return world.start({ bug, leaseMs, travelMsMax, forgets: chance.happens(0.4) ? 0.05 : 0 });
}

/** Freezes a process until others took its runs, then lets it go on: at once, or a little later. */
async function freeze(world: World, life: Life, chance: Chance): Promise<boolean> {
  if (world.frozen) return false;
  world.frozen = true;
  try {
    if (!(await stopOutsideLock(world, life))) return false;
    world.pen.write("stop", String(life.pid));
    const held = [...world.holders].filter(([, pid]) => pid === life.pid).map(([run]) => run);
    const taken = (): boolean => held.some((run) => world.holders.get(run) !== life.pid);
    await world.until(() => taken() || life.gone, 3 * leaseMs);
    if (chance.happens(0.4)) await pause(chance.below(250));
    world.pen.write("continue", String(life.pid));
    life.child.kill("SIGCONT");
    return true;
  } finally {
    world.frozen = false;
  }
}

/** Stops a process where it does not keep others out of the file. */
async function stopOutsideLock(world: World, life: Life): Promise<boolean> {
  for (let tries = 0; tries < 50 && !life.gone; tries += 1) {
    life.child.kill("SIGSTOP");
    await pause(2);
    world.look();
    if (!life.locking) return true;
    life.child.kill("SIGCONT");
    await pause(1);
  }
  return false;
}

/** Two processes that nobody kills, frozen a few times: what one of them loses for good stays lost, and is seen. */
async function finale(
  world: World,
  options: RoundsOptions,
  chance: Chance,
  outcome: Outcome,
  last: readonly Life[],
): Promise<void> {
  for (let i = 0; i < options.lastFreezes; i += 1) {
    for (const life of last) {
      await world.feed(3);
      const { entered } = life;
      await world.until(() => life.entered > entered + 3, 1000);
      await pause(chance.below(20));
      if (await freeze(world, life, chance)) outcome.stops += 1;
    }
  }
  let left = "";
  let quietSince = performance.now();
  for (;;) {
    world.look();
    const open = await world.open();
    if (open.length === 0) return;
    if (open.join() !== left) {
      left = open.join();
      quietSince = performance.now();
    }
    if (performance.now() - quietSince > options.patienceMs) {
      outcome.faults.push(...open.map((run) => `stuck: ${run}`));
      return;
    }
    await pause(25);
  }
}
