/** Effects on the world across restarts and forks: what must happen once happens once in the whole line. */
import { describe, expect, test } from "vitest";
import { notDone, workflow } from "../src/index.ts";
import type { Event, RunHandle, Stemma, Workflow } from "../src/index.ts";
import { errorOf, stage, until } from "./stage.ts";

type Bank = {
  charges: { amount: number; key: string }[];
  pay: Workflow<{ amount: number }, string>;
  /** What the charge does before it is made; may never end, or throw. */
  before: (amount: number) => Promise<void> | void;
  after: () => void;
};

/** A workflow that charges once, and may fail behind that. */
function bank(): Bank {
  const made: Bank = {
    charges: [],
    before: () => {},
    after: () => {},
    pay: workflow({ name: "pay" }, async (ctx, input: { amount: number }) => {
      const receipt = await ctx.step("charge", { input, effect: "once" }, async ({ amount }, step) => {
        await made.before(amount);
        made.charges.push({ amount, key: step.idempotencyKey });
        return `charged ${amount}`;
      });
      await ctx.step("ship", { input: receipt }, () => made.after());
      return receipt;
    }),
  };
  return made;
}

async function events(run: RunHandle, type: Event["type"]): Promise<Event[]> {
  return (await run.history()).filter((event) => event.type === type);
}

async function suspended(stemma: Stemma, run: RunHandle, reason: string): Promise<void> {
  await until(async () => (await stemma.row(run.id)).state.reason === reason);
}

describe("a charge that succeeded", () => {
  test("is not made again by a restart, nor by a fork from it, nor with reuse: none", async () => {
    const one = bank();
    one.after = () => {
      throw new Error("no parcel");
    };
    await using place = await stage([one.pay]);
    const { stemma } = place;
    const run = await stemma.run(one.pay, { amount: 5 });
    await errorOf(run.result());
    one.after = () => {};
    for (const change of [{}, { from: "charge" }, { reuse: "none" as const }]) {
      const again = await stemma.fork<string>(run.id, change);
      expect(await again.result()).toBe("charged 5");
      const [reused] = await events(again, "step.reused");
      expect(reused?.data).toMatchObject({ key: "charge", origin: { run: run.id, key: "charge" } });
    }
    expect(one.charges).toHaveLength(1);
  });

  test("is found beside a question, and then the run rests: what was found is on record", async () => {
    let charges = 0;
    const definition = workflow({ name: "asks too" }, async (ctx, { n }: { n: number }) => {
      const charge = ctx.step("charge", { input: 5, effect: "once" }, () => (charges += 1));
      // The question is put before the charge is found.
      return Promise.all([charge, ctx.wait<string>(`approve ${n}`)]);
    });
    await using place = await stage([definition]);
    const { stemma } = place;
    const run = await stemma.run(definition, { n: 1 });
    await suspended(stemma, run, "waiting");
    await stemma.resume(run.id, "approve 1", "yes");
    expect(await run.result()).toEqual([1, "yes"]);
    const again = await stemma.fork(run.id, { from: "charge", patch: { n: 2 } });
    await suspended(stemma, again, "waiting");
    expect(await events(again, "step.reused")).toHaveLength(1);
    await stemma.resume(again.id, "approve 2", "once more");
    expect(await again.result()).toEqual([1, "once more"]);
  });

  test("is made again where that is allowed by name, and then it is another charge to the service", async () => {
    const one = bank();
    await using place = await stage([one.pay]);
    const { stemma } = place;
    const run = await stemma.run(one.pay, { amount: 5 });
    await run.result();
    const again = await stemma.fork<string>(run.id, { from: "charge", allowEffects: ["charge"] });
    expect(await again.result()).toBe("charged 5");
    expect(one.charges).toHaveLength(2);
    expect(new Set(one.charges.map(({ key }) => key)).size).toBe(2);
  });

  test("of several of one name a single one is allowed, by its number", async () => {
    const charges: number[] = [];
    const pay = workflow({ name: "pay all" }, async (ctx, { amounts }: { amounts: number[] }) => {
      for (const amount of amounts) {
        await ctx.step("charge", { input: amount, effect: "once" }, () => void charges.push(amount));
      }
    });
    await using place = await stage([pay]);
    const { stemma } = place;
    const run = await stemma.run(pay, { amounts: [1, 2, 3] });
    await run.result();
    const change = { reuse: "none" as const, allowEffects: ["charge#1"] };
    const verdicts = async (more: object): Promise<string[]> =>
      (await stemma.plan(run.id, { ...change, ...more })).steps.map(({ reason }) => reason);
    expect(await verdicts({})).toEqual(["effect once, allowed", "effect once, cut", "effect once, cut"]);
    expect(await verdicts({ allowEffects: ["charge"] })).toEqual(Array(3).fill("effect once, allowed"));
    await (await stemma.fork(run.id, change)).result();
    expect(charges).toEqual([1, 2, 3, 1]);
    await (await stemma.fork(run.id, { ...change, allowEffects: ["charge#2"] })).result();
    expect(charges).toEqual([1, 2, 3, 1, 2]);
  });

  test("of another amount waits for a decision, which names the run that made the first", async () => {
    const one = bank();
    await using place = await stage([one.pay]);
    const { stemma } = place;
    const run = await stemma.run(one.pay, { amount: 5 });
    await run.result();
    const dearer = await stemma.fork<string>(run.id, { patch: { amount: 7 } });
    await suspended(stemma, dearer, "in_doubt");
    const [doubt] = await events(dearer, "step.in_doubt");
    expect(doubt?.data).toMatchObject({
      key: "charge",
      why: "input changed at $.amount",
      held: { run: run.id, why: "done with another input" },
    });
    expect(one.charges).toHaveLength(1);
    await stemma.decide(dearer.id, "charge", "run", { by: "ada" });
    expect(await dearer.result()).toBe("charged 7");
    expect(one.charges.map(({ amount }) => amount)).toEqual([5, 7]);
    const allowed = await stemma.fork<string>(run.id, { patch: { amount: 9 }, allowEffects: ["charge"] });
    expect(await allowed.result()).toBe("charged 9");
  });

  test("can be decided to be the one that was made", async () => {
    const one = bank();
    await using place = await stage([one.pay]);
    const { stemma } = place;
    const run = await stemma.run(one.pay, { amount: 5 });
    await run.result();
    const dearer = await stemma.fork<string>(run.id, { patch: { amount: 7 } });
    await suspended(stemma, dearer, "in_doubt");
    await stemma.decide(dearer.id, "charge", { record: "as before" });
    expect(await dearer.result()).toBe("as before");
    expect(one.charges).toHaveLength(1);
  });
});

test("two forks at once of a run that had not charged: one charges, and both have its receipt", async () => {
  const one = bank();
  await using place = await stage([one.pay]);
  const { stemma } = place;
  one.before = () => {
    throw notDone(new Error("no connection"));
  };
  const source = await stemma.run(one.pay, { amount: 5 });
  expect((await errorOf(source.result())).code).toBe("run.failed");
  const gate = Promise.withResolvers<void>();
  one.before = () => gate.promise;
  const [a, b] = [await stemma.restart<string>(source.id), await stemma.restart<string>(source.id)];
  await until(async () => {
    const doubts = await Promise.all([a, b].map((run) => events(run, "step.in_doubt")));
    return doubts.flat().length === 1;
  });
  gate.resolve();
  expect(await Promise.all([a.result(), b.result()])).toEqual(["charged 5", "charged 5"]);
  expect(one.charges).toHaveLength(1);
  const reused = (await Promise.all([a, b].map((run) => events(run, "step.reused")))).flat();
  expect(reused).toHaveLength(1);
});

describe("a charge that has another label in the fork, because another step of its name is new or gone before it", () => {
  function shop(declared: boolean): { charges: string[]; pay: Workflow<{ first: boolean; fails: boolean }, string> } {
    const charges: string[] = [];
    const pay = workflow({ name: "pay" }, async (ctx, { first, fails }: { first: boolean; fails: boolean }) => {
      if (first) await ctx.step("charge", { input: "a look at the account" }, () => "looked at");
      const about = declared ? { input: 5 } : {};
      await ctx.step("charge", { ...about, effect: "once" }, (_, step) => void charges.push(step.idempotencyKey));
      if (fails) throw new Error("no parcel");
      return "shipped";
    });
    return { charges, pay };
  }

  test("is not made again where it says what it charges", async () => {
    const { charges, pay } = shop(true);
    await using place = await stage([pay]);
    const { stemma } = place;
    const run = await stemma.run(pay, { first: false, fails: true });
    await errorOf(run.result());
    const again = await stemma.fork<string>(run.id, { patch: { first: true, fails: false }, reuse: "none" });
    expect(await again.result()).toBe("shipped");
    const [reused] = await events(again, "step.reused");
    expect(reused?.data).toMatchObject({ key: "charge#2", origin: { run: run.id, key: "charge" } });
    expect(charges).toHaveLength(1);
  });

  test("waits for a decision where it does not", async () => {
    const { charges, pay } = shop(false);
    await using place = await stage([pay]);
    const { stemma } = place;
    const run = await stemma.run(pay, { first: true, fails: true });
    await errorOf(run.result());
    const plan = await stemma.plan(run.id, { patch: { first: false } }, { dryRun: true, kind: "fork" });
    expect(plan.steps.find(({ key }) => key === "charge")).toMatchObject({ verdict: "decide", run: run.id });
    const again = await stemma.fork<string>(run.id, { patch: { first: false, fails: false } });
    await suspended(stemma, again, "in_doubt");
    expect((await events(again, "step.in_doubt"))[0]?.data).toMatchObject({
      key: "charge",
      held: { run: run.id, why: "done with another input" },
    });
    expect(charges).toHaveLength(1);
    await stemma.decide(again.id, "charge", { record: null });
    expect(await again.result()).toBe("shipped");
    expect(charges).toHaveLength(1);
  });
});

test("a charge of which nobody knows waits for a decision in the restart too", async () => {
  const one = bank();
  await using place = await stage([one.pay]);
  const { stemma } = place;
  one.before = () => {
    throw new Error("connection lost");
  };
  const run = await stemma.run(one.pay, { amount: 5 });
  await suspended(stemma, run, "in_doubt");
  await stemma.cancel(run.id);
  await errorOf(run.result());
  one.before = () => {};
  const again = await stemma.restart<string>(run.id);
  await suspended(stemma, again, "in_doubt");
  expect((await events(again, "step.in_doubt"))[0]?.data).toMatchObject({ held: { run: run.id, why: "in doubt" } });
  expect(one.charges).toHaveLength(0);
  await stemma.decide(again.id, "charge", "run");
  expect(await again.result()).toBe("charged 5");
  expect(one.charges).toHaveLength(1);
  // What was decided there holds for the line.
  const third = await stemma.restart<string>(run.id);
  expect(await third.result()).toBe("charged 5");
  expect(one.charges).toHaveLength(1);
});

test("a charge that was made up for is made anew, and as another one", async () => {
  const keys: string[] = [];
  const refunds: string[] = [];
  let broken = true;
  const pay = workflow({ name: "pay" }, async (ctx, input: number) => {
    const compensate = (receipt: unknown): void => void refunds.push(String(receipt));
    await ctx.step("charge", { input, effect: "once", compensate }, (amount, step) => {
      keys.push(step.idempotencyKey);
      return `receipt ${keys.length} of ${amount}`;
    });
    await ctx.step("ship", () => {
      if (broken) throw new Error("no parcel");
    });
    return "shipped";
  });
  await using place = await stage([pay]);
  const { stemma } = place;
  const run = await stemma.run(pay, 5);
  await errorOf(run.result());
  expect(refunds).toEqual(["receipt 1 of 5"]);
  broken = false;
  const again = await stemma.restart(run.id);
  expect(await again.result()).toBe("shipped");
  expect(keys).toHaveLength(2);
  expect(keys[0]).not.toBe(keys[1]);
});

test("a step that failed is tried with the same key in a restart, and with another one where its success was discarded", async () => {
  const keys: string[] = [];
  let broken = true;
  const send = workflow({ name: "send" }, async (ctx) => {
    await ctx.step("mail", (_, step) => {
      keys.push(step.idempotencyKey);
      if (broken) throw new Error("timed out");
    });
    return "sent";
  });
  await using place = await stage([send]);
  const { stemma } = place;
  const run = await stemma.run(send, undefined);
  await errorOf(run.result());
  broken = false;
  const again = await stemma.restart(run.id);
  await again.result();
  expect(keys[1]).toBe(keys[0]);
  const anew = await stemma.restart(again.id, { from: "mail" });
  await anew.result();
  expect(keys[2]).not.toBe(keys[0]);
  const third = await stemma.restart(anew.id, { reuse: "none" });
  await third.result();
  expect(new Set(keys).size).toBe(3);
});
