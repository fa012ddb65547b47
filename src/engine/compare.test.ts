import { expect, test } from "vitest";
import { errorOf, stage } from "../../test/stage.ts";
import { workflow } from "../authoring/workflow/workflow.ts";

type Input = { names: string[]; fail?: boolean; big?: string };

const grade = workflow({ name: "grade" }, async (ctx, { names, fail = false, big = "" }: Input) => {
  const grades = await ctx.map("grade", names, (name) => ({ name, points: name.length }));
  const all = await ctx.step("sum", { input: grades }, (each) => ({
    points: each.length,
    note: big.repeat(2000),
  }));
  if (fail) await ctx.step("publish", { input: all.points }, () => Promise.reject(new Error("closed")));
  return all.points;
});

test("two runs are compared by what their steps are: an inserted item shifts none of the others", async () => {
  await using play = await stage([grade]);
  const { stemma } = play;
  const a = await stemma.run(grade, { names: ["ada", "bob"] });
  const b = await stemma.run(grade, { names: ["cy", "ada", "bob"] });
  await Promise.all([a.result(), b.result()]);
  const found = await stemma.compare(a.id, b.id);
  expect(found.totals).toEqual({ same: 2, changed: 1, added: 1, removed: 0, moved: 0 });
  expect(found.same).toBe(false);
  expect(found.parting).toBeUndefined();
  expect(found.input).toEqual({
    places: [
      { path: "$.names[0]", a: "ada", b: "cy" },
      { path: "$.names[1]", a: "bob", b: "ada" },
      { path: "$.names[2]", b: "bob" },
    ],
  });
  expect(found.output).toEqual({ places: [{ path: "$", a: 2, b: 3 }] });
  expect(found.steps[found.first ?? -1]).toMatchObject({ change: "added", b: { key: "grade", status: "succeeded" } });
  expect(found.steps.find(({ a: side }) => side?.key === "sum")?.differences).toMatchObject([
    { aspect: "input" },
    { aspect: "output", places: [{ path: "$.points", a: 2, b: 3 }] },
  ]);
});

test("a run and itself are the same, and runs of one input differ in nothing but times", async () => {
  await using play = await stage([grade]);
  const { stemma } = play;
  const runs = await Promise.all([1, 2].map(() => stemma.run(grade, { names: ["ada"] })));
  await Promise.all(runs.map((run) => run.result()));
  const [a = "", b = ""] = runs.map(({ id }) => id);
  expect((await stemma.compare(a, b)).same).toBe(true);
  const itself = await stemma.compare(a, a);
  expect(itself).toMatchObject({ same: true, parting: { run: a } });
  expect(itself.first).toBeUndefined();
});

test("large values are read only for the steps that differ, and of no more of them than is asked for", async () => {
  await using play = await stage([grade]);
  const { stemma } = play;
  const [a, b] = [
    await stemma.run(grade, { names: ["x"], big: "a" }),
    await stemma.run(grade, { names: ["x"], big: "b" }),
  ];
  await Promise.all([a.result(), b.result()]);
  const [, sum] = (await stemma.compare(a.id, b.id)).steps;
  expect(sum?.differences).toMatchObject([{ aspect: "output", places: [{ path: "$.note" }] }]);
  const brief = await stemma.compare(a.id, b.id, { details: 0 });
  expect(brief.steps[1]?.differences).toEqual([{ aspect: "output", places: [], unread: true }]);
});

test("a run that failed is told from one that did not by its steps, its status and its error", async () => {
  await using play = await stage([grade]);
  const { stemma } = play;
  const [a, b] = [await stemma.run(grade, { names: ["x"] }), await stemma.run(grade, { names: ["x"], fail: true })];
  await a.result();
  await errorOf(b.result());
  const found = await stemma.compare(a.id, b.id);
  expect(found).toMatchObject({ same: false, b: { status: "failed", error: { message: "closed" } } });
  expect(found.steps.at(-1)).toMatchObject({ change: "added", b: { key: "publish", status: "failed" } });
  expect((await errorOf(stemma.compare(a.id, "run_00000000000000000000000000"))).code).toBe("run.not_found");
});
