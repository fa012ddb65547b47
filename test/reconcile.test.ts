/** `reconcile`: a step finds out itself what became of it, or leaves it to a person. */
import { describe, expect, it } from "vitest";
import { StepError, workflow } from "../src/index.ts";
import type { Decision } from "../src/index.ts";
import { fakeClock } from "../src/testing.ts";
import { lastAbout, playEveryCrash } from "./crashes.ts";
import { decidedRun, doubtful, entriesOf, inDoubt } from "./doubt.ts";
import { crashStride, stage, until } from "./stage.ts";

describe("reconcile", () => {
  it.each<[string, Decision, unknown, number[]]>([
    ["records what it found", { record: "found" }, "found", [1]],
    ["has the step entered again, behind a new intent", "run", "charged by the step", [1, 2]],
    ["fails the step", { fail: new Error("declined") }, "declined", [1]],
  ])("%s", async (_, found, end, entries) => {
    const keys: string[] = [];
    const { definition, entered } = doubtful({
      reconcile: async (_input, step) => {
        keys.push(step.idempotencyKey);
        return found;
      },
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    const result = await run.result().catch((error: unknown) => (error as Error & { cause: Error }).cause);
    expect(result instanceof StepError ? result.message : result).toBe(end);
    expect(entered).toEqual(entries);
    expect(keys).toHaveLength(1);
    expect((await run.history()).find((event) => event.type === "step.decided")?.data).toMatchObject({
      by: "reconcile",
    });
    expect(entriesOf(await run.history(), "charge")).toBe(entries.length);
  });

  it.each<[string, () => unknown]>([
    ["cannot tell", () => undefined],
    ["throws", () => Promise.reject(new Error("the bank is closed"))],
    ["answers with nonsense", () => ({ happened: true })],
    ["finds what cannot be recorded", () => ({ record: 1n })],
  ])("that %s leaves it to a person, and is asked again with the next activation", async (_, answer) => {
    let asked = 0;
    const { definition, entered } = doubtful({
      reconcile: () => {
        asked += 1;
        return answer() as undefined;
      },
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await inDoubt(theatre.stemma, run, "charge");
    expect(asked).toBe(1);
    await theatre.stemma.signal(run.id, "look again");
    await until(() => asked === 2);
    await inDoubt(theatre.stemma, run, "charge");
    await theatre.stemma.decide(run.id, "charge", { record: "a person knows" });
    expect(await run.result()).toBe("a person knows");
    expect(entered).toEqual([1]);
    expect((await run.history()).filter((event) => event.type === "step.in_doubt")).toHaveLength(1);
  });

  it("holds through a crash at any commit: the function is entered once, however often it is asked", async () => {
    let entries = 0;
    const definition = workflow({ name: "reconciled" }, (ctx) =>
      ctx.step(
        "charge",
        { effect: "once", reconcile: () => (entries > 0 ? { record: "in the books" } : "run") },
        () => {
          entries += 1;
          throw new Error("connection lost");
        },
      ),
    );
    const crashes = await playEveryCrash(
      definition,
      async () => {},
      () => (entries = 0),
      ({ history, fault }) => {
        expect(entries, JSON.stringify(fault)).toBe(1);
        expect(history.at(-1)).toMatchObject({ type: "run.succeeded", data: { output: { inline: "in the books" } } });
      },
    );
    expect(crashes).toBeGreaterThan(4 / crashStride);
  });

  it("that hangs is given up when its time is up, and holds up neither a decision nor the end of the run", async () => {
    const clock = fakeClock();
    const limited = doubtful({ timeout: "10s", reconcile: () => new Promise<never>(() => {}) });
    const hanging = workflow({ name: "hanging" }, (ctx) =>
      ctx.step("charge", { effect: "once", reconcile: () => new Promise<never>(() => {}) }, () => {
        throw new Error("connection lost");
      }),
    );
    await using theatre = await stage([limited.definition, hanging], { clock });
    const { stemma } = theatre;
    const run = await stemma.run(limited.definition, undefined);
    await clock.advance("1m");
    await inDoubt(stemma, run, "charge");
    const decided = await stemma.run(hanging, undefined);
    const unwanted = await stemma.run(hanging, undefined);
    await clock.advance("1s");
    await stemma.decide(decided.id, "charge", { record: "known" });
    await stemma.cancel(unwanted.id);
    await clock.advance("1s");
    expect(await decided.result()).toBe("known");
    expect(await unwanted.status()).toBe("cancelled");
  });

  it("whose answer comes when somebody has decided is not heard: it is about another attempt", async () => {
    const { promise, resolve } = Promise.withResolvers<Decision>();
    let asked = 0;
    const { definition, entered } = doubtful({ reconcile: () => ((asked += 1) === 1 ? promise : undefined) }, 2);
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => lastAbout(await run.history(), "charge") === "step.in_doubt");
    await theatre.stemma.decide(run.id, "charge", "run");
    await until(() => asked === 2);
    resolve("run");
    await inDoubt(theatre.stemma, run, "charge");
    expect(entered).toEqual([1, 2]);
    expect(decidedRun(await run.history())).toBe(1);
  });
});
