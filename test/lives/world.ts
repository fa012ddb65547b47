/**
 * Lives a program to the end of all its runs: processes work on it, crash at chosen commits, are stopped and stand
 * still, and people answer, signal, pause and cancel meanwhile. When the plan is through, what is open is answered, and
 * then every run has to end. Time goes by the turns of the event loop, so a life takes milliseconds.
 */
import { Stemma, workflow } from "../../src/index.ts";
import type { Log, Store, Workflow } from "../../src/index.ts";
import type { Event } from "../../src/core/event.ts";
import { isTerminal } from "../../src/core/run.ts";
import type { Seams } from "../../src/engine/stemma.ts";
import { faults } from "../../src/testing.ts";
import type { Faults } from "../../src/testing.ts";
import { around } from "../../src/testing/around.ts";
import type { turnClock } from "../recall/life.ts";
import type { Seen } from "./judge.ts";
import { judge, judgeEnd, look } from "./judge.ts";
import type { Act, Plan } from "./plan.ts";
import type { Program, State, World } from "./program.ts";
import { interpret } from "./program.ts";
import type { Recorder } from "./recorder.ts";
import { recorded } from "./recorder.ts";

export type Case = {
  store: Store;
  clock: ReturnType<typeof turnClock>;
  /** Unlike every other in the store, so that nobody's leftovers are worked on here. */
  name: string;
  program: Program;
  plan: Plan;
  seams?: Partial<Seams>;
};

export type Lived = { wrong: string[]; seen: Seen[]; crashes: number; lives: number };

/** One process. `dead`: it does nothing more. */
type Process = { stemma: Stemma; faulty: Store & Faults<Store>; dead: boolean; stall(): () => void };

const leaseMs = 300;
const never = new Promise<never>(() => undefined);
/** What may be said to somebody who asks too early or too late. */
const refusals = new Set(["wait.not_open", "wait.invalid_answer", "run.ended", "step.not_in_doubt", "store.busy"]);

/** Lives a case to its end, and gives everything that must not be. */
export async function live(options: Case): Promise<Lived> {
  const life = new Life(options);
  try {
    return await life.live();
  } finally {
    life.close();
  }
}

class Life {
  readonly #options: Case;
  readonly #store: Store;
  readonly #recorder: Recorder;
  readonly #wrong: string[] = [];
  readonly #warned = new Set<string>();
  readonly #observed = new Map<string, string>();
  readonly #ends = new Map<string, string>();
  readonly #client: Stemma;
  readonly #families: string[] = [];
  #process: Process;
  #processes: Process[] = [];
  #crashes = 0;
  #fresh = 0;

  constructor(options: Case) {
    this.#options = options;
    const { store, recorder } = recorded(options.store);
    [this.#store, this.#recorder] = [store, recorder];
    this.#client = new Stemma({ store, clock: options.clock, log: this.#log });
    this.#process = this.#begin();
  }

  async live(): Promise<Lived> {
    const { program, plan, name } = this.#options;
    const position = await endOfFeed(this.#store);
    for (let i = 0; i < (plan.beside ? 2 : 1); i += 1) {
      const limit = i === 0 && plan.timeout !== undefined ? { timeout: plan.timeout } : {};
      const run = await this.#client.run(this.#workflow(name, this.#process), program, limit);
      this.#families.push(run.id);
    }
    for (const { after, act } of plan.acts) {
      await this.#ticks(after);
      await this.#act(act);
      await this.#ticks(1);
      await this.#judge();
    }
    const seen = await this.#bringToEnd();
    if (seen.every(({ row }) => isTerminal(row.state.status))) {
      const told = { accepted: this.#recorder.accepted, warned: this.#warned, position };
      this.#wrong.push(...(await judgeEnd(seen, this.#client, told)));
    }
    const wrong = [...new Set([...this.#wrong, ...this.#recorder.wrong])];
    return { wrong, seen, crashes: this.#crashes, lives: this.#processes.length };
  }

  close(): void {
    for (const process of this.#processes) this.#kill(process);
    void this.#client.stop();
  }

  // ---- processes -----------------------------------------------------------------------------------------------

  #begin(): Process {
    const { name, plan, clock, seams } = this.#options;
    let gate: Promise<void> | undefined;
    const gated = around(
      this.#store,
      async ({ make }) => {
        if (gate !== undefined) await gate;
        return make();
      },
      {},
    );
    const faulty = faults(gated);
    const process: Process = {
      faulty,
      dead: false,
      stemma: undefined as unknown as Stemma,
      stall() {
        const { promise, resolve } = Promise.withResolvers<void>();
        gate = promise;
        return () => {
          gate = undefined;
          resolve();
        };
      },
    };
    const crash = plan.crashes[this.#processes.length];
    if (crash !== undefined) {
      const point = `${crash.at}.${crash.applied ? "after" : "before"}` as const;
      if (crash.fails) faulty.fail(point, "store.busy", crash.n + 1);
      else faulty.crash(point, crash.n + 1);
    }
    const workflows = [this.#workflow(name, process), this.#workflow(`${name}-child`, process)];
    process.stemma = new Stemma(
      { store: faulty, workflows, log: this.#log, lease: leaseMs, abortGrace: 10, clock, warm: plan.warm },
      {
        lingerMs: 8,
        recallGraceMs: 400,
        pollMs: 10,
        pageEvents: plan.pageEvents,
        packEvents: plan.packEvents,
        ...seams,
      },
    );
    this.#processes.push(process);
    void faulty.crashed.then(() => {
      this.#crashes += 1;
      this.#kill(process);
      // The lease of the dead runs out.
      clock.skip(2 * leaseMs);
      if (this.#process === process) this.#process = this.#begin();
    });
    void process.stemma.start();
    return process;
  }

  #kill(process: Process): void {
    if (!process.dead) process.stemma.abandon();
    process.dead = true;
  }

  #workflow(name: string, process: Process): Workflow<Program> {
    const world: World = {
      enter: async (run, _name, tools, once) => {
        if (process.dead) await never;
        this.#recorder.entered(run, tools.idempotencyKey, once);
      },
      fresh: (run, what) => `${run} ${what} ${(this.#fresh += 1)}`,
      note: (run, place, what) => {
        if (!process.dead) this.#note(run, place, what);
      },
      restored: (run, count) => {
        const is = this.#recorder.checkpoints(run);
        if (!process.dead && count !== is) this.#wrong.push(`${run} began from checkpoint ${count} of ${is}`);
      },
      child: () => this.#workflow(`${this.#options.name}-child`, process),
    };
    const body = workflow<Program, string, State>({ name }, (ctx) => interpret(ctx, ctx.input as Program, world));
    return { ...body, source: name };
  }

  /** What a body observes at a place is the same in each of its lives, and belongs to its own run. */
  #note(run: string, place: string, what: string): void {
    const at = `${run} ${place}`;
    const before = this.#observed.get(at);
    if (before !== undefined && before !== what) this.#wrong.push(`at ${at}: first "${before}", then "${what}"`);
    this.#observed.set(at, what);
    for (const [id] of what.matchAll(/run_[0-9a-z]{26}/gu))
      if (!this.#recorder.isOf(id, run) && !this.#recorder.isOf(run, id))
        this.#wrong.push(`${at} was given what belongs to ${id}`);
  }

  readonly #log: Log = {
    debug() {},
    info() {},
    warn: (_message, data) => {
      const { run, kind, key, step } = data ?? {};
      if (typeof step === "string") this.#warned.add(`${String(run)} step ${step}`);
      if (typeof kind === "string") this.#warned.add(`${String(run)} ${kind} ${String(key)}`);
    },
    error: (message, data) => {
      if (message.startsWith("A run cannot")) this.#wrong.push(`${message} ${JSON.stringify(data)}`);
    },
  };

  // ---- from outside --------------------------------------------------------------------------------------------

  async #act(act: Act): Promise<void> {
    switch (act.do) {
      case "restart": {
        const old = this.#process;
        await Promise.race([old.stemma.stop({ timeout: 20 }), old.faulty.crashed]);
        if (this.#process === old) this.#process = this.#begin();
        return;
      }
      case "stall": {
        const old = this.#process;
        const goOn = old.stall();
        this.#options.clock.skip(2 * leaseMs);
        this.#process = this.#begin();
        await this.#ticks(12);
        goOn();
        await this.#ticks(12);
        await Promise.race([old.stemma.stop({ timeout: 20 }), old.faulty.crashed]);
        return;
      }
      case "decide":
        return this.#decide(act.pick, act.how);
      default:
        return this.#ask(act);
    }
  }

  async #ask(act: Exclude<Act, { do: "restart" | "stall" | "decide" }>): Promise<void> {
    const stemma = act.inside ? this.#process.stemma : this.#client;
    if (act.do === "answer" || act.do === "fail" || act.do === "again") {
      const waits = await this.#openWaits();
      const wait = waits[act.pick % Math.max(waits.length, 1)];
      if (wait === undefined) return;
      const { run, key } = wait;
      const told = `${run} told ${act.bad ? "bad " : ""}${(this.#fresh += 1)}`;
      if (act.do === "answer") return this.#soon(stemma.resume(run, key, told));
      if (act.do === "fail") return this.#soon(stemma.fail(run, key, new Error(told)));
      // What was said before is not what is said now, so each has a key of its own.
      return this.#soon(stemma.resuspend(run, key, { value: told, expires: 30, idempotencyKey: told }));
    }
    const seen = await look(this.#store, this.#families);
    const run = seen[act.pick % seen.length]?.row.id ?? "";
    if (act.do === "signal") {
      const idempotencyKey = `key ${act.key}`;
      return this.#soon(
        stemma.signal(run, act.name, `${run} told ${act.bad ? "bad " : ""}${act.key}`, { idempotencyKey }),
      );
    }
    return this.#soon(stemma[act.do](run, { by: "somebody" }));
  }

  async #decide(pick: number, how: "run" | "record" | "fail"): Promise<void> {
    const doubtful = inDoubt(await look(this.#store, this.#families));
    const step = doubtful[pick % Math.max(doubtful.length, 1)];
    if (step === undefined) return;
    const told = `${step.run} decided ${(this.#fresh += 1)}`;
    const decision = how === "run" ? how : how === "record" ? { record: told } : { fail: new Error(told) };
    return this.#soon(this.#client.decide(step.run, step.key, decision));
  }

  async #openWaits(): Promise<{ run: string; key: string }[]> {
    const { name } = this.#options;
    const [own, children] = await Promise.all(
      [name, `${name}-child`].map((workflowName) => this.#client.waits({ workflow: workflowName, limit: 200 })),
    );
    return [...(own?.waits ?? []), ...(children?.waits ?? [])];
  }

  /** A request may be answered much later, or by a process that dies; only an error that must not be is one. */
  async #soon(request: Promise<unknown>): Promise<void> {
    const heard = request.catch((error: unknown) => {
      const { code } = error as { code?: string };
      if (code === undefined || !refusals.has(code)) this.#wrong.push(`a request failed: ${String(error)}`);
    });
    await Promise.race([heard, this.#ticks(8)]);
  }

  // ---- the end -------------------------------------------------------------------------------------------------

  /** Answers what is open until every run has ended. */
  async #bringToEnd(): Promise<Seen[]> {
    for (let round = 0; ; round += 1) {
      const seen = await this.#judge();
      const left = seen.filter(({ row }) => !isTerminal(row.state.status));
      if ((left.length === 0 && (await this.#nothingNew(seen))) || this.#wrong.length > 0) return seen;
      if (round === 80) {
        for (const { row, events } of left) this.#wrong.push(`${row.id} is stuck: ${stuck(row.state.status, events)}`);
        return seen;
      }
      for (const { row } of left) if (row.state.status === "paused") await this.#soon(this.#client.unpause(row.id));
      for (const { run, key } of await this.#openWaits())
        await this.#soon(this.#client.resume(run, key, `${run} told ${(this.#fresh += 1)}`));
      if (inDoubt(left).length > 0) await this.#decide(round, round % 2 === 0 ? "record" : "run");
      await this.#ticks(round < 4 ? 5 : 25);
    }
  }

  /** Whether no run has been called since. */
  async #nothingNew(seen: readonly Seen[]): Promise<boolean> {
    return (await look(this.#store, this.#families)).length === seen.length;
  }

  async #judge(): Promise<Seen[]> {
    const seen = await look(this.#store, this.#families);
    this.#wrong.push(...judge(seen, this.#families, this.#ends));
    return seen;
  }

  #ticks(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.after(ms, resolve));
  }
}

async function endOfFeed(store: Store): Promise<number> {
  for (let after = 0; ;) {
    const page = await store.feed({ after, limit: 1000 });
    if (page.position === after) return after;
    after = page.position;
  }
}

/** Steps that wait for a decision, of runs that have not ended. */
function inDoubt(seen: readonly Seen[]): { run: string; key: string }[] {
  return seen.flatMap(({ row, events }) => {
    if (isTerminal(row.state.status)) return [];
    const last = new Map<string, string>();
    for (const { type, data } of events) if ("key" in data) last.set(data.key, type);
    return [...last].filter(([, type]) => type === "step.in_doubt").map(([key]) => ({ run: row.id, key }));
  });
}

function stuck(status: string, events: readonly Event[]): string {
  const tail = events.slice(-12).map(({ type, data }) => ("key" in data ? `${type} ${data.key}` : type));
  return `${status}; ${tail.join(", ")}`;
}
