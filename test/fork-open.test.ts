/** A fork of a run that goes on: what that may still make up for is not relied on before it is known that it stays. */
import { describe, expect, test } from "vitest";
import { workflow } from "../src/index.ts";
import type { RunHandle, Stemma, StepOptions, Workflow } from "../src/index.ts";
import { stage, until } from "./stage.ts";

type Shop = { charges: string[]; refunds: string[]; order: Workflow<{ amount: number; early?: boolean }, string> };

/** Charges, and asks somebody; the charge is given back where the order does not go through. */
function shop(effect: StepOptions<number, string>["effect"] & string = "idempotent"): Shop {
  const charges: string[] = [];
  const refunds: string[] = [];
  const order = workflow({ name: "order" }, async (ctx, { amount, early }: { amount: number; early?: boolean }) => {
    if (early === true) throw new Error("closed");
    const compensate = (receipt: string): void => void refunds.push(receipt);
    const receipt = await ctx.step("charge", { input: amount, effect, compensate }, (_, { idempotencyKey }) => {
      charges.push(idempotencyKey);
      return `receipt ${charges.length}`;
    });
    await ctx.wait("approval", { input: receipt });
    return receipt;
  });
  return { charges, refunds, order };
}

/** What the last suspension of a run says of why. */
async function restsFor(run: RunHandle): Promise<unknown> {
  const last = (await run.history()).findLast(({ type }) => type === "run.suspended");
  return last?.type === "run.suspended" ? last.data.detail : undefined;
}

const isOpen = async (stemma: Stemma, run: RunHandle): Promise<boolean> =>
  (await stemma.waits({ run: run.id })).waits.length === 1;

const depends = { key: "charge", verdict: "depends", reason: "its run may still make up for it" };

describe.each(["idempotent", "once"] as const)("a charge (%s) of a run that is open", (effect) => {
  test("is waited for by a fork, which says so, and is its charge when that run has succeeded", async () => {
    const { charges, refunds, order } = shop(effect);
    await using place = await stage([order]);
    const { stemma } = place;
    const run = await stemma.run(order, { amount: 5 });
    await until(() => isOpen(stemma, run));
    for (const dryRun of [false, true]) {
      const { steps } = await stemma.plan(run.id, {}, { dryRun });
      expect(steps[0]).toMatchObject(depends);
      expect(steps.filter(({ verdict }) => verdict === "reuse")).toEqual([]);
    }
    const fork = await stemma.fork<string>(run.id);
    await until(async () => (await restsFor(fork)) !== undefined);
    expect(await restsFor(fork)).toEqual({ mayGoBack: [{ step: "charge", run: run.id }] });
    await stemma.resume(run.id, "approval", true);
    expect(await run.result()).toBe("receipt 1");
    await until(() => isOpen(stemma, fork));
    await stemma.resume(fork.id, "approval", true);
    expect(await fork.result()).toBe("receipt 1");
    expect([charges.length, refunds]).toEqual([1, []]);
  });

  test("is made anew by a fork, under another key, when that run has given it back", async () => {
    const { charges, refunds, order } = shop(effect);
    await using place = await stage([order]);
    const { stemma } = place;
    const run = await stemma.run(order, { amount: 5 });
    await until(() => isOpen(stemma, run));
    const fork = await stemma.fork<string>(run.id);
    await until(async () => (await restsFor(fork)) !== undefined);
    await stemma.cancel(run.id);
    await until(() => isOpen(stemma, fork));
    await stemma.resume(fork.id, "approval", true);
    expect(await fork.result()).toBe("receipt 2");
    expect([new Set(charges).size, refunds]).toEqual([2, ["receipt 1"]]);
  });
});

test("a charge to be made once is waited for also where it is cut, and a plan with the code says so", async () => {
  const { charges, refunds, order } = shop("once");
  await using place = await stage([order]);
  const { stemma } = place;
  const run = await stemma.run(order, { amount: 5 });
  await until(() => isOpen(stemma, run));
  const change = { from: "charge" };
  expect((await stemma.plan(run.id, change, { dryRun: true })).steps[0]).toMatchObject(depends);
  const fork = await stemma.fork<string>(run.id, change);
  await stemma.cancel(run.id);
  await until(() => isOpen(stemma, fork));
  expect([new Set(charges).size, refunds]).toEqual([2, ["receipt 1"]]);
});

test("a fork that gives the charge up, or an output in its place, waits for nothing", async () => {
  const { charges, order } = shop();
  await using place = await stage([order]);
  const { stemma } = place;
  const run = await stemma.run(order, { amount: 5 });
  await until(() => isOpen(stemma, run));
  for (const change of [{ from: "charge" }, { outputs: { charge: "none" } }]) {
    const fork = await stemma.fork<string>(run.id, change);
    await until(() => isOpen(stemma, fork));
    expect(await restsFor(fork)).toBeUndefined();
  }
  expect(new Set(charges).size).toBe(2);
});

test("a fork that waits for the charge of another run is cancelled at once", async () => {
  const { charges, refunds, order } = shop();
  await using place = await stage([order]);
  const { stemma } = place;
  const run = await stemma.run(order, { amount: 5 });
  await until(() => isOpen(stemma, run));
  const fork = await stemma.fork<string>(run.id);
  await until(async () => (await restsFor(fork)) !== undefined);
  await stemma.cancel(fork.id);
  await until(async () => (await stemma.row(fork.id)).state.status === "cancelled");
  expect([charges.length, refunds]).toEqual([1, []]);
});

test("a plan knows what was made up for behind the place that a fork left from", async () => {
  const { charges, order } = shop();
  await using place = await stage([order]);
  const { stemma } = place;
  const run = await stemma.run(order, { amount: 5 });
  await until(() => isOpen(stemma, run));
  const early = await stemma.fork(run.id, { patch: { early: true } });
  await early.result().catch(() => {});
  await stemma.cancel(run.id);
  await until(async () => (await stemma.row(run.id)).state.status === "cancelled");
  const change = { patch: { early: null } };
  const { steps } = await stemma.plan(early.id, change);
  expect(steps.find(({ key }) => key === "charge")).toMatchObject({ verdict: "run", reason: "compensated" });
  const fork = await stemma.fork(early.id, change);
  await until(() => isOpen(stemma, fork));
  expect(new Set(charges).size).toBe(2);
});

test("each charge of a line, and each time one is given back, has a key of its own, also where they came out the same", async () => {
  const [charges, refunds]: [string[], string[]] = [[], []];
  const order = workflow({ name: "order" }, async (ctx) => {
    const compensate = (_: string, step: { idempotencyKey: string }): void => void refunds.push(step.idempotencyKey);
    await ctx.step("charge", { input: 5, compensate }, (_, { idempotencyKey }) => {
      charges.push(idempotencyKey);
      return "paid";
    });
    await ctx.wait("approval", {});
  });
  await using place = await stage([order], { warm: 0 });
  const { stemma } = place;
  const cancelled = async (run: RunHandle): Promise<void> => {
    await stemma.cancel(run.id);
    await until(async () => (await stemma.row(run.id)).state.status === "cancelled");
  };
  const run = await stemma.run(order, undefined);
  await until(() => isOpen(stemma, run));
  const fork = await stemma.fork(run.id);
  await until(async () => (await restsFor(fork)) !== undefined);
  await cancelled(run);
  await until(() => isOpen(stemma, fork));
  await cancelled(fork);
  const again = await stemma.restart(fork.id);
  await until(() => isOpen(stemma, again));
  await cancelled(again);
  expect([charges.length, new Set(charges).size]).toEqual([3, 3]);
  expect([refunds.length, new Set(refunds).size]).toEqual([3, 3]);
});
