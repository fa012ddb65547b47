/** The plan with the code at hand: exact up to the first step of each branch that runs, and nothing is begun. */
import { describe, expect, test } from "vitest";
import type { Plan } from "../src/index.ts";
import { Stemma, workflow } from "../src/index.ts";
import { errorOf, fresh, silent, stage } from "./stage.ts";

type Input = { names: string[]; tone?: string };

const entered: string[] = [];
const note = <T>(what: string, value: T): T => {
  entered.push(what);
  return value;
};

const letter = workflow({ name: "letter" }, async (ctx, { names, tone = "kind" }: Input) => {
  const greetings = await ctx.map("greet", names, { key: (name) => name }, (name) => note(name, `Dear ${name}`));
  const text = await ctx.step("write", { input: { greetings, tone } }, (given) => note("write", JSON.stringify(given)));
  const sealed = await ctx.step("seal", { input: text.length > 0 }, (given) => note("seal", given));
  const { ok } = await ctx.wait<{ ok: boolean }>("approve", { input: text, prompt: "Send it?" });
  if (ok) await ctx.step("send", { input: sealed, effect: "once" }, () => note("send", 1));
  return text;
});

const verdicts = ({ steps }: Plan): string[] => steps.map(({ key, verdict }) => `${key} ${verdict}`);

async function sentLetter(stemma: Stemma, names: string[]): Promise<string> {
  const run = await stemma.run(letter, { names });
  const open = async (): Promise<boolean> => (await stemma.waits({ run: run.id })).waits.length > 0;
  while (!(await open())) await new Promise((resolve) => setTimeout(resolve, 3));
  await stemma.resume(run.id, "approve", { ok: true });
  await run.result();
  entered.splice(0);
  return run.id;
}

describe("a dry run", () => {
  test("says which steps another input changes, begins none of them and leaves nothing behind", async () => {
    await using play = await stage([letter]);
    const { stemma } = play;
    const id = await sentLetter(stemma, ["ada", "bob"]);
    const change = { patch: { names: ["ada", "cy"] } };
    const plan = await stemma.plan(id, change, { dryRun: true });
    expect(plan.grade).toBe("dry run");
    expect(verdicts(plan)).toEqual([
      "greet/ada reuse",
      "greet/cy run",
      "greet/bob depends",
      "write depends",
      "seal depends",
      "approve depends",
      "send decide",
    ]);
    expect(plan.steps.at(-1)?.reason).toBe("effect once, behind what runs");
    expect(entered).toEqual([]);
    expect((await stemma.list()).runs).toHaveLength(1);
    const forked = await stemma.fork(id, change);
    while ((await stemma.waits({ run: forked.id })).waits.length === 0) await new Promise(setImmediate);
    // The step behind what ran has the same input all the same.
    expect(entered).toEqual(["cy", "write"]);
  });

  test("goes through to the end where everything is reused, and does not plan what is not asked for any more", async () => {
    await using play = await stage([letter]);
    const { stemma } = play;
    const id = await sentLetter(stemma, ["ada", "bob"]);
    const same = await stemma.plan(id, { patch: {} }, { dryRun: true });
    expect(same.totals).toMatchObject({ reuse: 6, run: 0, depends: 0, decide: 0, runs: [0, 0] });
    const refused = await stemma.plan(id, { outputs: { approve: { ok: false } } }, { dryRun: true });
    expect(verdicts(refused)).not.toContain(expect.stringContaining("send"));
    expect(refused.totals.runs).toEqual([0, 0]);
    expect(entered).toEqual([]);
  });

  test("makes up for nothing, whatever the body does at its end", async () => {
    const done: string[] = [];
    let broken = true;
    const trip = workflow({ name: "trip" }, async (ctx) => {
      await ctx.step("book", { input: 1, compensate: () => void done.push("unbook") }, () => void done.push("book"));
      await ctx.step("drive", { input: 2 }, () => (broken ? Promise.reject(new Error("no")) : 1)).catch(() => {});
      if (!broken) throw new Error("thrown by the body");
    });
    await using play = await stage([trip]);
    const run = await play.stemma.run(trip, undefined);
    await run.result();
    broken = false;
    expect(done.splice(0)).toEqual(["book"]);
    const plan = await play.stemma.plan(run.id, {}, { dryRun: true });
    expect(verdicts(plan)).toEqual(["book reuse", "drive reuse"]);
    expect(done).toEqual([]);
  });

  test("needs the code, and refuses what a restart refuses", async () => {
    await using store = fresh();
    await using play = await stage([letter], { store });
    const id = await sentLetter(play.stemma, ["ada"]);
    const without = new Stemma({ store, log: silent });
    expect((await errorOf(without.plan(id, {}, { dryRun: true }))).code).toBe("workflow.not_found");
    expect((await without.plan(id)).grade).toBe("history");
    expect((await errorOf(play.stemma.plan(id, { from: "nobody" }, { dryRun: true }))).code).toBe("step.not_found");
  });
});
