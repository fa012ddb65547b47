/** A decision about a step in doubt is about one attempt of it, however late it comes and however often it is said. */
import { expect, it } from "vitest";
import type { Decision } from "../src/index.ts";
import { around } from "../src/testing/around.ts";
import { doubtful, inDoubt } from "./doubt.ts";
import { errorOf, fresh, outline, stage, until } from "./stage.ts";

const isDoubt = (line: string): boolean => line === "step.in_doubt charge";

it("a decision is one under its key: asked for again, it says nothing of an attempt that came into doubt since", async () => {
  const { definition, entered } = doubtful({}, 2);
  await using theatre = await stage([definition]);
  const { stemma } = theatre;
  const run = await stemma.run(definition, undefined);
  const twice = async (): Promise<boolean> => (await outline(run)).filter(isDoubt).length === 2;
  await inDoubt(stemma, run, "charge");
  const once = { by: "ada", idempotencyKey: "the answer was lost" };
  await stemma.decide(run.id, "charge", "run", once);
  await until(twice);
  await inDoubt(stemma, run, "charge");
  await stemma.decide(run.id, "charge", "run", once);
  const otherwise = await errorOf(stemma.decide(run.id, "charge", { record: 1 }, once));
  expect(otherwise.code).toBe("step.not_in_doubt");
  await stemma.decide(run.id, "charge", { record: "a person knows" }, { idempotencyKey: "another" });
  expect(await run.result()).toBe("a person knows");
  expect(entered).toEqual([1, 2]);
  expect((await outline(run)).filter((line) => line === "step.decided charge")).toHaveLength(2);
});

it("a decision is about the attempt that it was made for: come late, it enters nothing after the next", async () => {
  const late: (() => void)[] = [];
  await using store = around(
    fresh(),
    async ({ method, args, make }) => {
      const isDecision = method === "send" && JSON.stringify(args).includes("too late");
      if (isDecision) await new Promise<void>((resolve) => late.push(resolve));
      return make();
    },
    {},
  );
  const found: ((decision: Decision) => void)[] = [];
  const { definition, entered } = doubtful({ reconcile: () => new Promise((resolve) => found.push(resolve)) }, 2);
  await using theatre = await stage([definition], { store });
  const { stemma } = theatre;
  const run = await stemma.run(definition, undefined);
  await until(async () => found.length === 1 && (await outline(run)).some(isDoubt));
  const deciding = stemma.decide(run.id, "charge", "run", { by: "ada", reason: "too late" });
  await until(() => late.length === 1);
  found[0]?.("run");
  await until(async () => found.length === 2 && (await outline(run)).filter(isDoubt).length === 2);
  late[0]?.();
  await deciding;
  await stemma.decide(run.id, "charge", { record: "a person knows" });
  expect(await run.result()).toBe("a person knows");
  expect(entered).toEqual([1, 2]);
});

it("a decision may be needed again: what was decided about one attempt says nothing of the next", async () => {
  const { definition, entered } = doubtful({}, 2);
  await using theatre = await stage([definition]);
  const run = await theatre.stemma.run(definition, undefined);
  for (const n of [1, 2]) {
    await inDoubt(theatre.stemma, run, "charge");
    expect(entered).toHaveLength(n);
    await theatre.stemma.decide(run.id, "charge", "run");
    await until(() => entered.length === n + 1);
  }
  expect(await run.result()).toBe("charged by the step");
  expect(entered).toEqual([1, 2, 3]);
});
