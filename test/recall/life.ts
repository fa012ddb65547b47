/**
 * The life of one program: run, crash at chosen commits, run again, until it ends; and what must be true of it.
 * A crash is simulated at the store: the chosen commit is applied or not, its answer never comes, and the process
 * does nothing more. Real processes are killed elsewhere; here it is the number of programs that counts.
 */
import type { Delivery } from "../../src/engine/delivery.ts";
import { delivery as rule } from "../../src/engine/delivery.ts";
import { Stemma, workflow } from "../../src/index.ts";
import type { Context, Event, Log, Store, Workflow } from "../../src/index.ts";
import { components, trace } from "../../src/core/trace.ts";
import { causesOf, outcomeOf } from "../../src/core/event.ts";
import { idempotencyKey, identityOf } from "../../src/core/identity.ts";
import { isTerminal } from "../../src/core/run.ts";
import { reduceAll } from "../../src/core/reduce.ts";
import { sha256 } from "../../src/engine/hash.ts";
import { readHistory } from "../../src/engine/history-pages.ts";
import type { Clock } from "../../src/engine/clock.ts";
import { faults } from "../../src/testing.ts";
import type { Program } from "./program.ts";
import { interpret } from "./program.ts";

export type Crash = { commit: number; applied: boolean };

/** Time that goes by the turns of the event loop: a millisecond each. Nothing here depends on how fast the machine is. */
export function turnClock(): Clock & { skip(ms: number): void; stop(): void } {
  let now = 1_700_000_000_000;
  let ticking = false;
  let stopped = false;
  const timers = new Set<{ at: number; call: () => void }>();
  const tick = (): void => {
    now += 1;
    for (const timer of timers) {
      if (timer.at > now) continue;
      timers.delete(timer);
      timer.call();
    }
    ticking = timers.size > 0 && !stopped;
    if (ticking) setImmediate(tick);
  };
  return {
    now: () => now,
    monotonic: () => now,
    turn: (call) => void setImmediate(call),
    after(ms, call) {
      const timer = { at: now + Math.max(ms, 0), call };
      timers.add(timer);
      if (!ticking) setImmediate(tick);
      ticking = true;
      return () => void timers.delete(timer);
    },
    skip(ms) {
      now += ms;
    },
    stop() {
      stopped = true;
      timers.clear();
    },
  };
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

export type Life = {
  /** What went wrong, in words; empty when everything held. */
  faults: string[];
  status: string;
  events: Event[];
  crashes: number;
  activations: number;
};

export type LifeOptions = {
  store: Store;
  clock: ReturnType<typeof turnClock>;
  /** Unlike every other in the store, so that nobody's leftovers are worked on here. */
  name: string;
  program: Program;
  /** The program that continues after the first crash; the same if left out. */
  changed?: Program;
  /** What is changed stands behind guards, so the run must come to its end with it. */
  guarded?: boolean;
  crashes: readonly Crash[];
  delivery?: Delivery;
  /** How much of a history is read at a time. */
  pageEvents?: number;
  /** How many events are packed together. */
  packEvents?: number;
};

type Observed = Map<string, string[]>;

/** Lives a program to its end, and looks for everything that must not be. */
export async function live(options: LifeOptions): Promise<Life> {
  const { store, clock, program, crashes } = options;
  const wrong: string[] = [];
  let recorded = new Set<string>();
  let fresh = 0;
  let run = "";
  let before: Observed = new Map();
  let events: Event[] = [];
  let activations = 0;
  let crashed = 0;
  const apart = hasIo(program) || (options.changed !== undefined && hasIo(options.changed));
  for (let i = 0; ; i += 1) {
    const code = i > 0 ? (options.changed ?? program) : program;
    // The guards are not there before the change, and behind plain I/O the record does not say when they were met.
    const sameCode = options.changed === undefined || (options.guarded === true && i > 0 && !apart);
    const observed: Observed = new Map();
    let frozen = false;
    let entered = 0;
    const world = {
      apart,
      enter(name: string, _input: unknown, key: string): void {
        if (frozen) return;
        entered += 1;
        if (recorded.has(key)) wrong.push(`${name} was entered again although its outcome is on record`);
      },
      fresh: (name: string, input: unknown): string => `${name}(${String(input)})=${(fresh += 1)}`,
    };
    const notes = {
      write(place: string, what: string): void {
        if (frozen) return;
        const list = observed.get(place);
        if (list === undefined) observed.set(place, [what]);
        else list.push(what);
      },
    };
    const body = workflow({ name: options.name }, (ctx: Context) => interpret(ctx, code, world, notes));
    const definition = { ...body, source: JSON.stringify(code) } as Workflow<undefined>;
    const ending = Promise.withResolvers<"crashed" | "ended">();
    const faulty = faults(store);
    const crash = crashes[i];
    if (crash !== undefined) faulty.crash(crash.applied ? "commit.after" : "commit.before", crash.commit + 1);
    void faulty.crashed.then(() => {
      frozen = true;
      ending.resolve("crashed");
    });
    const stemma = new Stemma(
      { store: faulty, workflows: [definition], log: silent, lease: 1000, abortGrace: 60, clock, warm: 0 },
      {
        delivery: options.delivery ?? rule,
        lingerMs: 40,
        recallGraceMs: 400,
        pollMs: 20,
        pageEvents: options.pageEvents ?? 1000,
        packEvents: options.packEvents ?? 1024,
      },
    );
    activations += 1;
    if (run === "") run = (await stemma.run(definition, undefined, {})).id;
    void stemma.start();
    void watch(store, run, clock).then(() => ending.resolve("ended"));
    const how = await ending.promise;
    stemma.abandon();
    frozen = true;
    events = await readAll(store, run);
    recorded = recordedKeys(run, events);
    if (sameCode) wrong.push(...compare(before, observed, how === "ended"));
    const answers = checkAnswers(events, observed);
    wrong.push(...answers.wrong);
    // An answer that a crash took before its flush binds nobody: nothing behind it is on record either.
    if (sameCode && !answers.lost) before = longer(before, observed);
    const state = reduceAll(events);
    if (how === "crashed") crashed += 1;
    // A crash may also have come right after the end was recorded.
    if (how === "ended" || isTerminal(state.status)) {
      if (state.reason === "corrupt") wrong.push("a run could not be read");
      if (state.reason === "divergence") {
        if (options.changed === undefined || options.guarded === true) wrong.push("a run diverged from its own code");
        if (entered > 0) wrong.push(`${entered} steps were entered before a divergence was found`);
      }
      wrong.push(...checkHistory(run, events));
      return { faults: wrong, status: state.reason ?? state.status, events, crashes: crashed, activations };
    }
    // The dead process's lease runs out.
    clock.skip(2000);
  }
}

/** Resolves when the run is at its end, or suspended for good. */
async function watch(store: Store, run: string, clock: Clock): Promise<void> {
  for (;;) {
    const { runs } = await store.list({ ids: [run] });
    const state = runs[0]?.state;
    if (state !== undefined && (isTerminal(state.status) || (state.reason !== undefined && state.reason !== "waiting")))
      return;
    await new Promise<void>((resolve) => clock.after(3, resolve));
  }
}

async function readAll(store: Store, run: string): Promise<Event[]> {
  return (await readHistory(store, run)).events;
}

/** Idempotency keys of the steps that have an outcome on record. */
function recordedKeys(run: string, events: readonly Event[]): Set<string> {
  const refs = new Map<string, Parameters<typeof identityOf>[0]>();
  const keys = new Set<string>();
  for (const event of events) {
    if (!("key" in event.data)) continue;
    if (!refs.has(event.data.key)) refs.set(event.data.key, event.data);
    const ref = refs.get(event.data.key);
    if (ref !== undefined && outcomeOf[event.type] !== null) keys.add(idempotencyKey(sha256, run, [], identityOf(ref)));
  }
  return keys;
}

/**
 * What was observed at each place before must be how an activation begins there: same values, same winners. One that
 * crashed may not have come that far; one that came to the end has seen it all.
 */
function compare(before: Observed, after: Observed, complete: boolean): string[] {
  const found: string[] = [];
  for (const [place, was] of before) {
    const is = after.get(place) ?? [];
    for (const [i, what] of was.entries()) {
      if (is[i] === what || (is[i] === undefined && !complete)) continue;
      // A draw behind plain I/O is on no record: a run that ended before its I/O was done this time never came there.
      if (is[i] === undefined && (what === "heads" || what === "tails")) continue;
      found.push(`at ${place} "${what}" was observed before a crash and "${is[i] ?? "nothing"}" after it`);
      break;
    }
  }
  return found;
}

/** What guards were answered must be what is on record of it, from the first time on. */
function checkAnswers(events: readonly Event[], observed: Observed): { wrong: string[]; lost: boolean } {
  const recorded = new Map<string, string>();
  const wrong: string[] = [];
  let lost = false;
  for (const event of events) {
    if (event.type !== "run.patched") continue;
    const place = `patch ${event.data.name}`;
    if (recorded.has(place)) wrong.push(`the answer for ${place} is on record twice`);
    recorded.set(place, event.data.old === true ? "old" : "new");
  }
  for (const [place, answers] of observed) {
    if (!place.startsWith("patch ")) continue;
    const answer = recorded.get(place);
    lost ||= answer === undefined;
    if (new Set(answers).size > 1) wrong.push(`${place} had several answers: ${answers.join(", ")}`);
    if (answer !== undefined && answers[0] !== answer) wrong.push(`${place} is ${answer} on record, not ${answers[0]}`);
  }
  return { wrong, lost };
}

/** At each place the longer of two observations; they agree where both say something. */
function longer(one: Observed, other: Observed): Observed {
  const both = new Map(one);
  for (const [place, list] of other) if ((both.get(place)?.length ?? 0) < list.length) both.set(place, list);
  return both;
}

function checkHistory(run: string, events: readonly Event[]): string[] {
  const found: string[] = [];
  const graph = trace([{ run, events }]);
  if (components(graph) !== 1) found.push(`the trace has ${components(graph)} components`);
  const settled = new Set<string>();
  for (const event of events) {
    if (event.seq > 0 && causesOf(event, (seq) => events[seq]).length === 0)
      found.push(`event ${event.seq} has no cause`);
    if (!("key" in event.data) || outcomeOf[event.type] === null) continue;
    if (settled.has(event.data.key)) found.push(`${event.data.key} has two outcomes on record`);
    settled.add(event.data.key);
  }
  return found;
}

export function hasIo(program: Program): boolean {
  return JSON.stringify(program).includes('"do":"io"');
}
