import { describe, expect, test } from "vitest";
import { answered, typed, workshop } from "../../test/command-line.ts";
import { workflow } from "../authoring/workflow/workflow.ts";

type Input = { names: string[]; fail?: boolean; word?: string };

const grade = workflow({ name: "grade" }, async (ctx, { names, fail = false, word = "" }: Input) => {
  const grades = await ctx.map("grade", names, (name) => name.length);
  const all = await ctx.step("sum", { input: grades }, (each) => ({ points: each.length, word }));
  if (fail) await ctx.step("publish", { input: all }, () => Promise.reject(new Error("closed \u001b[2J")));
  return all.points;
});

async function ended(shop: Awaited<ReturnType<typeof workshop>>, input: Input): Promise<string> {
  const run = await shop.stemma.run(grade, input);
  await run.result().catch(() => {});
  return run.id;
}

describe("stemma compare", () => {
  test("says what was inserted and what changed, by key and JSON path, and from where on", async () => {
    await using shop = await workshop([grade]);
    const a = await ended(shop, { names: ["ada", "bob"] });
    const b = await ended(shop, { names: ["cy", "ada", "bob"], word: "x" });
    const { status, out } = await typed("compare", a, b, "--store", shop.path);
    expect(status).toBe(0);
    const lines = out.split("\n");
    expect(lines[0]).toMatch(/run +status +took +cost/);
    expect(lines.some((line) => line.startsWith("+ grade  succeeded"))).toBe(true);
    expect(lines).toContain('    output $.word: "" → "x"');
    expect(lines).toContain('  input of the run $.word: only in b: "x"');
    expect(lines).toContain("2 same, 1 changed, 1 added");
    expect(lines).toContain("They differ from grade on.");
    expect(out).not.toMatch(/^= grade/m);
    expect((await typed("compare", a, b, "--all", "--store", shop.path)).out).toContain("= grade (grade#2 in b)");
  });

  test("ends with 1 where it was told what must not differ, and only for that", async () => {
    await using shop = await workshop([grade]);
    const a = await ended(shop, { names: ["x"] });
    const b = await ended(shop, { names: ["x"], word: "other" });
    const c = await ended(shop, { names: ["x", "y"] });
    const d = await ended(shop, { names: ["x"], fail: true });
    const code = async (...words: string[]): Promise<number> =>
      (await typed("compare", ...words, "--store", shop.path)).status;
    expect(await code(a, b)).toBe(0);
    expect(await code(a, b, "--fail-on", "output")).toBe(0);
    expect(await code(a, b, "--fail-on", "steps")).toBe(1);
    expect(await code(a, c, "--fail-on", "output")).toBe(1);
    expect(await code(a, d, "--fail-on", "output")).toBe(1);
    expect(await code(a, a, "--fail-on", "steps")).toBe(0);
    expect(await code(a, "run_00000000000000000000000000")).toBe(3);
    expect(await code(a, b, "--fail-on", "mood")).toBe(2);
    expect((await typed("compare", a, d, "--store", shop.path)).out).not.toContain("\u001b");
  });

  test("prints the comparison as one JSON value", async () => {
    await using shop = await workshop([grade]);
    const a = await ended(shop, { names: ["x"] });
    const { out } = await typed("compare", a, a, "--json", "--store", shop.path);
    expect(JSON.parse(out)).toMatchObject({ same: true, totals: { same: 2 } });
  });
});

test("stemma lineage prints the tree of a run, and the lineage as one JSON value", async () => {
  await using shop = await workshop([grade]);
  const id = await ended(shop, { names: ["x"] });
  const { out } = await typed("lineage", id.slice(-8), "--store", shop.path);
  expect(out).toMatch(/^└─ ✔ run_\w{26} +\S+ +grade@1 {2}2 carried out {2}now {2}← this run\n$/);
  const { status, out: json } = await typed("lineage", id, "--json", "--store", shop.path);
  expect(status).toBe(0);
  expect(JSON.parse(json)).toMatchObject({ run: id, ancestors: [], runs: [{ id, status: "succeeded" }] });
  expect((await answered("lineage", "run_00000000000000000000000000", "--store", shop.path)).value["code"]).toBe(
    "run.not_found",
  );
});
