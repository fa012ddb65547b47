/** Effects of called runs across restarts and forks of their callers, where what was called is called anew. */
import { describe, expect, test } from "vitest";
import { workflow } from "../src/index.ts";
import type { Change, Workflow } from "../src/index.ts";
import { errorOf, stage, until } from "./stage.ts";

type Shop = {
  keys: string[];
  refunds: number;
  broken: boolean;
  workflows: [Workflow<undefined, string>, Workflow<number, string>, Workflow<number, string>];
};

/** An order calls a shop, which calls a till, which charges; where it says, something fails behind that. */
function shop(failing: "order" | "shop" | "till" | "refunded till"): Shop {
  const made = { keys: [] as string[], refunds: 0, broken: true };
  const fail = (at: string): void => {
    if (made.broken && failing.endsWith(at)) throw new Error(`no ${at}`);
  };
  const more = failing === "refunded till" ? { compensate: (): void => void (made.refunds += 1) } : {};
  const till = workflow({ name: "till" }, async (ctx, input: number) => {
    await ctx.step("charge", { input, effect: "once", ...more }, (_, { idempotencyKey }) => {
      made.keys.push(idempotencyKey);
    });
    await ctx.step("print", () => fail("till"));
    return "charged";
  });
  const store = workflow({ name: "shop" }, async (ctx, input: number) => {
    const said = await ctx.call(till, input);
    await ctx.step("pack", () => fail("shop"));
    return said;
  });
  const order = workflow({ name: "order" }, async (ctx) => {
    const said = await ctx.call(store, 5);
    await ctx.step("ship", () => fail("order"));
    return said;
  });
  return Object.assign(made, { workflows: [order, store, till] as Shop["workflows"] });
}

const changes: [string, readonly [Change, Change]][] = [
  ["where the call is given up by name", [{ from: "shop" }, { from: "shop" }]],
  ["where all is given up", [{ reuse: "none" }, { reuse: "none" }]],
  ["where it is called in another context", [{ context: "new" }, { context: "newer" }]],
];

describe.each(changes)("a called run makes up for a charge and is called anew %s", (_, [first, second]) => {
  test("its charge is another one each time", async () => {
    const one = shop("refunded till");
    await using place = await stage(one.workflows);
    const { stemma } = place;
    const run = await stemma.run(one.workflows[0], undefined);
    await errorOf(run.result());
    const again = await stemma.fork(run.id, first);
    await errorOf(again.result());
    one.broken = false;
    const last = await stemma.fork(again.id, second);
    expect(await last.result()).toBe("charged");
    expect(one.refunds).toBe(2);
    expect(one.keys).toHaveLength(3);
    expect(new Set(one.keys).size).toBe(3);
  });
});

describe.each(changes)("a called run has charged and is called anew %s", (_, [first]) => {
  test.each(["order", "shop", "till"] as const)("it does not charge again: what failed was the %s", async (failing) => {
    const one = shop(failing);
    await using place = await stage(one.workflows);
    const { stemma } = place;
    const run = await stemma.run(one.workflows[0], undefined);
    await errorOf(run.result());
    one.broken = false;
    const again = await stemma.fork(run.id, first);
    expect(await again.result()).toBe("charged");
    expect(one.keys).toHaveLength(1);
  });
});

test("a called run that is called in another context has what says what it uses, and runs the rest again", async () => {
  const entered: string[] = [];
  const child = workflow({ name: "child" }, async (ctx, input: number) => {
    await ctx.step("declared", { input }, () => void entered.push("declared"));
    await ctx.step("reads", { input, context: ["tone"] }, () => void entered.push("reads"));
    await ctx.step("undeclared", () => void entered.push("undeclared"));
    return "done";
  });
  const parent = workflow({ name: "parent" }, async (ctx) => ctx.call(child, 5));
  await using place = await stage([parent, child]);
  const { stemma } = place;
  const run = await stemma.run(parent, undefined, { context: { tone: "dry" } });
  await run.result();
  entered.length = 0;
  const again = await stemma.fork(run.id, { context: { tone: "warm" } });
  expect(await again.result()).toBe("done");
  expect(entered).toEqual(["reads", "undeclared"]);
  expect((await stemma.verify(again.id, { family: true })).flaws).toEqual([]);
});

test("a restart of a run that reused nothing and did not come to the call knows what was made up for there", async () => {
  const keys: string[] = [];
  const refunds: string[] = [];
  let [calls, broken] = [true, true];
  const till = workflow({ name: "till" }, async (ctx, input: number) => {
    const compensate = (): void => void refunds.push("refund");
    await ctx.step("charge", { input, effect: "once", compensate }, (__, step) => void keys.push(step.idempotencyKey));
    await ctx.step("print", () => {
      if (broken) throw new Error("no paper");
    });
  });
  const order = workflow({ name: "order" }, async (ctx) => {
    await ctx.step("look", () => {
      if (!calls) throw new Error("closed");
    });
    await ctx.call(till, 5);
    return "charged";
  });
  await using place = await stage([order, till]);
  const { stemma } = place;
  const run = await stemma.run(order, undefined);
  await errorOf(run.result());
  [calls, broken] = [false, false];
  const closed = await stemma.restart(run.id, { reuse: "none" });
  await errorOf(closed.result());
  calls = true;
  const open = await stemma.restart(closed.id);
  expect(await open.result()).toBe("charged");
  expect(refunds).toEqual(["refund"]);
  expect(new Set(keys).size).toBe(2);
});

test.each<[string, "restart" | "fork", Change]>([
  ["a restart", "restart", {}],
  ["a fork that reuses nothing either", "fork", { reuse: "none" }],
])("%s charges anew what was made up for behind a success that was given up", async (_, how, change) => {
  const keys: string[] = [];
  let [isFree, broken] = [false, true];
  let refunds = 0;
  const till = workflow({ name: "till" }, async (ctx, input: number) => {
    const compensate = (): void => void (refunds += 1);
    if (!isFree)
      await ctx.step(
        "charge",
        { input, effect: "once", compensate },
        (__, step) => void keys.push(step.idempotencyKey),
      );
    await ctx.step("print", () => {
      if (broken) throw new Error("no paper");
    });
  });
  const order = workflow({ name: "order" }, async (ctx) => {
    await ctx.call(till, 5);
    return "charged";
  });
  await using place = await stage([order, till]);
  const { stemma } = place;
  const run = await stemma.run(order, undefined);
  await errorOf(run.result());
  [isFree, broken] = [true, false];
  const free = await stemma.restart(run.id);
  expect(await free.result()).toBe("charged");
  [isFree, broken] = [false, true];
  const fresh = await stemma.fork(free.id, { reuse: "none" });
  await errorOf(fresh.result());
  broken = false;
  const last = await stemma[how](fresh.id, change);
  expect(await last.result()).toBe("charged");
  expect(refunds).toBe(2);
  expect(new Set(keys).size).toBe(3);
  expect(keys).toHaveLength(3);
});

test("a charge of a called run is made again where the fork allows it by the names of the calls and its own", async () => {
  const one = shop("order");
  await using place = await stage(one.workflows);
  const { stemma } = place;
  const run = await stemma.run(one.workflows[0], undefined);
  await errorOf(run.result());
  one.broken = false;
  const elsewhere = await stemma.fork<string>(run.id, { reuse: "none", allowEffects: ["shop"] });
  expect(await elsewhere.result()).toBe("charged");
  expect(one.keys).toHaveLength(1);
  const allowed = await stemma.fork<string>(run.id, { reuse: "none", allowEffects: ["shop/till/charge"] });
  expect(await allowed.result()).toBe("charged");
  expect(new Set(one.keys).size).toBe(2);
  expect(await errorOf(stemma.fork(run.id, { reuse: "none", allowEffects: ["chrage"] }))).toMatchObject({
    code: "step.not_found",
    message: expect.stringContaining("It has shop, ship."),
  });
});

test("a charge behind a call with another input waits for a decision, like one of the run itself", async () => {
  const keys: string[] = [];
  const till = workflow({ name: "till" }, async (ctx, fee: number) => {
    await ctx.step("charge", { input: fee, effect: "once" }, (_, step) => void keys.push(step.idempotencyKey));
    return "charged";
  });
  const order = workflow({ name: "order" }, async (ctx, amounts: number[]) => {
    for (const amount of amounts) await ctx.call(till, amount);
  });
  await using place = await stage([order, till]);
  const { stemma } = place;
  const run = await stemma.run(order, [5, 6]);
  await run.result();
  const dearer = await stemma.fork(run.id, { input: [7, 6] });
  let asking: string | undefined;
  await until(async () => {
    const { runs } = await stemma.list({ family: run.id, workflow: "till" });
    asking = runs.find(({ state }) => state.reason === "in_doubt")?.id;
    return asking !== undefined;
  });
  expect(keys).toHaveLength(2);
  await stemma.decide(asking ?? "", "charge", "run", { by: "ada" });
  await dearer.result();
  // What was charged for the other call is that, wherever it is called now.
  expect(keys).toHaveLength(3);
  const moved = await stemma.fork(run.id, { input: [6, 5] });
  await moved.result();
  expect(keys).toHaveLength(3);
  const allowed = await stemma.fork(run.id, { input: [8, 9], allowEffects: ["till/charge"] });
  await allowed.result();
  expect(new Set(keys).size).toBe(5);
});
