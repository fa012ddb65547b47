/**
 * What can be changed of a durable graph run: restart, fork, reuse, plan; and who may work on it.
 *
 * | Behaviour | Guarantee |
 * | --- | --- |
 * | X6 | a restart goes on from the last checkpoint and enters only what failed |
 * | X12 | a fork says that it is one, from which run and which event; looking writes nothing |
 * | X23 | reuse is by all that a handler can read: swapped inputs are not mixed up |
 * | X26 | of two workers one has the run; of two that answer, one gives the answer, and both are told which it was |
 */
import { expect, test } from "vitest";
import { WorkflowBuilder } from "../../src/graph.ts";
import type { DurableGraph } from "../../src/graph.ts";
import { components } from "../../src/index.ts";
import { errorOf, fresh, outline, stage, until } from "../stage.ts";
import { asks, chain, ends, pass, step } from "./graph.ts";

/** A start, two beside each other of which one may fail, and a list of both. */
function diamond(entered: string[], told: { fails: boolean }): DurableGraph<unknown, unknown> {
  const note = (id: string) =>
    step(id, (message, ctx) => {
      entered.push(id);
      if (id === "bad" && told.fails) throw new Error("bad failed");
      ctx.sendMessage(`${String(message)}-${id}`);
    });
  const [start, good, bad] = [note("start"), note("good"), note("bad")];
  const join = step("join", (list, ctx) => {
    entered.push("join");
    ctx.yieldOutput((list as string[]).join("+"));
  });
  return new WorkflowBuilder({ name: "diamond", start })
    .addFanOutEdges(start, [good, bad])
    .addFanInEdges([good, bad], join)
    .build()
    .durable();
}

test("X6: a restart says beforehand what it will reuse and enter, and does so; the failed run stays as it is", async () => {
  const [entered, told] = [[] as string[], { fails: true }];
  const graph = diamond(entered, told);
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "x");
  expect((await errorOf(run.result())).message).toContain("bad failed");
  const before = await run.history();
  const plan = await on.stemma.plan(run.id);
  const planned = Object.fromEntries(plan.steps.map((one) => [one.key, one.verdict]));
  told.fails = false;
  expect(await run.history()).toEqual(before);
  entered.length = 0;
  const again = await on.stemma.restart(run.id);
  expect([await again.result(), entered.toSorted()]).toEqual([["x-start-good+x-start-bad"], ["bad", "join"]]);
  const lines = await outline(again);
  const reused = lines
    .filter((line) => line.startsWith("step.reused"))
    .map((line) => line.slice("step.reused ".length));
  expect(reused.map((key) => planned[key])).toEqual(reused.map(() => "reuse"));
  expect(reused.length).toBeGreaterThan(0);
  expect(components(await on.stemma.trace(run.id, { family: true }))).toBe(1);
  expect(await run.history()).toEqual(before);
});

test("X12: forks from every checkpoint do anew what is behind it, restarts from there find it again; each says what it is", async () => {
  const entered: string[] = [];
  const graph = diamond(entered, { fails: false });
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "x");
  const output = await run.result();
  const before = await run.history();
  const points = before.filter(({ type }) => type === "checkpoint");
  expect(points).toHaveLength(3);
  for (const [n, { seq }] of points.entries()) {
    for (const kind of ["fork", "restart"] as const) {
      entered.length = 0;
      const made = await on.stemma[kind](run.id, { checkpoint: seq });
      expect(await made.result()).toEqual(output);
      const rest = [["bad", "good", "join"], ["join"], []][n];
      expect(entered.toSorted()).toEqual(kind === "fork" ? rest : []);
      const created = (await made.history())[0]!;
      expect(created.data).toMatchObject({ origin: { kind, run: run.id }, start: { run: run.id, seq } });
    }
  }
  expect(components(await on.stemma.trace(run.id, { family: true }))).toBe(1);
  expect(await run.history()).toEqual(before);
});

test("X23: branches whose inputs are swapped in a fork are entered again, each with its own", async () => {
  const entered: string[] = [];
  const start = step("start", (message, ctx) => {
    const { left, right } = message as { left: string; right: string };
    ctx.sendMessage(left, { target: "left" });
    ctx.sendMessage(right, { target: "right" });
  });
  const side = (id: string) =>
    step(id, (message, ctx) => {
      entered.push(`${id} ${String(message)}`);
      ctx.yieldOutput(`${id} ${String(message)}`);
    });
  const graph = new WorkflowBuilder({ name: "sides", start })
    .addFanOutEdges(start, [side("left"), side("right")])
    .build()
    .durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, { left: "a", right: "b" });
  expect(await run.result()).toEqual(["left a", "right b"]);
  const swapped = await on.stemma.fork(run.id, { input: { left: "b", right: "a" } });
  expect(await swapped.result()).toEqual(["left b", "right a"]);
  const half = await on.stemma.fork(run.id, { input: { left: "a", right: "c" } });
  expect(await half.result()).toEqual(["left a", "right c"]);
  expect(entered).toEqual(["left a", "right b", "left b", "right a", "right c"]);
});

test("a fork with an output given in the place of an executor's goes on with that", async () => {
  const graph = chain(pass("a"), pass("b"), ends("c")).durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "x");
  expect(await run.result()).toEqual(["x-a-b-c"]);
  const effects = { sent: [{ data: "given" }], yielded: [], requests: [], writes: [] };
  const forked = await on.stemma.fork(run.id, { outputs: { "#1/b": effects } });
  expect(await forked.result()).toEqual(["given-c"]);
});

test("X26: of two workers on one store one has the run: each executor is entered once, and the other has nothing of it", async () => {
  const store = fresh();
  const entered: string[] = [];
  const graphs = [diamond(entered, { fails: false }), diamond(entered, { fails: false })];
  const [one, other] = [await stage([graphs[0]!], { store }), await stage([graphs[1]!], { store })];
  const runs = await Promise.all([1, 2, 3].map((n) => one.stemma.run(graphs[0]!, `m${n}`)));
  for (const run of runs) await run.result();
  expect(entered.toSorted()).toEqual(["bad", "good", "join", "start"].flatMap((id) => [id, id, id]));
  for (const run of runs) expect((await run.history()).filter(({ type }) => type === "run.started")).toHaveLength(1);
  await one.stemma.stop();
  await other.stemma.stop();
  await store.close();
});

test("X26: two that answer one request at once: one answer counts, and both are told which; a run at work is not restarted", async () => {
  const store = fresh();
  const graphs = [asks().durable(), asks().durable()];
  const [one, other] = [await stage([graphs[0]!], { store }), await stage([graphs[1]!], { store })];
  const run = await one.stemma.run(graphs[0]!, "q");
  await until(async () => (await other.stemma.waits({ run: run.id })).waits.length === 1);
  const { key } = (await other.stemma.waits({ run: run.id })).waits[0]!;
  expect((await errorOf(other.stemma.restart(run.id))).code).toBe("run.not_terminal");
  const told = await Promise.all([one.stemma.resume(run.id, key, "first"), other.stemma.resume(run.id, key, "second")]);
  const [output] = await run.result();
  const answer = (output as string).replace("q->", "");
  expect(["first", "second"]).toContain(answer);
  expect(told.map((said) => (said.state === "recorded" ? said.value : undefined))).toEqual([answer, answer]);
  expect((await run.history()).filter(({ type }) => type === "wait.answered")).toHaveLength(1);
  await one.stemma.stop();
  await other.stemma.stop();
  await store.close();
});
