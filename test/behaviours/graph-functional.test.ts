/**
 * The functional style of graphs is the workflow function: `ctx.step` is an executor that was cached, `ctx.wait` a
 * request. What is expected of the one holds of the other.
 *
 * | Behaviour | Guarantee |
 * | --- | --- |
 * | 68 | what was done before a crash or a failure is not done again; each step is on record once, and what is found again writes nothing |
 * | 69 | a wait is passed over like a step; a body cannot catch being suspended; answers to what is not open are refused; changed code is known |
 */
import { expect, test } from "vitest";
import { workflow } from "../../src/index.ts";
import type { Context, RunHandle, Stemma, Workflow } from "../../src/index.ts";
import { fakeClock, faults } from "../../src/testing.ts";
import { errorOf, fresh, outline, stage, until } from "../stage.ts";

const openKey = async (stemma: Stemma, run: string): Promise<string> => {
  await until(async () => (await stemma.waits({ run })).waits.length > 0);
  return (await stemma.waits({ run })).waits[0]!.key;
};
const stepsOf = async (run: RunHandle): Promise<string[]> =>
  (await outline(run)).filter((line) => line.startsWith("step."));

/** Two steps; the second throws as long as it is told to. */
function two(calls: Record<string, number>, told: { fails: boolean }): Workflow<number, number> {
  const count = (name: string): number => (calls[name] = (calls[name] ?? 0) + 1);
  return workflow({ name: "two" }, async (ctx: Context, input: number) => {
    const first = await ctx.step("step1", { input }, () => {
      count("step1");
      return input * 2;
    });
    return ctx.step("step2", { input: first, retry: { attempts: 1 } }, () => {
      count("step2");
      if (told.fails) throw new Error("crash");
      return first + 10;
    });
  });
}

test("68: step 1 done, step 2 failed: restarted, step 1 is found again with its data, and only step 2 is entered", async () => {
  const calls: Record<string, number> = {};
  const told = { fails: true };
  const graph = two(calls, told);
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, 10);
  expect((await errorOf(run.result())).message).toContain("crash");
  told.fails = false;
  const again = await on.stemma.restart(run.id);
  expect([await again.result(), calls]).toEqual([30, { step1: 1, step2: 2 }]);
  // Found again: neither entered nor succeeded anew, and the data is there.
  expect((await stepsOf(again)).filter((line) => line.endsWith("step1"))).toEqual(["step.reused step1"]);
  const reused = (await again.history()).find(({ type }) => type === "step.reused");
  expect(reused?.data).toMatchObject({ output: { inline: 20 }, from: { run: run.id, key: "step1" } });
});

test("68: whoever dies at any commit: what is on record is not done again, and nothing is on record twice", async () => {
  for (let commit = 1, reached = true; reached; commit += 1) {
    const calls: Record<string, number> = {};
    const [clock, store] = [fakeClock(), faults(fresh())];
    store.crash("commit.after", commit);
    const graph = two(calls, { fails: false });
    const dying = await stage([graph], { store, clock });
    const { id } = await dying.stemma.run(graph, 10);
    await Promise.race([(await dying.stemma.get(id)).result(), store.crashed]);
    reached = store.dead;
    dying.stemma.abandon();
    await using next = await stage([graph], { store: store.next(), clock });
    await clock.advance("15s");
    const run = await next.stemma.get(id);
    expect(await run.result()).toBe(30);
    const recorded = await stepsOf(run);
    expect(recorded.filter((line) => line.startsWith("step.succeeded"))).toEqual([
      "step.succeeded step1",
      "step.succeeded step2",
    ]);
    // Behind a commit everything in it is durable, so a step is entered again only if its outcome was not in one yet.
    for (const name of ["step1", "step2"]) expect(calls[name]).toBeLessThanOrEqual(2);
  }
});

/** A step, a question, and a step behind it. */
function asks(calls: string[], caught: unknown[]): Workflow<string, string> {
  return workflow({ name: "asks" }, async (ctx: Context, input: string) => {
    const before = await ctx.step("before", { input }, () => {
      calls.push("before");
      return `${input}!`;
    });
    let answer = "";
    try {
      answer = await ctx.wait<string>("first", { input: before });
    } catch (error) {
      caught.push(error);
    }
    const second = await ctx.wait<string>("second");
    return ctx.step("after", { input: [answer, second] }, () => {
      calls.push("after");
      return `${before} ${answer} ${second}`;
    });
  });
}

test("69: over a crash at each question: what came before is passed over, the questions keep their keys, nothing is caught", async () => {
  const [calls, caught]: [string[], unknown[]] = [[], []];
  const [clock, store] = [fakeClock(), fresh()];
  let on = await stage([asks(calls, caught)], { store, clock });
  const { id } = await on.stemma.run(asks(calls, caught), "x");
  const keys: string[] = [];
  for (const [n, answer] of ["one", "two"].entries()) {
    await until(async () => (await on.stemma.waits({ run: id })).waits.some(({ key }) => !keys.includes(key)));
    keys.push(await openKey(on.stemma, id));
    on.stemma.abandon();
    on = await stage([asks(calls, caught)], { store, clock });
    await clock.advance("15s");
    expect(await openKey(on.stemma, id), `question ${n}`).toBe(keys[n]);
    await on.stemma.resume(id, keys[n]!, answer);
    await clock.advance("1s");
  }
  const run = await on.stemma.get(id);
  expect([await run.result(), calls, caught, keys]).toEqual([
    "x! one two",
    ["before", "after"],
    [],
    ["first", "second"],
  ]);
  // What was answered is open nowhere; who answers late is told the answer, and who answers what was never asked is refused.
  expect((await on.stemma.waits({ run: id })).waits).toEqual([]);
  expect(await on.stemma.resume(id, "first", "late")).toMatchObject({ state: "recorded", value: "one" });
  expect((await errorOf(on.stemma.resume(id, "third", "late"))).code).toMatch(/^(run\.ended|wait\.not_open)$/u);
  await on.stemma.stop();
  await store.close();
});

test("69: an answer under a key that is not asked is refused, and changes nothing", async () => {
  const graph = asks([], []);
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "x");
  const key = await openKey(on.stemma, run.id);
  const before = (await run.history()).length;
  expect((await errorOf(on.stemma.resume(run.id, "other", "x"))).code).toBe("wait.not_open");
  expect((await run.history()).filter(({ type }) => type.startsWith("wait.answered"))).toEqual([]);
  expect((await run.history()).length - before).toBeLessThanOrEqual(1);
  expect(await openKey(on.stemma, run.id)).toBe(key);
});

test("69: whether the code of a body is the same is known: another body has another fingerprint", async () => {
  const fingerprints: unknown[] = [];
  for (const body of [async () => 1, async () => 2, async () => 1]) {
    const graph = workflow({ name: "changed" }, body);
    await using on = await stage([graph]);
    const run = await on.stemma.run(graph, undefined);
    await run.result();
    const started = (await run.history()).find(({ type }) => type === "run.started");
    fingerprints.push((started!.data as { fingerprint: string }).fingerprint);
  }
  expect(fingerprints[0]).toBe(fingerprints[2]);
  expect(fingerprints[0]).not.toBe(fingerprints[1]);
});
