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

/** A store whose process dies at a chosen commit. */
function dying(store: Store, crash: Crash | undefined, died: () => void): Store {
  let count = 0;
  let dead = false;
  const never = new Promise<never>(() => {});
  return new Proxy(store, {
    get(target, method) {
      const value = Reflect.get(target, method) as unknown;
      if (typeof value !== "function") return value;
      return async (...args: unknown[]) => {
        if (dead) return never;
        if (method === "commit" && crash !== undefined && count++ === crash.commit) {
          dead = true;
          if (crash.applied) await (value as (...a: unknown[]) => Promise<unknown>).apply(target, args);
          died();
          return never;
        }
        return (value as (...a: unknown[]) => unknown).apply(target, args);
      };
    },
  });
}

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
  crashes: readonly Crash[];
  delivery?: Delivery;
  /** How much of a history is read at a time. */
  pageEvents?: number;
};

type Observed = Map<string, string[]>;

/** Lives a program to its end, and looks for everything that must not be. */
export async function live(options: LifeOptions): Promise<Life> {
  const { store, clock, program, crashes } = options;
  const faults: string[] = [];
  let recorded = new Set<string>();
  let fresh = 0;
  let run = "";
  let before: Observed = new Map();
  let events: Event[] = [];
  let activations = 0;
  let crashed = 0;
  for (let i = 0; ; i += 1) {
    const code = i > 0 ? (options.changed ?? program) : program;
    const observed: Observed = new Map();
    let frozen = false;
    let entered = 0;
    const world = {
      apart: hasIo(program),
      enter(name: string, _input: unknown, key: string): void {
        if (frozen) return;
        entered += 1;
        if (recorded.has(key)) faults.push(`${name} was entered again although its outcome is on record`);
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
    const dead = dying(store, crashes[i], () => {
      frozen = true;
      ending.resolve("crashed");
    });
    const stemma = new Stemma(
      { store: dead, workflows: [definition], log: silent, lease: 1000 },
      {
        clock,
        delivery: options.delivery ?? rule,
        lingerMs: 40,
        recallGraceMs: 400,
        abortGraceMs: 60,
        pollMs: 20,
        pageEvents: options.pageEvents ?? 1000,
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
    if (options.changed === undefined) faults.push(...compare(before, observed, how === "ended"));
    before = longer(before, observed);
    const state = reduceAll(events);
    if (how === "crashed") crashed += 1;
    // A crash may also have come right after the end was recorded.
    if (how === "ended" || isTerminal(state.status)) {
      if (state.reason === "corrupt") faults.push("a run could not be read");
      if (state.reason === "divergence") {
        if (options.changed === undefined) faults.push("a run diverged from its own code");
        if (entered > 0) faults.push(`${entered} steps were entered before a divergence was found`);
      }
      faults.push(...checkHistory(run, events));
      return { faults, status: state.reason ?? state.status, events, crashes: crashed, activations };
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
  const faults: string[] = [];
  for (const [place, was] of before) {
    const is = after.get(place) ?? [];
    for (const [i, what] of was.entries()) {
      if (is[i] === what || (is[i] === undefined && !complete)) continue;
      // A draw behind plain I/O is on no record: a run that ended before its I/O was done this time never came there.
      if (is[i] === undefined && (what === "heads" || what === "tails")) continue;
      faults.push(`at ${place} "${what}" was observed before a crash and "${is[i] ?? "nothing"}" after it`);
      break;
    }
  }
  return faults;
}

/** At each place the longer of two observations; they agree where both say something. */
function longer(one: Observed, other: Observed): Observed {
  const both = new Map(one);
  for (const [place, list] of other) if ((both.get(place)?.length ?? 0) < list.length) both.set(place, list);
  return both;
}

function checkHistory(run: string, events: readonly Event[]): string[] {
  const faults: string[] = [];
  const graph = trace([{ run, events }]);
  if (components(graph) !== 1) faults.push(`the trace has ${components(graph)} components`);
  const settled = new Set<string>();
  for (const event of events) {
    if (event.seq > 0 && causesOf(event, (seq) => events[seq]).length === 0)
      faults.push(`event ${event.seq} has no cause`);
    if (!("key" in event.data) || outcomeOf[event.type] === null) continue;
    if (settled.has(event.data.key)) faults.push(`${event.data.key} has two outcomes on record`);
    settled.add(event.data.key);
  }
  return faults;
}

export function hasIo(program: Program): boolean {
  return JSON.stringify(program).includes('"do":"io"');
}
