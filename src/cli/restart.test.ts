import { describe, expect, test } from "vitest";
import { answered, typed, workshop } from "../../test/command-line.ts";
import { until } from "../../test/stage.ts";
import { workflow } from "../authoring/workflow/workflow.ts";
import type { Plan } from "../core/plan.ts";

type Input = { names: string[]; tone?: string };

/** What was entered, by name of the step and its input. */
const entered: string[] = [];
let broken = true;

const letter = workflow({ name: "letter" }, async (ctx, { names, tone = "kind" }: Input) => {
  const greetings = await ctx.map("greet", names, (name) => {
    entered.push(`greet ${name}`);
    return `Dear ${name}`;
  });
  const text = await ctx.step("write", { input: { greetings, tone } }, (given) => {
    entered.push("write");
    if (broken) throw new Error("out of ink");
    return `${given.greetings.join(", ")} (${given.tone})`;
  });
  return ctx.step("seal", { input: text }, (given) => `[${given}]`);
});

async function failedRun(shop: Awaited<ReturnType<typeof workshop>>): Promise<string> {
  broken = true;
  const run = await shop.stemma.run(letter, { names: ["ada", "bob"] });
  await run.result().catch(() => {});
  broken = false;
  entered.splice(0);
  return run.id;
}

describe("stemma plan, restart and fork", () => {
  test("a failed run is planned and restarted: what succeeded is not entered again", async () => {
    await using shop = await workshop([letter]);
    const id = await failedRun(shop);
    const plan = await typed("plan", id, "--store", shop.path);
    expect(plan.status).toBe(0);
    expect(plan.out).toMatch(/↺ reuse +greet +succeeded/);
    expect(plan.out).toMatch(/▶ run +write +failed, and ended the run/);
    expect(plan.out).toContain("2 reuse, 1 run");
    expect((await typed("restart", id, "--dry-run", "--store", shop.path)).out).toBe(plan.out);

    const { out, err } = await typed("restart", id, "--reason", "ink", "--by", "ada", "--store", shop.path);
    const again = await shop.stemma.get(out.trim());
    expect(await again.result()).toBe("[Dear ada, Dear bob (kind)]");
    expect(entered).toEqual(["write"]);
    expect(err).toContain(`stemma compare ${id} ${again.id}`);
    const lineage = (await typed("lineage", again.id, "--store", shop.path)).out.split("\n");
    expect(lineage[0]).toContain("failed");
    expect(lineage[1]).toMatch(/↳ ✔ run_\w+ .*restart.*2 reused {2}2 carried out.*← this run/);
    expect(lineage[2]).toContain("ada: ink");
    const compared = await typed("compare", id, again.id, "--fail-on", "output", "--store", shop.path);
    expect(compared.status).toBe(1);
    expect(compared.out).toContain("b comes from a");
    expect(compared.out).toMatch(/~ write {2}failed → succeeded/);
    expect(compared.out).toContain("2 same, 1 changed, 1 added");
  });

  test("a fork with a part of the input changed runs what depends on it, and its plan said so", async () => {
    await using shop = await workshop([letter]);
    broken = false;
    const run = await shop.stemma.run(letter, { names: ["ada", "bob"] });
    await run.result();
    entered.splice(0);
    const change = ["--set", "tone=cold", "--set", "names[1]=cy", "--store", shop.path];
    const { out } = await typed("plan", run.id, ...change, "--json");
    const plan = JSON.parse(out) as Plan;
    expect(plan.grade).toBe("history");
    expect(plan.totals).toMatchObject({ reuse: 0, run: 0, depends: 4, runs: [0, 4] });
    expect(plan.steps[0]?.reason).toBe("the run's input changed at $.names[1]");
    const forked = JSON.parse((await typed("fork", run.id, ...change, "--json")).out) as { run: string; kind: string };
    expect(forked).toMatchObject({ kind: "fork", source: run.id });
    expect(await (await shop.stemma.get(forked.run)).result()).toBe("[Dear ada, Dear cy (cold)]");
    expect(entered.filter((each) => each === "greet ada")).toEqual([]);
  });

  test("a fork that waits for what its open source may still make up for says so, and what else there is to do", async () => {
    const booked = workflow({ name: "booked" }, async (ctx) => {
      await ctx.step("book", { input: 1, compensate: () => {} }, () => "B1");
      await ctx.wait("approval", {});
    });
    await using shop = await workshop([booked]);
    const run = await shop.stemma.run(booked, undefined);
    await until(async () => (await shop.stemma.waits({ run: run.id })).waits.length === 1);
    expect((await typed("plan", run.id, "--store", shop.path)).out).toMatch(/book +its run may still make up for it/);
    const fork = (await typed("fork", run.id, "--store", shop.path)).out.trim();
    let out = "";
    // Now and then it looks again, and does not rest then.
    await until(async () => {
      ({ out } = await typed("show", fork, "--store", shop.path));
      return out.includes(`${run.id} may still make up for book`);
    });
    expect(out).toContain(`stemma show ${run.id}`);
    await shop.stemma.cancel(run.id);
    await until(async () => (await shop.stemma.waits({ run: fork })).waits.length === 1);
  });

  test("--wait follows the new run to its end, and answers with its output, or with its failure", async () => {
    await using shop = await workshop([letter]);
    const id = await failedRun(shop);
    const { status, out, err } = await typed("restart", id, "--wait", "--store", shop.path);
    expect(status).toBe(0);
    expect(out.split("\n")[1]).toBe('"[Dear ada, Dear bob (kind)]"');
    expect(err).toContain("succeeded after");
    const json = await answered("fork", id, "--wait", "--set", "tone=cold", "--store", shop.path);
    expect(json.value).toMatchObject({ status: "succeeded", output: "[Dear ada, Dear bob (cold)]" });
    broken = true;
    const failed = await typed("fork", id, "--wait", "--set", "tone=sour", "--store", shop.path);
    expect(failed.status).toBe(1);
    expect(failed.err).toContain("out of ink");
  });

  test("a fork can begin at a step, or be given what a step returns", async () => {
    await using shop = await workshop([letter]);
    broken = false;
    const run = await shop.stemma.run(letter, { names: ["ada"] });
    await run.result();
    entered.splice(0);
    const at = (await typed("fork", run.id, "--from", "write", "--store", shop.path)).out.trim();
    expect(await (await shop.stemma.get(at)).result()).toBe("[Dear ada (kind)]");
    expect(entered).toEqual(["write"]);
    expect((await typed("lineage", at, "--store", shop.path)).out).toContain("fork from write");
    for (const [how, said] of [
      [["--after", "greet"], "fork behind greet"],
      [["--reuse", "none"], "fork that reuses nothing"],
    ] as const) {
      const id = (await typed("fork", run.id, ...how, "--store", shop.path)).out.trim();
      expect((await typed("lineage", id, "--store", shop.path)).out).toContain(said);
    }

    const given = ["--output", 'greet[input=ada]="Hi"', "--store", shop.path];
    const planned = JSON.parse((await typed("plan", run.id, ...given, "--json")).out) as Plan;
    expect(planned.steps.map(({ key, verdict }) => [key, verdict])).toEqual([
      ["greet", "reuse"],
      ["write", "depends"],
      ["seal", "depends"],
    ]);
    const id = (await typed("fork", run.id, ...given)).out.trim();
    expect(await (await shop.stemma.get(id)).result()).toBe("[Hi (kind)]");
    expect((await typed("lineage", id, "--store", shop.path)).out).toContain("output given: greet");
  });

  test("a once step that was done with another input is shown as what it is: done before, and to be decided", async () => {
    const post = workflow({ name: "post" }, (ctx, text: string) =>
      ctx.step("send", { input: text, effect: "once" }, (given) => `sent ${given}`),
    );
    await using shop = await workshop([post]);
    const run = await shop.stemma.run(post, "hello");
    await run.result();
    const id = (await typed("fork", run.id, "--input", '"bye"', "--store", shop.path)).out.trim();
    const suspended = async (): Promise<boolean> => (await shop.stemma.row(id)).state.reason === "in_doubt";
    while (!(await suspended())) await new Promise(setImmediate);
    const { out } = await typed("show", id, "--store", shop.path);
    expect(out).toContain("An earlier run of its line has done send");
    expect(out).toContain(`done with another input in ${run.id}`);
    expect(out).not.toContain("It is not known");
    const allowed = (await typed("fork", run.id, "--input", '"again"', "--allow-effect", "send", "--store", shop.path))
      .out;
    expect(await (await shop.stemma.get(allowed.trim())).result()).toBe("sent again");
  });

  test("what cannot be is refused with a code, and leaves no run behind", async () => {
    await using shop = await workshop([letter]);
    const id = await failedRun(shop);
    const code = async (...words: string[]): Promise<unknown> =>
      (await answered(...words, "--store", shop.path)).value["code"];
    expect(await code("restart", id, "--from", "nobody")).toBe("step.not_found");
    expect(await code("plan", id, "--from", "nobody")).toBe("step.not_found");
    expect(await code("fork", id, "--output", "nobody=1")).toBe("override.unused");
    expect(await code("fork", id, "--from", "write", "--after", "greet")).toBe("usage.invalid");
    expect(await code("fork", id, "--checkpoint", "last")).toBe("checkpoint.not_found");
    expect(await code("fork", id, "--reuse", "some")).toBe("usage.invalid");
    expect(await code("restart", "run_00000000000000000000000000")).toBe("run.not_found");
    // Text that is a number which would become another one.
    expect(await code("fork", id, "--set", "names[0]=9007199254740993")).toBe("json.invalid");
    // A dry run without code, and code without a dry run.
    expect(await code("plan", id, "--dry-run")).toBe("usage.invalid");
    expect(await code("plan", id, "letter.ts")).toBe("usage.invalid");
    expect((await shop.stemma.list()).runs).toHaveLength(1);
  });

  test("who names a step that is not there is told which are", async () => {
    await using shop = await workshop([letter]);
    const id = await failedRun(shop);
    const said = async (...words: string[]): Promise<string> => (await typed(...words, "--store", shop.path)).err;
    expect(await said("restart", id, "--from", "wriet")).toContain(
      'has no step "wriet". It has greet, greet#2, write.',
    );
    expect(await said("fork", id, "--output", "wriet=1")).toContain("It has greet, greet#2, write.");
  });

  test("a restart with another input says that it is a fork; why and from where stands in the run that is shown", async () => {
    await using shop = await workshop([letter]);
    const id = await failedRun(shop);
    const { value } = await answered("restart", id, "--set", "tone=cold", "--store", shop.path);
    expect(value).toMatchObject({ source: id, kind: "fork" });
    const why = ["--from", "write", "--by", "ada", "--reason", "ink"];
    const again = (await typed("restart", id, ...why, "--store", shop.path)).out.trim();
    const { out } = await typed("show", again, "--store", shop.path);
    expect(out).toContain(`restart of ${id}`);
    expect(out).toContain("ada: ink (from write)");
  });

  test("one idempotency key is one new run, however often it is typed", async () => {
    await using shop = await workshop([letter]);
    const id = await failedRun(shop);
    const words = ["restart", id, "--idempotency-key", "ticket 12", "--store", shop.path];
    const [first, second] = [await typed(...words), await typed(...words)];
    expect(first.status).toBe(0);
    expect(second.out).toBe(first.out);
    expect((await shop.stemma.list()).runs).toHaveLength(2);
  });
});
