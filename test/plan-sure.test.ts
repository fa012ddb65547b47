/** A plan with the code: what it says is what then happens. */
import { expect, test } from "vitest";
import { notDone, workflow } from "../src/index.ts";
import { errorOf, stage } from "./stage.ts";

test("a dry run says what will run and what is reused, enters nothing and writes nothing; then that is what happens", async () => {
  const entered: string[] = [];
  const audit = workflow({ name: "audit" }, async (ctx, input: { files: string[]; model: string }) => {
    const found = await ctx.map("classify", input.files, { cost: 2, concurrency: 2 }, (file) => {
      entered.push(`classify ${file}`);
      return { file, license: "MIT" };
    });
    const text = await ctx.step("draft", { input: { found, model: input.model }, cost: 5 }, () => {
      entered.push("draft");
      return "text";
    });
    await ctx.step("check", () => void entered.push("check"));
    await ctx.step("publish", { input: text, effect: "once" }, () => void entered.push("publish"));
    return text;
  });
  await using place = await stage([audit]);
  const { stemma } = place;
  const run = await stemma.run(audit, { files: ["a", "b", "c"], model: "small" });
  await run.result();
  entered.length = 0;
  const before = JSON.stringify([await run.history(), (await stemma.list()).runs]);
  const change = { patch: { files: ["a", "b", "d"], model: "small" } };
  const plan = await stemma.plan(run.id, change, { dryRun: true });
  expect(plan.grade).toBe("dry run");
  const verdicts = Object.fromEntries(plan.steps.map(({ key, verdict, reason }) => [key, `${verdict}: ${reason}`]));
  expect(verdicts).toMatchObject({
    classify: "reuse: the same",
    "classify#2": "reuse: the same",
    "classify#3": "run: input changed at $",
    draft: "depends: behind what runs",
    check: "depends: behind what runs",
    publish: "decide: effect once, behind what runs",
  });
  expect(plan.totals.saves.cost[0]).toBe(4);
  expect(entered).toEqual([]);
  expect(JSON.stringify([await run.history(), (await stemma.list()).runs])).toBe(before);
  const fork = await stemma.fork(run.id, change);
  await fork.result();
  // What is published is the same text, and so it is not published again.
  expect(entered).toEqual(["classify d", "draft", "check"]);
});

test("where nothing changed a dry run comes to the end: everything is reused, and nothing depends", async () => {
  let broken = true;
  const two = workflow({ name: "two" }, async (ctx) => {
    const a = await ctx.step("a", () => 1);
    const b = await ctx.step("b", () => {
      if (broken) throw new Error("no");
      return 2;
    });
    return a + b;
  });
  await using place = await stage([two]);
  const { stemma } = place;
  const run = await stemma.run(two, undefined);
  await errorOf(run.result());
  const repair = await stemma.plan(run.id, {}, { dryRun: true });
  expect(repair.steps.map(({ key, verdict }) => `${key} ${verdict}`)).toEqual(["a reuse", "b run"]);
  broken = false;
  const again = await stemma.restart(run.id);
  await again.result();
  const plan = await stemma.plan(again.id, {}, { dryRun: true });
  expect(plan.steps.map(({ key, verdict }) => `${key} ${verdict}`)).toEqual(["a reuse", "b reuse"]);
  expect(plan.totals.runs).toEqual([0, 0]);
  const none = await stemma.plan(again.id, { reuse: "none" }, { dryRun: true });
  expect(none.totals.reuse).toBe(0);
});

test("a once step with another input is one to be decided about", async () => {
  let entered = 0;
  const pay = workflow({ name: "pay" }, (ctx, amount: number) =>
    ctx.step("charge", { input: amount, effect: "once" }, () => (entered += 1)),
  );
  await using place = await stage([pay]);
  const { stemma } = place;
  const run = await stemma.run(pay, 5);
  await run.result();
  const verdict = async (change: object): Promise<unknown> =>
    (await stemma.plan(run.id, change, { dryRun: true })).steps.map((step) => step.verdict);
  expect(await verdict({ input: 7 })).toEqual(["decide"]);
  expect(await verdict({ input: 7, allowEffects: ["charge"] })).toEqual(["run"]);
  expect(await verdict({ from: "charge" })).toEqual(["reuse"]);
  expect(entered).toBe(1);
});

test("a once step that failed in the source and was done in another restart of it is not one that will run", async () => {
  let [broken, entered] = [true, 0];
  const pay = workflow({ name: "pay once" }, (ctx, amount: number) =>
    ctx.step("charge", { input: amount, effect: "once" }, () => {
      if (broken) throw notDone(new Error("no"));
      return (entered += 1);
    }),
  );
  await using place = await stage([pay]);
  const { stemma } = place;
  const failed = await stemma.run(pay, 5);
  await failed.result().catch(() => {});
  broken = false;
  const verdicts = async (dryRun: boolean): Promise<string[]> =>
    (await stemma.plan(failed.id, {}, { dryRun })).steps.map(({ verdict, reason }) => `${verdict}: ${reason}`);
  expect([await verdicts(false), await verdicts(true)]).toEqual([
    ["run: failed, and ended the run"],
    ["run: not recorded"],
  ]);
  await (await stemma.restart(failed.id)).result();
  // It is not offered to a second restart of the first run, which finds it all the same.
  expect([await verdicts(false), await verdicts(true)]).toEqual([
    ["depends: effect once, and another run of its line may have done it"],
    ["reuse: done once in this line"],
  ]);
  expect(await (await stemma.restart(failed.id)).result()).toBe(1);
  expect(entered).toBe(1);
});
