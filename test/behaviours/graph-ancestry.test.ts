/**
 * Ancestry of checkpoints, whatever the graph is and whatever is done to it: fresh runs, runs that fail, resumes and
 * forks from any checkpoint, again and at once, answers, stops of the worker. On both hosts (G1, G2, G3, G11, X11, X12, X22).
 *
 * From every checkpoint the parent chain reaches a root; what continues one checkpoint has that one as its parent, each
 * time; fresh runs are roots; and what came of one root hangs together as one graph.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Executor, factory, handler, memoryCheckpoints, responseHandler, WorkflowBuilder } from "../../src/graph.ts";
import type { CheckpointID, Workflow, WorkflowCheckpoint, WorkflowEvent, WorkflowRunResult } from "../../src/graph.ts";
import { isTerminal } from "../../src/core/run.ts";
import { components } from "../../src/index.ts";
import type { Event, RunId, Stemma } from "../../src/index.ts";
import { familyOf } from "../family.ts";
import { errorOf, fresh, stage, until } from "../stage.ts";
import type { Ctx } from "./graph.ts";

/** Arrows between nodes: each node but the first has one from an earlier one, and there are others, back too. */
const shapes = fc.integer({ min: 1, max: 4 }).chain((size) =>
  fc.record({
    size: fc.constant(size),
    before: fc.tuple(...Array.from({ length: size - 1 }, (_, n) => fc.nat(n))),
    more: fc.array(fc.tuple(fc.nat(size - 1), fc.nat(size - 1)), { maxLength: 2 }),
    asks: fc.option(fc.nat(size - 1)),
    /** A third kind of edge: the last node is behind all others, as a fan-in. */
    fanIn: fc.boolean(),
  }),
);
type Shape = typeof shapes extends fc.Arbitrary<infer S> ? S : never;

/** At which hop executors fail; null: at none. */
type Told = { at: number | null };
const hops = 4;

class Node extends Executor {
  readonly #told: Told;
  readonly #asks: boolean;
  #seen = 0;
  constructor(id: string, told: Told, asks: boolean) {
    super(id);
    this.#told = told;
    this.#asks = asks;
  }
  readonly handlers = [
    handler({}, async (message, ctx: Ctx) => {
      const hop = Array.isArray(message) ? Math.max(...(message as number[])) : (message as number);
      this.#seen += 1;
      ctx.setState(this.id, this.#seen);
      await Promise.resolve();
      if (hop === this.#told.at) throw new Error("told to fail");
      if (hop >= hops) ctx.yieldOutput(hop);
      else if (this.#asks && hop < 2) ctx.requestInfo(hop);
      else ctx.sendMessage(hop + 1);
    }),
  ];
  override readonly responseHandlers = [
    responseHandler({}, (hop, _, ctx: Ctx) => ctx.sendMessage((hop as number) + 1)),
  ];
  override onCheckpointSave(): unknown {
    return this.#seen;
  }
  override onCheckpointRestore(seen: unknown): void {
    this.#seen = seen as number;
  }
}

function built({ size, before, more, asks, fanIn }: Shape, told: Told): Workflow {
  const nodes = Array.from({ length: size }, (_, n) => factory(() => new Node(`n${n}`, told, n === asks)));
  let builder: WorkflowBuilder = new WorkflowBuilder({ name: "ancestry", start: nodes[0]!, undeliverable: "report" });
  const arrows = [...before.map((from, n) => [from, n + 1] as const), ...more];
  const unique = new Map(arrows.map(([from, to]) => [`${from} ${to}`, [from, to] as const]));
  for (const [from, to] of unique.values()) builder = builder.addEdge(nodes[from]!, nodes[to]!);
  if (fanIn && size > 2) builder = builder.addFanInEdges(nodes.slice(0, 2), nodes[size - 1]!);
  return builder.build();
}

/** What is done at once: a fresh run, or one from the n-th checkpoint there is, which may have its requests answered. */
const deeds = fc.array(
  fc.record({
    failsAt: fc.option(fc.nat(hops)),
    atOnce: fc.array(fc.record({ kind: fc.constantFrom("fresh", "resume", "fork", "answer"), from: fc.nat() }), {
      minLength: 1,
      maxLength: 3,
    }),
  }),
  { minLength: 1, maxLength: 5 },
);
type Deed = { kind: string; from: number };

/** How many of these hang together, where causes and places are edges. */
function pieces(events: readonly WorkflowEvent[]): number {
  const parent = new Map(events.map(({ id }) => [id, id]));
  const top = (id: string): string => {
    const above = parent.get(id) ?? id;
    return above === id ? id : top(above);
  };
  for (const { id, causes } of events) for (const cause of causes) parent.set(top(id), top(cause));
  return new Set([...parent.keys()].map(top)).size;
}

test("G1, G2, G3, G11, X11, X22: in memory: runs, failures, resumes and forks, repeated and concurrent, of any graph", async () => {
  await fc.assert(
    fc.asyncProperty(shapes, deeds, async (shape, todo) => {
      const storage = memoryCheckpoints();
      const told: Told = { at: null };
      const graph = built(shape, told);
      const events: WorkflowEvent[] = [];
      const list = (): Promise<WorkflowCheckpoint[]> => storage.listCheckpoints({ workflowName: "ancestry" });
      let roots = 0;
      const carryOut = async ({ kind, from }: Deed, there: readonly WorkflowCheckpoint[]): Promise<void> => {
        const source = kind === "fresh" ? undefined : there[from % Math.max(1, there.length)];
        if (source === undefined) roots += 1;
        const open = Object.keys(source?.state.requests ?? {});
        const responses = kind === "answer" ? Object.fromEntries(open.slice(from % 2).map((id) => [id, "yes"])) : {};
        const start =
          source === undefined
            ? { message: 0 }
            : kind === "fork"
              ? { checkpointId: source.checkpointId, fork: { state: { forked: true } } }
              : { checkpointId: source.checkpointId, responses };
        const options = { checkpointStorage: storage };
        const ended = await graph.run(start, options).catch((error: unknown) => error as Error);
        const data = ended instanceof Error ? (ended as Error & { data: object }).data : ended;
        const own = data as { run?: string; runId?: string; events: WorkflowEvent[]; checkpoint?: string };
        events.push(...own.events);
        const run = own.run ?? own.runId;
        const added = (await list()).filter(({ runId }) => runId === run);
        const chain = [source?.checkpointId ?? null, ...added.map(({ checkpointId }) => checkpointId)];
        expect(added.map(({ previousCheckpointId }) => previousCheckpointId)).toEqual(chain.slice(0, added.length));
        expect((ended as WorkflowRunResult).checkpointId ?? own.checkpoint).toBe(chain.at(-1));
        const [first, ...rest] = added;
        const continued = source && {
          kind: kind === "fork" ? "fork" : "resume",
          run: source.runId,
          checkpoint: source.checkpointId,
        };
        if (first !== undefined) expect(first.continues).toEqual(continued);
        expect(rest.every(({ continues }) => continues === undefined)).toBe(true);
        if (source === undefined) expect(first).toMatchObject({ kind: "entry", iterationCount: 0 });
      };
      for (const { failsAt, atOnce } of todo) {
        told.at = failsAt;
        const there = await list();
        await Promise.all(atOnce.map((deed) => carryOut(deed, there)));
      }
      const all = await list();
      const byId = new Map(all.map((one) => [one.checkpointId, one]));
      expect(all.filter((one) => one.previousCheckpointId === null)).toHaveLength(roots);
      for (const checkpoint of all) expect(rootOf(checkpoint, byId).kind).toBe("entry");
      expect(pieces(events)).toBe(roots);
    }),
    { numRuns: 80 },
  );
});

/** Throws where the chain of parents has a gap or does not end. */
function rootOf(
  checkpoint: WorkflowCheckpoint,
  byId: ReadonlyMap<CheckpointID, WorkflowCheckpoint>,
): WorkflowCheckpoint {
  const seen = new Set<CheckpointID>();
  let one = checkpoint;
  while (one.previousCheckpointId !== null) {
    expect(seen.has(one.checkpointId)).toBe(false);
    seen.add(one.checkpointId);
    const parent = byId.get(one.previousCheckpointId);
    expect(parent).toBeDefined();
    one = parent as WorkflowCheckpoint;
  }
  return one;
}

/** What is done to durable runs, one after the other or at once; the worker may be stopped while they are under way. */
const durableDeeds = fc.array(
  fc.record({
    failsAt: fc.option(fc.nat(hops)),
    /** After how many milliseconds. */
    stops: fc.option(fc.nat(6)),
    atOnce: fc.array(
      fc.record({ kind: fc.constantFrom("fresh", "restart", "fork", "resume"), from: fc.nat(), at: fc.nat() }),
      { minLength: 1, maxLength: 3 },
    ),
  }),
  { minLength: 1, maxLength: 4 },
);

/** Answers what runs ask, and says whether all are at their ends. */
async function look(stemma: Stemma, runs: readonly RunId[]): Promise<boolean> {
  let open = 0;
  for (const run of runs) {
    if (isTerminal((await stemma.row(run)).state.status)) continue;
    open += 1;
    for (const { key } of (await stemma.waits({ run })).waits) {
      // It may be answered, or withdrawn by a failure, in between; and whoever takes it in may need the time to go on.
      void stemma.resume(run, key, "yes").catch(() => undefined);
    }
  }
  return open === 0;
}

test("G1, G2, G11, X12, X22: under the engine: runs, failures, restarts, and forks from any checkpoint, repeated and at once, over stops of the worker", async () => {
  await fc.assert(
    fc.asyncProperty(shapes, durableDeeds, async (shape, todo) => {
      const store = fresh();
      const told: Told = { at: null };
      const graph = built(shape, told).durable();
      let on = await stage([graph], { store });
      const runs: RunId[] = [];
      let roots = 0;
      try {
        for (const { failsAt, stops, atOnce } of todo) {
          told.at = failsAt;
          const begun = await Promise.all(
            atOnce.map(async ({ kind, from, at }) => {
              const source = kind === "fresh" ? undefined : runs[from % Math.max(1, runs.length)];
              if (source === undefined) {
                roots += 1;
                return (await on.stemma.run(graph, 0)).id;
              }
              if (kind === "restart") return (await on.stemma.restart(source)).id;
              const points = checkpointsOf(await on.stemma.history(source));
              const point = points[at % Math.max(1, points.length)];
              const change = point === undefined ? {} : { checkpoint: point.seq };
              return (
                await on.stemma.fork(source, { ...change, ...(kind === "fork" ? { reuse: "none" as const } : {}) })
              ).id;
            }),
          );
          if (stops !== null) {
            await new Promise((resolve) => setTimeout(resolve, stops));
            await on.stemma.stop({ timeout: 0 });
            on = await stage([graph], { store });
          }
          await until(() => look(on.stemma, begun));
          runs.push(...begun);
        }
        await checkFamilies(on.stemma, runs, roots);
      } finally {
        await on.stemma.stop();
        await store.close();
      }
    }),
    { numRuns: 30 },
  );
});

type Point = Extract<Event, { type: "checkpoint" }>;
const checkpointsOf = (history: readonly Event[]): Point[] => history.filter((event) => event.type === "checkpoint");

async function checkFamilies(stemma: Stemma, runs: readonly RunId[], roots: number): Promise<void> {
  const families = new Set<RunId>();
  for (const run of runs) families.add((await stemma.row(run)).state.family);
  expect(families.size).toBe(roots);
  for (const family of families) {
    expect(components(await stemma.trace(family, { family: true }))).toBe(1);
    const histories = new Map<RunId, readonly Event[]>();
    for (const { id } of await familyOf(stemma, family)) histories.set(id, await stemma.history(id));
    for (const [run, history] of histories) {
      for (const { seq } of checkpointsOf(history)) expect(endOfChain(run, seq, histories)).toBe(true);
    }
  }
}

/** Whether the parents of a checkpoint lead to the beginning of a run that starts from none. */
function endOfChain(run: RunId, seq: number, histories: ReadonlyMap<RunId, readonly Event[]>): boolean {
  let [at, place] = [run, seq];
  for (let steps = 0; steps < 1000; steps += 1) {
    const event = histories.get(at)?.[place];
    if (event?.type !== "checkpoint") return false;
    const created = histories.get(at)?.[0];
    if (created?.type !== "run.created") return false;
    if (event.data.parent !== null) {
      place = event.data.parent;
      continue;
    }
    const { start, origin } = created.data;
    if (start === undefined) return origin.kind !== "child";
    [at, place] = [start.run, start.seq];
  }
  return false;
}

test("what a chain without an end, or with a gap, would be is found", async () => {
  const one = { checkpointId: "a", previousCheckpointId: "b" } as unknown as WorkflowCheckpoint;
  expect(await errorOf((async () => rootOf(one, new Map([["a" as CheckpointID, one]])))())).toBeDefined();
  const loop = { ...one, previousCheckpointId: "a" as CheckpointID };
  expect(await errorOf((async () => rootOf(loop, new Map([["a" as CheckpointID, loop]])))())).toBeDefined();
});
