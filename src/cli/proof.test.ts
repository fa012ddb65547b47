/** The commands that prove: `verify`, `why` and `prov`, on a file that a test works on. */
import { statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { answered, typed, workshop } from "../../test/command-line.ts";
import { workflow } from "../index.ts";

const two = workflow({ name: "two" }, async (ctx, n: number) => {
  const found = await ctx.step("find", { input: n }, () => ({ items: ["first one", "second one"] }));
  return ctx.step("show", { input: found }, ({ items }) => `it is ${items[1]}`);
});

describe("stemma verify", () => {
  it("says what it proved and exits with 0; and with 1, naming run and event, once a byte is another", async () => {
    await using shop = await workshop([two]);
    const run = await shop.stemma.run(two, 1);
    await run.result();
    await shop.stop();
    const fine = await typed("verify", "--store", shop.path);
    expect(fine).toMatchObject({ status: 0, err: "" });
    expect(fine.out).toMatch(/^as written {2}1 run, 5 events, 0 payloads/);
    const { value } = await answered("verify", run.id, "--store", shop.path);
    const head = value["head"] as { seq: number; hash: string };
    expect((await typed("verify", run.id, "--expect", `${head.seq}:${head.hash}`, "--store", shop.path)).status).toBe(
      0,
    );
    expect((await typed("verify", run.id, "--expect", "x", "--store", shop.path)).status).toBe(2);
    const file = new DatabaseSync(shop.path);
    file.exec("update events set data = replace(data, 'second', 'zecond') where seq = 2");
    file.close();
    const tampered = await typed("verify", "--store", shop.path);
    expect(tampered.status).toBe(1);
    expect(tampered.out).toContain("not as written: 1 place");
    expect(tampered.out).toContain(`${run.id}  event 2  event altered`);
  });
});

describe("stemma why and stemma prov", () => {
  it("draw the tree of what a value comes from, and print the document", async () => {
    await using shop = await workshop([two]);
    const run = await shop.stemma.run(two, 1);
    await run.result();
    await shop.stop();
    const { out } = await typed("why", run.id, "find", "--path", "$.items[1]", "--store", shop.path);
    expect(out).toContain("find");
    const whole = await typed("why", run.id, "--store", shop.path);
    expect(whole.out.split("\n").map((line) => /output of the run|show|find|input of the run/.exec(line)?.[0])).toEqual(
      ["output of the run", "show", "find", "input of the run", undefined],
    );
    const { value } = await answered("why", run.id, "show", "--store", shop.path);
    expect(value["key"]).toBe("show");
    expect((await answered("prov", run.id, "--store", shop.path)).value).toHaveProperty("wasGeneratedBy");
    expect((await typed("why", run.id, "nothing", "--store", shop.path)).status).toBe(3);
  });
});

describe("stemma golden", () => {
  it("marks a run that CI holds the latest against: exit code 1 where its output is another", async () => {
    await using shop = await workshop([two]);
    const ids: string[] = [];
    for (const n of [1, 2]) {
      const run = await shop.stemma.run(two, n);
      await run.result();
      ids.push(run.id);
    }
    await shop.stop();
    const store = ["--store", shop.path];
    const [one = "", other = ""] = ids;
    expect((await typed("compare", "golden", "latest", ...store)).status).toBe(2);
    expect((await typed("golden", one, "--by", "ada", "--tag", "eu", "--reason", "checked", ...store)).out).toContain(
      one,
    );
    expect((await typed("golden", ...store)).out).toMatch(/two .* golden .* eu .* ada .* checked/);
    const ci = ["compare", "golden", "latest", "--fail-on", "output", ...store] as const;
    expect(await answered(...ci)).toMatchObject({ status: 0, value: { a: { run: one }, b: { run: other } } });
    expect((await answered("compare", other, ...store)).value).toMatchObject({ a: { run: one }, b: { run: other } });
    expect((await typed("compare", other, "--fail-on", "steps", ...store)).status).toBe(1);
    expect((await typed("golden", one, "--remove", ...store)).out).toContain("not golden any more");
    expect((await typed("golden", one, "--remove", ...store)).status).toBe(3);
    expect((await typed("compare", other, ...store)).status).toBe(3);
  });
});

describe("stemma export and stemma import", () => {
  it("take a family to a file that was not there, and into another store", async () => {
    await using shop = await workshop([two]);
    const run = await shop.stemma.run(two, 1);
    await run.result();
    await shop.stop();
    const file = `${shop.path}.family`;
    expect((await typed("export", run.id, "--out", file, "--store", shop.path)).status).toBe(0);
    expect((await typed("export", run.id, "--out", file, "--store", shop.path)).status).toBe(2);
    const other = `${shop.path}.other`;
    expect((await answered("import", file, "--store", other)).value).toMatchObject({ runs: [run.id], events: 5 });
    expect((await typed("verify", run.id, "--store", other)).status).toBe(0);
    expect((await typed("import", `${file}.gone`, "--store", other)).status).toBe(2);
    expect((await answered("import", shop.path, "--store", other)).value).toMatchObject({ code: "import.refused" });
  });
});

const large = workflow({ name: "large" }, (ctx, n: number) =>
  ctx.step("large", { input: n }, () => `${n}`.repeat(1_000_000)),
);

describe("stemma prune", () => {
  it("says what would go, removes it, and keeps what is golden", async () => {
    await using shop = await workshop([two]);
    for (const n of [1, 2]) await (await shop.stemma.run(two, n)).result();
    const id = (await shop.stemma.list()).runs[0]?.id ?? "";
    await shop.stemma.golden(id);
    await shop.stop();
    const store = ["--store", shop.path];
    const words = ["prune", "--older-than", "1ms", ...store] as const;
    const counts = { runs: 1, events: 5, kept: 1 };
    expect((await answered(...words, "--dry-run")).value).toMatchObject({ ...counts, dryRun: true });
    expect((await typed(...words)).out).toMatch(
      /^removed 1 runs, 5 events, 0 bytes of payloads; 1 that are old enough stay/,
    );
    expect((await typed("verify", ...store)).status).toBe(0);
    expect((await typed("prune", "--older-than", "soon", ...store)).status).toBe(2);
    expect((await typed("prune", ...store)).status).toBe(2);
  });

  it("makes the file smaller when it is asked to and nobody works, and says by how much", async () => {
    await using shop = await workshop([large]);
    for (const n of [1, 2]) await (await shop.stemma.run(large, n)).result();
    const store = ["--store", shop.path];
    const words = ["prune", "--older-than", "1ms", "--compact", ...store] as const;
    const refused = await answered(...words);
    expect(refused.value).toMatchObject({ code: "store.busy" });
    expect((await shop.stemma.list()).runs).toHaveLength(2);
    await shop.stop();
    // A worker that was stopped counts until its lease ends.
    const raw = new DatabaseSync(shop.path);
    raw.exec("update workers set lease_until = 0");
    raw.close();
    expect((await typed(...words, "--dry-run")).status).toBe(2);
    const { value } = await answered(...words);
    const { file } = value as { file: { before: number; after: number } };
    expect(file.before).toBeGreaterThan(2_000_000);
    expect(file.after).toBeLessThan(500_000);
    expect(statSync(shop.path).size).toBe(file.after);
    expect((await typed(...words)).out).toMatch(/^removed 0 runs.*\nthe file had [\d,]+ bytes, and has [\d,]+\n$/);
    expect((await typed("verify", ...store)).status).toBe(0);
  });
});
