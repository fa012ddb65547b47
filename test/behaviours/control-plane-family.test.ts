/**
 * What became of a run, as users of other systems know it: one node alone, where a run comes from and why, and what came
 * from it. The numbers are those of the list of their behaviours, with the other cases in `control-plane-restart`.
 *
 *     B1   theirs restarts the root whatever is named; here the run that is named    a called run alone
 *     B2   only one node: theirs makes a run of one function that nothing uses       a called run alone; one step
 *     B14  kind, source, step, what was asked for, why and by whom                   list, record, lineage, graph, plan
 *     B16  ancestors, descendants, siblings, divergence                              several forks; a chain of three
 */
import { describe, expect, test } from "vitest";
import { components, workflow } from "../../src/index.ts";
import type { RunHandle, Stemma } from "../../src/index.ts";
import { errorOf, stage } from "../stage.ts";
import { World, ended, reusedKeys } from "./restart-world.ts";

const two = (world: World) =>
  workflow({ name: "two" }, async (ctx, n: number) => {
    const a = await ctx.step("a", { input: n }, (m) => world.enter("a", m));
    return ctx.step("b", { input: a }, (m) => world.enter("b", m * 2));
  });

async function calledBy(stemma: Stemma, run: RunHandle): Promise<string> {
  const { runs } = await stemma.list({ family: run.id });
  return runs.find(({ state }) => state.origin.kind === "child")?.id ?? "";
}

describe("B2: one node alone", () => {
  test("a called run is restarted by itself: it reuses all its successes, and its caller is as it was", async () => {
    const world = new World();
    const child = two(world);
    const caller = workflow({ name: "caller" }, async (ctx) => {
      const twice = await ctx.call(child, 2);
      return ctx.step("c", { input: twice }, (m) => world.enter("c", m));
    });
    await using place = await stage([caller, child]);
    const { stemma } = place;
    world.broken.add("b");
    const run = await stemma.run(caller, undefined);
    await ended(run);
    const before = JSON.stringify(await run.history());
    world.broken.clear();
    world.since();
    const called = await calledBy(stemma, run);
    const alone = await stemma.restart(called);
    expect(await alone.result()).toBe(4);
    expect(world.since()).toEqual(["b"]);
    expect(await reusedKeys(alone)).toEqual(["a"]);
    expect((await stemma.row(alone.id)).state).toMatchObject({
      workflow: "two",
      origin: { kind: "restart", run: called },
    });
    expect(await run.status()).toBe("failed");
    expect(JSON.stringify(await run.history())).toBe(before);
    expect(components(await stemma.trace(run.id, { family: true }))).toBe(1);
  });

  test("the step that is named always runs again, be it a success, and what it does not cause does not", async () => {
    const world = new World();
    const wf = workflow({ name: "three" }, async (ctx) => {
      const [a] = await Promise.all([
        ctx.step("a", { input: 1 }, () => world.enter("a", 1)),
        ctx.step("beside", { input: 1 }, () => world.enter("beside", 1)),
      ]);
      await ctx.step("before", { input: a }, () => world.enter("before", 1));
      return ctx.step("last", { input: 2 }, () => world.enter("last", 1));
    });
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    await run.result();
    world.since();
    for (let i = 0; i < 2; i += 1) {
      await (await stemma.restart(run.id, { from: "last" })).result();
      expect(world.since()).toEqual(["last"]);
    }
    await (await stemma.restart(run.id, { from: "before" })).result();
    expect(world.since()).toEqual(["before", "last"]);
  });
});

describe("B14: where a run comes from", () => {
  test("is in the list, in the record, in the lineage and in the graph: kind, source, step, what was asked for, why, by whom", async () => {
    const world = new World();
    const wf = two(world);
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, 1);
    await run.result();
    const asked = { reason: "b was wrong", by: "ada", tags: ["second"] };
    const restart = await stemma.restart(run.id, { from: "b", ...asked });
    const fresh = await stemma.restart(run.id, { reuse: "none" });
    const fork = await stemma.fork(run.id, { after: "a", outputs: { b: 7 } });
    await Promise.all([restart, fresh, fork].map((each) => each.result()));

    const listed = (await stemma.list({ tag: "second" })).runs;
    expect(listed.map(({ id, state }) => [id, state.origin])).toMatchObject([
      [restart.id, { kind: "restart", run: run.id, seq: 2 }],
    ]);
    const [created] = await restart.history();
    expect(created?.data).toMatchObject({
      origin: { kind: "restart", run: run.id },
      from: "b",
      reason: "b was wrong",
      by: "ada",
    });
    const { runs } = await stemma.lineage(run.id);
    const known = new Map(runs.map((member) => [member.id, member]));
    // `at` is where it left: behind `a`, with everything before it reused.
    expect(known.get(restart.id)).toMatchObject({
      source: run.id,
      at: "a",
      from: "b",
      reason: "b was wrong",
      by: "ada",
    });
    expect(known.get(restart.id)?.steps).toMatchObject({ reused: 1, succeeded: 1 });
    expect(known.get(fresh.id)).toMatchObject({ source: run.id, reuse: "none", steps: { reused: 0, succeeded: 2 } });
    expect(known.get(fork.id)).toMatchObject({ origin: { kind: "fork" }, at: "a", after: "a", overrides: ["b"] });
    const { edges } = await stemma.trace(run.id, { family: true });
    const between = edges.filter(({ kind }) => kind === "restarted_from" || kind === "forked_from");
    expect(between.map(({ kind, from, to }) => [kind, from, to])).toEqual([
      ["restarted_from", `wf_step|${run.id}|0`, `wf_run|${restart.id}`],
      ["restarted_from", `wf_completed|${run.id}`, `wf_run|${fresh.id}`],
      ["forked_from", `wf_step|${run.id}|0`, `wf_run|${fork.id}`],
    ]);
  });
});

describe("B16: the family of a run", () => {
  test("has the forks of one source beside one another, and a chain of three below one another", async () => {
    const world = new World();
    const wf = two(world);
    await using place = await stage([wf]);
    const { stemma } = place;
    const make = async (making: Promise<RunHandle>): Promise<string> => {
      const run = await making;
      await run.result();
      return run.id;
    };
    const root = await make(stemma.run(wf, 1));
    const forks: string[] = [];
    for (const n of [2, 3, 4]) forks.push(await make(stemma.fork(root, { input: n })));
    const [first = "", second = "", third = ""] = forks;
    const below = await make(stemma.restart(second, { from: "b" }));
    const lowest = await make(stemma.fork(below, { input: 9 }));
    const other = await make(stemma.run(wf, 1));

    const of = async (run: string): Promise<unknown[]> => {
      const { family, ancestors, descendants, siblings } = await stemma.lineage(run);
      return [family, ancestors, descendants, siblings];
    };
    expect(await of(root)).toEqual([root, [], [first, second, below, lowest, third], []]);
    expect(await of(second)).toEqual([root, [root], [below, lowest], [first, third]]);
    expect(await of(lowest)).toEqual([root, [below, second, root], [], []]);
    expect(await of(other)).toEqual([other, [], [], []]);
    expect((await stemma.lineage(lowest)).runs.map(({ id }) => id)).toEqual([
      root,
      first,
      second,
      third,
      below,
      lowest,
    ]);
    expect((await errorOf(stemma.lineage(`run_${"0".repeat(26)}`))).code).toBe("run.not_found");

    // Where two lines part: at the run that both come from, and where each left it.
    const { parting } = await stemma.compare(lowest, third);
    expect(parting).toMatchObject({ run: root });
    expect((await stemma.compare(below, lowest)).parting).toMatchObject({ run: below });
    expect((await stemma.compare(lowest, other)).parting).toBeUndefined();
  });
});
