/**
 * What is on record and what is read from it: checkpoints, recall, cancelling, ends, the feed. The numbers in comments
 * are those of the list of behaviours of other systems of this kind.
 *
 * Not here: 16 and 17 (versions of stored forms) are in the tests of the store and of `core/state`; 22 and 23 (a new run
 * from a checkpoint of another) belong to forks; joins (29, 30, 32, 35), routes (36, 37, 40; the decisions of 41), what a
 * called run is given (38) and who comes first (45, 46) are in `trace-branches`; 7 is about the insides of a store. 28 and
 * 44 over HTTP belong to the server.
 */
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { Stemma, components, reduceAll, workflow } from "../../src/index.ts";
import type { Context, Event, RunHandle, Workflow } from "../../src/index.ts";
import { errorOf, fresh, onPostgres, outline, silent, stage, until } from "../stage.ts";

const body = (run: (ctx: Context) => Promise<unknown>, name = "told"): Workflow<undefined> => workflow({ name }, run);
const ofType = (events: readonly Event[], type: string): Event[] => events.filter((event) => event.type === type);
const rests = async (run: RunHandle): Promise<void> => until(async () => (await run.status()) === "suspended");

const three = body(async (ctx) => {
  const done: string[] = [];
  for (const name of ["a", "b", "end"]) done.push(await ctx.step(name, () => name));
  return done;
});

describe("the record", () => {
  // 18. and 21: theirs folds states with one function live and with another in replay.
  it("adds up to the same state live and read again, at every event", async () => {
    await using theatre = await stage([three]);
    const { stemma } = theatre;
    const run = await stemma.run(three, undefined);
    expect(await run.result()).toEqual(["a", "b", "end"]);
    const history = await run.history();
    for (const { seq } of history) {
      const state = await stemma.stateAt(run.id, seq);
      expect(state).toEqual(reduceAll(history.slice(0, seq + 1)));
      expect(structuredClone(JSON.parse(JSON.stringify(state)))).toEqual(state);
    }
    expect(await stemma.stateAt(run.id, history.length - 1)).toEqual((await stemma.row(run.id)).state);
    const outputs = ofType(history, "step.succeeded").map(({ data }) => (data as { output: unknown }).output);
    expect(outputs).toEqual([{ inline: "a" }, { inline: "b" }, { inline: "end" }]);
  });

  // 19.
  it("is ordered by seq and not by time: a clock that is set back changes nothing", async () => {
    let time = 2_000_000_000_000;
    const back = (value: string): string => ((time -= 60_000), value);
    const definition = body(async (ctx) => [
      await ctx.step("a", () => back("a")),
      await ctx.step("b", () => back("b")),
      await ctx.step("end", () => back("end")),
    ]);
    await using store = fresh({ now: () => time });
    await using theatre = await stage([definition], { store });
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toEqual(["a", "b", "end"]);
    const history = await run.history();
    expect(history.map(({ seq }) => seq)).toEqual(history.map((_, i) => i));
    expect((await run.trace()).nodes.flatMap(({ kind, key }) => (kind === "step" ? [key] : []))).toEqual([
      "a",
      "b",
      "end",
    ]);
  });

  // 20.
  it("is not changed by being read, in whatever way", async () => {
    const definition = body((ctx) => ctx.wait("gate"));
    await using theatre = await stage([definition]);
    const { stemma } = theatre;
    const run = await stemma.run(definition, undefined);
    await rests(run);
    const before = [await run.history(), await stemma.row(run.id)];
    for (const event of await run.history()) await stemma.stateAt(run.id, event.seq);
    await run.trace();
    await stemma.trace(run.id, { family: true });
    await stemma.waits();
    for await (const _ of stemma.feed({ once: true })) void _;
    expect([await run.history(), await stemma.row(run.id)]).toEqual(before);
  });

  // 22 and 23, as far as they are about one run: what is done is not done again.
  it("is what a run goes on from in another process: nothing that is done is done again, and what it needs is there", async () => {
    // Defect 6: dependencies are lost on resume there. Here they are what the code closes over, and the run's context.
    await using store = fresh();
    const log: string[] = [];
    const withDeps = (dep: string): Workflow<undefined> =>
      body(async (ctx) => {
        const before = await ctx.step("a", () => (log.push(`a with ${dep}`), dep));
        await ctx.wait("gate");
        const after = await ctx.step("b", () => (log.push(`b with ${dep}`), dep));
        return [before, after, ctx.context];
      });
    const one = await new Stemma({ store, workflows: [withDeps("one")], log: silent }, { lingerMs: 1 }).start();
    const { id } = await one.run(withDeps("one"), undefined, { context: { tenant: 7 } });
    await rests(await one.get(id));
    await one.stop();
    await using two = await new Stemma({ store, workflows: [withDeps("two")], log: silent }).start();
    await two.resume(id, "gate", 1);
    expect(await (await two.get(id)).result()).toEqual(["one", "two", { tenant: 7 }]);
    expect(log).toEqual(["a with one", "b with two"]);
  });

  // Defect 3: theirs stops at step 10,001.
  it("has no number of steps at which a run hangs", { timeout: 240_000 }, async () => {
    const count = onPostgres ? 1000 : 10_050;
    const definition = body(async (ctx) => {
      let sum = 0;
      for (let i = 0; i < count; i += 1) sum += await ctx.step("tick", () => 1);
      return sum;
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe(count);
    const graph = await run.trace();
    expect(graph.nodes.filter(({ kind }) => kind === "step")).toHaveLength(count);
    expect(graph.nodes.find(({ id }) => id === `wf_step|${run.id}|${count - 1}`)?.status).toBe("succeeded");
  });
});

describe("cancelling", () => {
  // 24. Theirs keeps the accept point; here the history ends where the run ended.
  it("from inside a step: the step is the last, one request and one end are on record, and reading again says so", async () => {
    let stemma: Stemma;
    const log: string[] = [];
    const definition = body(async (ctx) => {
      await ctx.step("start", async (_, { abort }) => {
        log.push("trigger_cancel");
        const heard = once(abort, "abort");
        await stemma.cancel(ctx.runId, { by: "start", reason: "enough" });
        await heard;
        return "trigger_cancel";
      });
      await ctx.step("after", () => void log.push("after"));
      return ctx.step("end", () => void log.push("end"));
    });
    await using theatre = await stage([definition], { concurrency: 1 });
    ({ stemma } = theatre);
    const run = await stemma.run(definition, undefined);
    expect(await errorOf(run.result())).toMatchObject({ code: "run.cancelled" });
    expect(log).toEqual(["trigger_cancel"]);
    const history = await run.history();
    expect(ofType(history, "cancel.requested")).toHaveLength(1);
    expect(ofType(history, "run.cancelled").map(({ data }) => data)).toEqual([{ by: "start", reason: "enough" }]);
    const graph = await run.trace();
    const ends = graph.nodes.filter(({ kind }) => kind === "terminal").map(({ id }) => id.replace(run.id, "R"));
    expect(ends).toEqual(["wf_cancelled|R"]);
    expect(graph.edges.filter(({ kind }) => kind === "terminal").map(({ from }) => from)).toEqual([
      `wf_step|${run.id}|0`,
    ]);
    expect((await stemma.stateAt(run.id, history.length - 1)).status).toBe("cancelled");
    expect(components(graph)).toBe(1);
  });

  // 27: before the start. Defect 8: theirs gives a cancelled run that is run again two ends.
  it("before the start, and again and again, is one end; what comes later changes nothing", async () => {
    await using store = fresh();
    const client = new Stemma({ store, log: silent });
    const run = await client.run(three, undefined, { idempotencyKey: "once" });
    expect(await run.cancel()).toEqual({ accepted: true, status: "cancelled" });
    // 28.
    for (let i = 0; i < 2; i += 1) expect(await run.cancel()).toEqual({ accepted: false, status: "cancelled" });
    await using worker = await new Stemma({ store, workflows: [three], log: silent }).start();
    expect((await worker.run(three, undefined, { idempotencyKey: "once" })).id).toBe(run.id);
    expect(await errorOf((await worker.get(run.id)).result())).toMatchObject({ code: "run.cancelled" });
    const graph = await run.trace();
    expect(graph.nodes.map(({ kind, status }) => `${kind} ${status}`)).toEqual(["run cancelled", "terminal cancelled"]);
  });

  // 28.
  it("what has ended is refused, and leaves no trace", async () => {
    await using theatre = await stage([three]);
    const run = await theatre.stemma.run(three, undefined);
    await run.result();
    const before = await run.history();
    expect(await run.cancel({ reason: "late" })).toEqual({ accepted: false, status: "succeeded" });
    expect(await run.history()).toEqual(before);
  });

  // 27. Defect of 3.4: a cancelled suspended run is heard of only at the next resume there.
  it("a run that waits ends it now; its wait is withdrawn and takes no answer", async () => {
    const definition = body((ctx) => ctx.all({ a: () => ctx.wait("a"), b: () => ctx.wait("b") }));
    await using theatre = await stage([definition]);
    const { stemma } = theatre;
    const run = await stemma.run(definition, undefined);
    await rests(run);
    await run.cancel();
    expect(await errorOf(run.result())).toMatchObject({ code: "run.cancelled" });
    expect((await stemma.waits()).waits).toEqual([]);
    expect(await errorOf(stemma.resume(run.id, "a/a", 1))).toMatchObject({ code: "wait.not_open" });
    const graph = await run.trace();
    expect(graph.nodes.flatMap(({ kind, status }) => (kind === "step" ? [status] : []))).toEqual([
      "withdrawn",
      "withdrawn",
    ]);
    expect(components(graph)).toBe(1);
  });

  // 27.
  it("a run cancels the runs that it called, and is over when they are", async () => {
    const child = body((ctx) => ctx.wait("question"), "child");
    const parent = body((ctx) => ctx.call(child, undefined), "parent");
    await using theatre = await stage([parent, child]);
    const { stemma } = theatre;
    const run = await stemma.run(parent, undefined);
    await until(async () => (await stemma.waits()).waits.length === 1);
    await run.cancel();
    expect(await errorOf(run.result())).toMatchObject({ code: "run.cancelled" });
    const family = await stemma.trace(run.id, { family: true });
    expect(family.nodes.flatMap(({ kind, status }) => (kind === "run" ? [status] : []))).toEqual([
      "cancelled",
      "cancelled",
    ]);
    expect(components(family)).toBe(1);
  });
});

describe("an end", () => {
  // 25. Theirs does not link a completed run to its last step.
  it("that is a success is one node behind the last step", async () => {
    const definition = body(async (ctx) => {
      await ctx.step("start", () => 1);
      await ctx.step("leaf", () => 2);
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await run.result();
    const { nodes, edges } = await run.trace();
    expect(nodes.filter(({ kind }) => kind === "terminal").map(({ id }) => id)).toEqual([`wf_completed|${run.id}`]);
    expect(edges.filter(({ kind }) => kind === "terminal").map(({ from }) => from)).toEqual([`wf_step|${run.id}|1`]);
  });

  // 26.
  it("that is a failure is one node behind the step that failed, with its error", async () => {
    const definition = body((ctx) => ctx.step("start", () => Promise.reject(new Error("boom"))));
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await errorOf(run.result());
    const { nodes, edges } = await run.trace();
    expect(nodes.filter(({ kind }) => kind === "terminal").map(({ id }) => id)).toEqual([`wf_failed|${run.id}`]);
    expect(edges.filter(({ kind }) => kind === "terminal").map(({ from }) => from)).toEqual([`wf_step|${run.id}|0`]);
    expect((await theatre.stemma.row(run.id)).state.error?.message).toBe("boom");
  });

  // Defects 8 and 12: one status, wherever it is read.
  it.for(["succeeded", "failed", "cancelled", "suspended"] as const)(
    "has one name everywhere, and so has a rest: %s",
    async (status) => {
      const definition = body(async (ctx) => {
        await ctx.step("a", () => (status === "failed" ? Promise.reject(new Error("no")) : 1));
        if (status !== "succeeded") await ctx.wait("gate");
      });
      await using theatre = await stage([definition]);
      const { stemma } = theatre;
      const run = await stemma.run(definition, undefined);
      if (status === "cancelled" || status === "suspended") await rests(run);
      if (status === "cancelled") await run.cancel();
      if (status !== "suspended") await run.result().catch(() => undefined);
      const last = (await run.history()).length - 1;
      expect(await run.status()).toBe(status);
      expect((await stemma.row(run.id)).state.status).toBe(status);
      expect((await stemma.stateAt(run.id, last)).status).toBe(status);
      expect((await run.trace()).nodes[0]?.status).toBe(status);
      expect((await stemma.store.list({ status: [status] })).runs.map(({ id }) => id)).toEqual([run.id]);
    },
  );
});

describe("the feed", () => {
  // 41, and defect 12: three logs with three orders there, one here.
  it("has every event of the history once, in its order; each step began once and ended once", async () => {
    const definition = body(async (ctx) => {
      await ctx.all({ a: () => ctx.step("x", () => 1), b: () => ctx.step("x", { effect: "once" }, () => 2) });
      await ctx.wait("gate");
      return ctx.step("end", () => 1);
    });
    await using theatre = await stage([definition]);
    const { stemma } = theatre;
    const run = await stemma.run(definition, undefined);
    await rests(run);
    await stemma.resume(run.id, "gate", 1);
    await run.result();
    const fed: { position: number; event: Event }[] = [];
    for await (const { position, event } of stemma.feed({ run: run.id })) fed.push({ position, event });
    const history = await run.history();
    expect(fed.map(({ event }) => event)).toEqual(history);
    expect(fed.map(({ position }) => position).toSorted((a, b) => a - b)).toEqual(fed.map(({ position }) => position));
    expect([history[0]?.type, history[1]?.type, history.at(-1)?.type]).toEqual([
      "run.created",
      "run.started",
      "run.succeeded",
    ]);
    for (const key of ["a/x", "b/x", "end"]) {
      const about = history.filter(({ data }) => "key" in data && data.key === key).map(({ type }) => type);
      expect(about.filter((type) => type === "step.succeeded")).toHaveLength(1);
      expect(about.filter((type) => type === "step.started").length).toBeLessThanOrEqual(1);
      expect(about.at(-1)).toBe("step.succeeded");
    }
    // 42. A join is on record with what came to it.
    const [closed] = ofType(history, "scope.closed");
    expect(closed?.data).toMatchObject({ kind: "all" });
    const ends = ofType(history, "step.succeeded").slice(0, 2);
    expect(closed?.causes).toEqual(ends.map(({ seq }) => seq));
  });

  // 43 and 44. Theirs was never tested from a point in the past, nor across a restart, where its numbers begin anew.
  it("goes on from any position, across a restart, and of one run only; behind the end of a run there is nothing", async () => {
    await using store = fresh();
    const first = await new Stemma({ store, workflows: [three], log: silent }).start();
    const run = await first.run(three, undefined);
    await run.result();
    const all: number[] = [];
    for await (const { position } of first.feed({ run: run.id })) all.push(position);
    await first.stop();
    await using second = await new Stemma({ store, workflows: [three], log: silent }).start();
    const other = await second.run(three, undefined);
    await other.result();
    for (const [i, after] of all.entries()) {
      const rest: number[] = [];
      for await (const { position } of second.feed({ run: run.id, after })) rest.push(position);
      expect(rest).toEqual(all.slice(i + 1));
    }
    const seen: number[] = [];
    for await (const { position, run: of } of second.feed({ run: other.id })) {
      expect(of).toBe(other.id);
      seen.push(position);
    }
    expect(Math.min(...seen)).toBeGreaterThan(Math.max(...all));
  });
});

describe("the graph", () => {
  // Defects 12 and 13.
  it("of branches is no line: each step is behind its own branch, and the ids are those of the order of asking", async () => {
    for (const slow of ["a", "b"]) {
      const latch = Promise.withResolvers<void>();
      const definition = body(async (ctx) => {
        await ctx.step("s", () => 1);
        const branch = (name: string) => async (): Promise<void> => {
          // What takes longer is asked about first or last, and ends last.
          await ctx.step("one", { effect: "once" }, () => (name === slow ? latch.promise : undefined));
          await ctx.step("two", () => (name === slow ? undefined : latch.resolve()));
        };
        await ctx.all({ a: branch("a"), b: branch("b") });
        return ctx.step("end", () => 1);
      });
      await using theatre = await stage([definition]);
      const run = await theatre.stemma.run(definition, undefined);
      await run.result();
      const graph = await run.trace();
      const byKey = new Map(graph.nodes.flatMap((node) => (node.kind === "step" ? [[node.key, node] as const] : [])));
      const behind = (key: string): (string | undefined)[] =>
        graph.edges.flatMap(({ kind, from, to }) =>
          kind === "wf_next_step_exec" && to === byKey.get(key)?.id
            ? [graph.nodes.find(({ id }) => id === from)?.key]
            : [],
        );
      expect(behind("a/one")).toEqual(["s"]);
      expect(behind("b/one")).toEqual(["s"]);
      expect(behind("a/two")).toEqual(["a/one"]);
      expect(behind("b/two")).toEqual(["b/one"]);
      expect([byKey.get("s")?.n, byKey.get("a/one")?.n, byKey.get("b/one")?.n, byKey.get("end")?.n]).toEqual([
        0, 1, 2, 5,
      ]);
      expect(components(graph)).toBe(1);
    }
  });

  // 31, 33 and 34.
  it("of branches that need each other, joined, with a run in a run: they do run side by side, in many runs at once", async () => {
    const child = workflow({ name: "child" }, async (ctx, input: string) =>
      ctx.step("nested", () => `${input} nested`),
    );
    const definition = body(async (ctx) => {
      const a = Promise.withResolvers<void>();
      const b = Promise.withResolvers<void>();
      await ctx.all({
        a: () =>
          ctx.step("a", () => {
            a.resolve();
            return b.promise;
          }),
        b: () =>
          ctx.step("b", () => {
            b.resolve();
            return a.promise;
          }),
      });
      await ctx.all({ c: () => ctx.step("c", () => 1), d: () => ctx.step("d", () => 1) });
      const nested = await ctx.call(child, "is");
      return ctx.step("end", () => nested);
    });
    await using theatre = await stage([definition, child]);
    const { stemma } = theatre;
    const runs = await Promise.all(Array.from({ length: 20 }, () => stemma.run(definition, undefined)));
    for (const run of runs) {
      expect(await run.result()).toBe("is nested");
      const keys = (await outline(run)).filter((line) => line.startsWith("step.succeeded"));
      expect(keys.filter((line) => line.endsWith(" end"))).toHaveLength(1);
      expect(keys.at(-1)).toBe("step.succeeded end");
      expect(components(await stemma.trace(run.id, { family: true }))).toBe(1);
    }
  });

  // Defect 12: running steps are invisible there.
  it("shows a step that runs, and keeps every id while the run goes on", async () => {
    const latch = Promise.withResolvers<void>();
    const definition = body(async (ctx) => {
      await ctx.step("long", { effect: "once" }, () => latch.promise);
      await ctx.wait("gate");
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await outline(run)).includes("step.started long"));
    const early = await run.trace();
    expect(early.nodes.find(({ key }) => key === "long")?.status).toBe("running");
    latch.resolve();
    await rests(run);
    const later = await run.trace();
    await theatre.stemma.resume(run.id, "gate", 1);
    await run.result();
    const last = await run.trace();
    for (const [before, after] of [
      [early, later],
      [later, last],
    ] as const) {
      const nodes = new Set(after.nodes.map(({ id, n, key }) => JSON.stringify([id, n, key])));
      const edges = new Set(after.edges.map((edge) => JSON.stringify(edge)));
      for (const { id, n, key } of before.nodes) expect(nodes).toContain(JSON.stringify([id, n, key]));
      for (const edge of before.edges) expect(edges).toContain(JSON.stringify(edge));
    }
  });

  // Of the tests to add: a child is connected; called n times it is n runs; its wait suspends its parent. 39: its failure
  // is its parent's, where that does not catch it.
  it("of a family has each child behind the step that called it, as many as there were calls", async () => {
    const child = workflow({ name: "child" }, async (ctx, input: number) => [input, await ctx.wait("question")]);
    const parent = body(async (ctx) => {
      const got: unknown[] = [];
      for (let i = 0; i < 3; i += 1) got.push(await ctx.call(child, i));
      return got;
    }, "parent");
    await using theatre = await stage([parent, child]);
    const { stemma } = theatre;
    const run = await stemma.run(parent, undefined);
    for (let i = 0; i < 3; i += 1) {
      await until(async () => (await stemma.waits()).waits.length === 1);
      await rests(run);
      const [open] = (await stemma.waits()).waits;
      await stemma.resume(open?.run ?? "", "question", "yes");
      await until(async () => ofType(await run.history(), "child.ended").length === i + 1);
    }
    expect(await run.result()).toEqual([0, 1, 2].map((i) => [i, "yes"]));
    const family = await stemma.trace(run.id, { family: true });
    expect(family.nodes.filter(({ kind }) => kind === "run")).toHaveLength(4);
    expect(family.edges.filter(({ kind }) => kind === "child_run").map(({ from }) => from)).toEqual(
      [0, 1, 2].map((n) => `wf_step|${run.id}|${n}`),
    );
    expect(family.nodes.filter(({ kind }) => kind === "terminal")).toHaveLength(4);
    expect(components(family)).toBe(1);
  });

  it("of a family whose child failed ends where the child did, unless that was caught", async () => {
    const child = body((ctx) => ctx.step("bad", () => Promise.reject(new Error("broken"))), "child");
    const parent = body(async (ctx) => {
      await ctx.step("spawn", () => 1);
      await ctx.call(child, undefined);
      return ctx.step("end", () => 1);
    }, "parent");
    await using theatre = await stage([parent, child]);
    const run = await theatre.stemma.run(parent, undefined);
    expect(await errorOf(run.result())).toMatchObject({ code: "run.failed", data: { steps: ["child"] } });
    expect((await outline(run)).join()).not.toContain("end ");
    const { edges } = await run.trace();
    expect(edges.filter(({ kind }) => kind === "terminal").map(({ from }) => from)).toEqual([`wf_step|${run.id}|1`]);
    expect(components(await theatre.stemma.trace(run.id, { family: true }))).toBe(1);
  });
});
