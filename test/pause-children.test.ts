/** Pausing a run that called others: they are paused and unpaused with it, whatever crashes. */
import { describe, expect, it } from "vitest";
import { workflow } from "../src/index.ts";
import type { Context, RunHandle, Stemma, Workflow } from "../src/index.ts";
import { fakeClock } from "../src/testing.ts";
import type { FakeClock } from "../src/testing.ts";
import { atEveryCommit, childrenOf, faultsOf, statusesOf } from "./family.ts";
import { crashStride, fresh, stage } from "./stage.ts";

function body(name: string, run: (ctx: Context) => Promise<unknown>, timeout?: string): Workflow<undefined> {
  return workflow({ name, ...(timeout === undefined ? {} : { timeout }) }, run);
}

const count = async (run: RunHandle, type: string): Promise<number> =>
  (await run.history()).filter((event) => event.type === type).length;

/** The statuses of a run and of those that it called, itself first. */
async function statusesBelow(stemma: Stemma, run: string): Promise<string[]> {
  const { state } = await stemma.row(run);
  const below = await childrenOf(stemma, run);
  return [state, ...below.map((row) => row.state)].map(({ workflow: name, status }) => `${name} ${status}`);
}

/** A paused run that nobody holds. */
async function expectAtRest(stemma: Stemma, run: RunHandle): Promise<void> {
  const { state, worker } = await stemma.row(run.id);
  expect([state.status, worker]).toEqual(["paused", undefined]);
}

describe("the runs that a paused run called", () => {
  const entered: string[] = [];
  const leaf = body("leaf", async (ctx) => {
    await ctx.sleep("1m");
    return ctx.step("work", () => void entered.push("leaf"));
  });
  const middle = body("middle", async (ctx) => {
    await ctx.call(leaf, undefined);
    return ctx.step("work", () => void entered.push("middle"));
  });
  const root = body("root", async (ctx) => {
    await Promise.all([ctx.call(middle, undefined), ctx.call(leaf, undefined)]);
    return ctx.step("work", () => void entered.push("root"));
  });

  it("are paused and unpaused with it, whatever is below them", async () => {
    const clock = fakeClock();
    entered.length = 0;
    await using theatre = await stage([leaf, middle, root], { clock });
    const { stemma } = theatre;
    const run = await stemma.run(root, undefined);
    await clock.advance("10s");
    await stemma.pause(run.id, { by: "ada", reason: "look" });
    await clock.advance("1h");
    const names = ["root", "middle", "leaf", "leaf"];
    expect((await statusesOf(stemma, run.id)).toSorted()).toEqual(names.map((name) => `${name} paused`).toSorted());
    expect(entered).toEqual([]);
    const [child] = await childrenOf(stemma, run.id);
    const paused = (await stemma.history(child?.id ?? "")).find(({ type }) => type === "run.paused");
    expect(paused?.data).toEqual({ by: "ada", reason: "look", caller: run.id });
    await stemma.unpause(run.id);
    await clock.advance("1m");
    expect((await statusesOf(stemma, run.id)).toSorted()).toEqual(names.map((name) => `${name} succeeded`).toSorted());
    expect(entered.toSorted()).toEqual(["leaf", "leaf", "middle", "root"]);
    expect(await faultsOf(stemma, run.id)).toEqual([]);
  });

  it("are paused before they begin, and again when their caller is paused again", async () => {
    const clock = fakeClock();
    entered.length = 0;
    await using store = fresh();
    const caller = await stage([root], { store, clock });
    const { stemma } = caller;
    const run = await stemma.run(root, undefined);
    await clock.advance("1s");
    await stemma.pause(run.id);
    await clock.advance("1s");
    await using _other = await stage([leaf, middle], { store, clock });
    await clock.advance("1h");
    expect(await statusesOf(stemma, run.id)).toEqual(["root paused", "middle paused", "leaf paused"]);
    for (let i = 0; i < 2; i += 1) {
      await stemma.unpause(run.id);
      await clock.advance("1s");
      await stemma.pause(run.id);
      await clock.advance("1s");
    }
    expect(new Set(await statusesOf(stemma, run.id))).toEqual(new Set(["root paused", "middle paused", "leaf paused"]));
    await stemma.unpause(run.id);
    await clock.advance("2m");
    expect(await run.status()).toBe("succeeded");
    await stemma.stop();
  });

  it("stay paused when it is unpaused if somebody paused them as well, before or meanwhile; in any order of messages", async () => {
    const clock = fakeClock();
    await using store = fresh();
    const caller = await stage([root, middle, leaf], { store, clock });
    const { stemma } = caller;
    const run = await stemma.run(root, undefined);
    await clock.advance("10s");
    const [first, second] = await childrenOf(stemma, run.id);
    const of = (row: { id: string } | undefined): Promise<string[]> => statusesBelow(stemma, row?.id ?? "");
    await stemma.pause(first?.id ?? "", { by: "ada" });
    await clock.advance("1s");
    await stemma.pause(run.id, { by: "bob" });
    await clock.advance("1s");
    await stemma.pause(second?.id ?? "", { by: "ada" });
    await clock.advance("1s");
    await stemma.unpause(run.id, { by: "bob" });
    await clock.advance("1h");
    expect([await of(first), await of(second)]).toEqual([["middle paused", "leaf paused"], ["leaf paused"]]);
    expect(await run.status()).toBe("suspended");
    // Who looks at a run that is held twice sees both, and who let go of it is on record only where it went on.
    const said = (await stemma.history(second?.id ?? "")).filter(({ type }) => type.endsWith("paused"));
    expect(said.map(({ type, data }) => [type, data])).toEqual([
      ["run.paused", { by: "bob", caller: run.id }],
      ["run.paused", { by: "ada" }],
    ]);
    await stemma.stop();
    // All of it again, while nobody has the runs: the messages come together.
    await stemma.pause(run.id);
    await stemma.unpause(first?.id ?? "");
    await stemma.pause(first?.id ?? "");
    await stemma.unpause(run.id);
    await using _other = await stage([root, middle, leaf], { store, clock });
    await clock.advance("1h");
    expect([await of(first), await of(second)]).toEqual([["middle paused", "leaf paused"], ["leaf paused"]]);
    for (const row of [first, second]) await stemma.unpause(row?.id ?? "");
    await clock.advance("2m");
    expect(await run.status()).toBe("succeeded");
    expect(await faultsOf(stemma, run.id)).toEqual([]);
  });

  it("begin nothing when they were paused before they began, and their caller was paused and unpaused meanwhile", async () => {
    const clock = fakeClock();
    entered.length = 0;
    await using store = fresh();
    const caller = await stage([root], { store, clock });
    const { stemma } = caller;
    const run = await stemma.run(root, undefined);
    await clock.advance("1s");
    const [, second] = await childrenOf(stemma, run.id);
    await stemma.pause(second?.id ?? "");
    await stemma.pause(run.id);
    await clock.advance("1s");
    await stemma.unpause(run.id);
    await clock.advance("1s");
    await using _other = await stage([leaf, middle], { store, clock });
    await clock.advance("1h");
    expect((await stemma.row(second?.id ?? "")).state.status).toBe("paused");
    // Nothing of it began before it heard that it is to be paused.
    expect((await stemma.history(second?.id ?? "")).map(({ type }) => type)).toEqual([
      "run.created",
      "run.started",
      "run.paused",
    ]);
    await stemma.unpause(second?.id ?? "");
    await clock.advance("2m");
    expect(await run.status()).toBe("succeeded");
    await stemma.stop();
  });

  it("tell it their end while it is paused, and it goes on with that when it is unpaused", async () => {
    const clock = fakeClock();
    const gate = Promise.withResolvers<string>();
    const child = body("child", (ctx) => ctx.step("long", () => gate.promise));
    const parent = body("parent", async (ctx) => {
      const value = await ctx.call(child, undefined);
      return ctx.step("after", { input: value }, (given) => given);
    });
    await using theatre = await stage([child, parent], { clock });
    const { stemma } = theatre;
    const run = await stemma.run(parent, undefined);
    await clock.advance("1s");
    await stemma.pause(run.id);
    await clock.advance("1s");
    const [row] = await childrenOf(stemma, run.id);
    await stemma.unpause(row?.id ?? "");
    gate.resolve("worked");
    await clock.advance("1m");
    expect(await statusesOf(stemma, run.id)).toEqual(["parent paused", "child succeeded"]);
    expect(await count(run, "child.ended")).toBe(1);
    await expectAtRest(stemma, run);
    await stemma.unpause(run.id);
    await clock.advance("1s");
    expect(await run.result()).toBe("worked");
  });

  it("go on once, whatever crashes between pause and unpause", async () => {
    const story = async (stemma: Stemma, clock: FakeClock): Promise<string> => {
      const run = await stemma.run(root, undefined, { idempotencyKey: "one" });
      await clock.advance("10s");
      for (const kind of ["pause", "unpause"] as const) {
        // In a second life the run may have ended in the first.
        await stemma[kind](run.id).catch(() => undefined);
        await clock.advance("30s");
      }
      await clock.advance("2m");
      return run.id;
    };
    const crashes = await atEveryCommit([leaf, middle, root], story, async (stemma, run, where) => {
      expect(new Set((await statusesOf(stemma, run)).map((line) => line.split(" ")[1])), where).toEqual(
        new Set(["succeeded"]),
      );
      expect(await statusesOf(stemma, run), where).toHaveLength(4);
      expect(await faultsOf(stemma, run), where).toEqual([]);
    });
    expect(crashes).toBeGreaterThan(20 / crashStride);
  });
});
