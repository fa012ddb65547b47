/**
 * The life of one program through a line of runs: it runs, and then it is changed and restarted or forked, several
 * times, with crashes in between; and what must be true of all of that.
 */
import type { Change, Context, Event, Log, Store, Workflow } from "../../src/index.ts";
import type { Plan } from "../../src/core/plan.ts";
import { Stemma, workflow } from "../../src/index.ts";
import { components, trace } from "../../src/core/trace.ts";
import type { TracedRun } from "../../src/core/trace.ts";
import { parseKey } from "../../src/core/identity.ts";
import { isTerminal } from "../../src/core/run.ts";
import { faults } from "../../src/testing.ts";
import type { turnClock } from "../recall/life.ts";
import type { Input, Part, World } from "./program.ts";
import { play, valueOf } from "./program.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

export type Move = {
  how: "restart" | "fork";
  change: "nothing" | "input" | "context" | "code" | "output" | "from" | "after" | "none" | "checkpoint";
  /** Which step, where one is meant. */
  pick: number;
  /** At which commit the new run crashes, if it does, and whether that commit is there afterwards. */
  crash?: { commit: number; applied: boolean };
};

export type Cast = {
  store: Store;
  clock: ReturnType<typeof turnClock>;
  name: string;
  program: Part[];
  moves: readonly Move[];
  /** Declared inputs leave out what is used. */
  lies?: boolean;
};

export type Life = { faults: string[]; reused: number; entered: number; runs: number; crashes: number };

type Entry = { run: string; step: string; args: string };

export async function live({ store, clock, name, program, moves, lies = false }: Cast): Promise<Life> {
  const wrong: string[] = [];
  const entries: Entry[] = [];
  let broken = true;
  let frozen = false;
  let isPlanning = false;
  /** What was done of steps that are to be done once, and decided of them; by the key that a service is sent, by name. */
  const done = new Map<string, { step: string; times: number }>();
  const again = new Map<string, number>();
  /** Outputs that were given from outside: they are right by definition. */
  const overridden = new Set<string>();
  const world: World = {
    lies,
    code: () => code,
    broken: () => broken,
    enter(run, step, args) {
      if (isPlanning) wrong.push(`${step} was entered while it was planned`);
      if (!frozen) entries.push({ run, step, args });
    },
    done(step, key) {
      // What a process that has crashed still does, it does nowhere.
      if (frozen) return;
      const { times } = done.get(key) ?? { times: 0 };
      done.set(key, { step, times: times + 1 });
    },
    given(run, step, args, value, right) {
      if (frozen || value === right || overridden.has(String(value))) return;
      wrong.push(`${run}: ${step} of ${args} was given ${String(value)}, right is ${right}`);
    },
    get call() {
      return { ...child, source: `code ${code}` };
    },
  };
  const body = (ctx: Context, input: Input): Promise<unknown> => play(ctx, input, world);
  const child: Workflow<Input> = workflow({ name: `${name}-child` }, body);
  const parent: Workflow<Input> = workflow({ name }, body);
  let code = 0;
  let crashes = 0;
  const runs: string[] = [];
  const histories = new Map<string, string>();

  /** Works on a run until it ends or the process crashes; true if it ended. */
  const work = async (
    id: string | undefined,
    make: (stemma: Stemma) => Promise<{ id: string }>,
    crash: Move["crash"],
  ) => {
    const faulty = faults(store);
    frozen = false;
    const workflows = [parent, child].map((one) => ({ ...one, source: `code ${code}` }));
    const stemma = new Stemma(
      { store: faulty, workflows, log: silent, lease: 1000, abortGrace: 60, clock },
      { lingerMs: 20, recallGraceMs: 400, pollMs: 20 },
    );
    const run = id ?? (await make(stemma)).id;
    if (crash !== undefined) faulty.crash(crash.applied ? "commit.after" : "commit.before", crash.commit + 1);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    void faulty.crashed.then(() => {
      frozen = true;
      resolve(false);
    });
    void stemma.start();
    void watch(store, run, clock, stemma, {
      over: () => frozen,
      decided: (step) => again.set(step, (again.get(step) ?? 0) + 1),
    }).then(() => resolve(true));
    const ended = await promise;
    frozen = true;
    if (!ended) crashes += 1;
    stemma.abandon();
    if (!ended) clock.skip(2000);
    return { run, ended };
  };

  const carry = async (make: (stemma: Stemma) => Promise<{ id: string }>, crash: Move["crash"]): Promise<string> => {
    const first = await work(undefined, make, crash);
    if (!first.ended) await work(first.run, make, undefined);
    runs.push(first.run);
    return first.run;
  };

  let input: Input = { program, n: 1 };
  let source = await carry((stemma) => stemma.run({ ...parent, source: `code ${code}` }, input), undefined);
  histories.set(source, JSON.stringify(await readAll(store, source)));
  for (const [i, move] of moves.entries()) {
    broken = i % 2 === 1 && move.how === "fork";
    const events = await readAll(store, source);
    const keys = keysOf(events);
    const key = keys[move.pick % Math.max(keys.length, 1)];
    const change: Change = {};
    if (move.change === "input") input = changedInput(input);
    if (move.change === "input") change.patch = { n: input.n };
    if (move.change === "context") change.context = { model: `m${i}`, other: move.pick };
    if (move.change === "code") code += 1;
    if (move.change === "none") change.reuse = "none";
    if (key !== undefined && move.change === "from") change.from = key;
    if (key !== undefined && move.change === "after") change.after = key;
    if (key !== undefined && move.change === "output") {
      const value = `given ${i} ${key}`;
      overridden.add(value);
      change.outputs = { [key]: value };
    }
    if (move.change === "checkpoint" && events.some(({ type }) => type === "checkpoint")) change.checkpoint = "last";
    const before = entries.length;
    let plan: Plan | undefined;
    const next = await carry(async (stemma) => {
      isPlanning = true;
      plan = await stemma.plan(source, change, { dryRun: true, kind: move.how });
      isPlanning = false;
      return stemma[move.how](source, change);
    }, move.crash);
    const after = await readAll(store, next);
    wrong.push(...contradictions(plan, after));
    if (move.change === "from" && key !== undefined) {
      const reused = after.some(({ type, data }) => type === "step.reused" && data.key === key);
      // What is to be done once in a line is not done again because it is to run again.
      if (reused && !onceIn(program).has(parseKey(key).name)) wrong.push(`${key} was to run again, and was reused`);
    }
    const isPlain = !["from", "after", "none", "output", "checkpoint"].includes(move.change);
    // Who loses a race may have been given what another one then lacks.
    if (isPlain && !JSON.stringify(program).includes('"race"'))
      wrong.push(...paidTwice(events, after, entries.slice(before), next));
    for (const [run, history] of histories) {
      if (JSON.stringify(await readAll(store, run)) !== history) wrong.push(`the history of ${run} has changed`);
    }
    histories.set(next, JSON.stringify(after));
    source = next;
  }
  for (const { step, times } of done.values()) {
    if (times > 1 + (again.get(step) ?? 0)) wrong.push(`${step} was done ${times} times, and is to be done once`);
  }
  wrong.push(...(await judge(store, source)));
  if (isPredictable(program, moves)) {
    const context = JSON.parse(contextOf(histories.get(source) ?? "[]")) as unknown;
    const own = await carry(
      (stemma) => stemma.run({ ...parent, source: `code ${code}` }, input, context === null ? {} : { context }),
      undefined,
    );
    const [found, right] = [source, own].map(async (run) => (await readAll(store, run)).at(-1));
    const [of, to] = [await found, await right].map((event) => `${event?.type} ${JSON.stringify(event?.data)}`);
    if (of !== to) wrong.push(`${source} came to ${of}, a run of its own to ${to}`);
  }
  const all = await Promise.all(runs.map((run) => readAll(store, run)));
  const reused = all.flat().filter(({ type }) => type === "step.reused").length;
  return { faults: wrong, reused, entered: entries.length, runs: runs.length, crashes };
}

/** Names of steps that are to be done once somewhere. */
function onceIn(program: unknown): Set<string> {
  const text = JSON.stringify(program);
  return new Set(["a", "b", "c"].filter((name) => new RegExp(`"name":"${name}"[^{}]*"once":true`).test(text)));
}

function changedInput(input: Input): Input {
  return { ...input, n: input.n + 1 };
}

/** A step that the plan calls reused is not entered, and one that it says will run is not reused. */
function contradictions(plan: Plan | undefined, events: readonly Event[]): string[] {
  const wrong: string[] = [];
  const verdicts = new Map(plan?.steps.map(({ key, verdict }) => [key, verdict]));
  for (const { type, data } of events) {
    if (!("key" in data)) continue;
    const verdict = verdicts.get(data.key);
    const isReused = type === "step.reused" || type === "step.overridden" || "from" in data;
    if (verdict === "run" && isReused) wrong.push(`${data.key} was to run, says the plan, and was reused`);
    if (verdict === "reuse" && !isReused) wrong.push(`${data.key} was to be reused, says the plan: ${type}`);
  }
  return wrong;
}

/** A step with declared input whose success was on record under its key is not entered again. */
function paidTwice(source: readonly Event[], next: readonly Event[], entered: readonly Entry[], run: string): string[] {
  const offered = new Map<string, number>();
  const mentioned = new Set(next.map(({ data }) => ("key" in data ? data.key : "")));
  const undone = new Set(
    source
      .flatMap(({ data }) => ("key" in data ? [data.key.replace(/^compensate\//, "")] : []))
      .filter((key) => source.some(({ data }) => "key" in data && data.key === `compensate/${key}`)),
  );
  const isCutShort = next.at(-1)?.type !== "run.succeeded";
  for (const event of source) {
    const { reuse, key = "" } = event.data as { reuse?: string; key?: string };
    if (reuse === undefined || (event.type !== "step.succeeded" && event.type !== "step.reused")) continue;
    // A run that fails takes back what it asked for and was not given yet, and of that nothing is on record.
    if (isCutShort && !mentioned.has(key)) continue;
    // What was made up for is not on offer any more.
    if (undone.has(key)) continue;
    offered.set(reuse, (offered.get(reuse) ?? 0) + 1);
  }
  const wrong: string[] = [];
  for (const event of next) {
    const { reuse } = event.data as { reuse?: string };
    if (reuse === undefined || (event.type !== "step.succeeded" && event.type !== "step.reused")) continue;
    const left = offered.get(reuse) ?? 0;
    if (event.type === "step.reused") offered.set(reuse, left - 1);
  }
  for (const event of next) {
    const { reuse, key } = event.data as { reuse?: string; key?: string };
    if (event.type !== "step.succeeded" || reuse === undefined || (offered.get(reuse) ?? 0) <= 0) continue;
    wrong.push(`${run}: ${key} was entered although its success was on record (${entered.length} entered)`);
  }
  return wrong;
}

/** Whether nothing but what is changed decides what a run comes to. */
function isPredictable(program: readonly Part[], moves: readonly Move[]): boolean {
  const text = JSON.stringify(program);
  const chancy = ['"together"', '"branches"', '"fails":true', '"declared":false'].some((part) => text.includes(part));
  return !chancy && !moves.some(({ change }) => change === "output" || change === "checkpoint");
}

function contextOf(history: string): string {
  const [created] = JSON.parse(history) as Event[];
  const context = created?.type === "run.created" ? created.data.context : undefined;
  return JSON.stringify(context !== undefined && "inline" in context ? context.inline : null);
}

function keysOf(events: readonly Event[]): string[] {
  const keys = new Set<string>();
  for (const { type, data } of events) {
    if (type === "step.succeeded" || type === "step.reused" || type === "wait.answered") keys.add(data.key);
  }
  return [...keys];
}

/** Everything verifies, the trace of the family is one, and every reused value is that of the run and step that it names. */
async function judge(store: Store, id: string): Promise<string[]> {
  const wrong: string[] = [];
  const { runs } = await store.list({ ids: [id] });
  const family = runs[0]?.state.family ?? id;
  const members = (await store.list({ family, limit: 200 })).runs;
  const traced: TracedRun[] = [];
  for (const member of members.toReversed()) traced.push({ run: member.id, events: await readAll(store, member.id) });
  const parts = components(trace(traced));
  if (parts !== 1) wrong.push(`the trace of the family has ${parts} components`);
  const { flaws } = await new Stemma({ store, log: silent }).verify(id, { family: true });
  for (const { run, seq, kind, message } of flaws) wrong.push(`${run} ${seq}: ${kind}: ${message}`);
  const byRun = new Map(traced.map(({ run, events }) => [run, events]));
  for (const { run, events } of traced) {
    for (const { type, data } of events) {
      if (type !== "step.reused") continue;
      for (const named of [data.from, data.origin]) {
        const producer = byRun.get(named.run)?.[named.seq];
        const { output, value } = (producer?.data ?? {}) as { output?: unknown; value?: unknown };
        if (JSON.stringify(output ?? value) !== JSON.stringify(data.output))
          wrong.push(`${run}: ${data.key} is not what ${named.run} has at ${named.seq}`);
      }
      if (byRun.get(data.origin.run)?.[data.origin.seq]?.type === "step.reused")
        wrong.push(`${run}: ${data.key} names as its origin one that was reused itself`);
    }
  }
  return wrong;
}

/** Answers what is asked until the run has ended. */
async function watch(
  store: Store,
  run: string,
  clock: Cast["clock"],
  stemma: Stemma,
  { over, decided }: { over(): boolean; decided(step: string): void },
): Promise<void> {
  const told = new Set<string>();
  while (!over()) {
    const { runs } = await store.list({ ids: [run] });
    const [row] = runs;
    if (row === undefined || isTerminal(row.state.status)) return;
    const { runs: members } = await store.list({
      family: row.state.family,
      limit: 200,
      status: ["running", "suspended"],
    });
    for (const member of members) {
      if (member.state.reason === "in_doubt" && member.state.status === "suspended") {
        const page = await store.history(member.id, { after: member.state.seq - 1, limit: 1 });
        const { detail = [] } = JSON.parse(page?.events[0]?.data ?? "{}") as { detail?: string[] };
        for (const key of detail) {
          const place = `${member.id} ${member.state.seq} ${key}`;
          if (told.has(place)) continue;
          told.add(place);
          // That it may be done again is said before it can be heard.
          decided(parseKey(key).name);
          await stemma.decide(member.id, key, "run").catch(() => {});
        }
      }
      for (const seq of member.state.waits?.open ?? []) {
        const place = `${member.id} ${seq}`;
        if (told.has(place)) continue;
        told.add(place);
        const page = await store.history(member.id, { after: seq - 1, limit: 1 });
        const data = JSON.parse(page?.events[0]?.data ?? "{}") as {
          key: string;
          given?: { inline: unknown };
          prompt: string;
        };
        const answer = data.given === undefined ? `answer to ${place}` : valueOf(data.prompt, data.given.inline);
        await stemma.resume(member.id, data.key, answer).catch(() => {});
      }
    }
    await new Promise<void>((resolve) => clock.after(3, resolve));
  }
}

async function readAll(store: Store, run: string): Promise<Event[]> {
  const { readHistory } = await import("../../src/engine/history-pages.ts");
  return (await readHistory(store, run)).events;
}
