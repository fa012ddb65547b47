/** Golden runs: marked durably, one of each name in a workflow, kept as long as they are, and what others are compared with. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { RunHandle } from "../src/index.ts";
import { errorOf, fresh, silent } from "./stage.ts";

const double = workflow({ name: "double" }, (ctx, n: number) => ctx.step("double", { input: n }, () => n * factor));
const slow = workflow({ name: "slow" }, (ctx) => ctx.wait("answer"));
let factor = 2;

const store = fresh();
const stemma = new Stemma({ store, workflows: [double, slow], log: silent }, { lingerMs: 10 });
let [first, second]: RunHandle<number>[] = [];

beforeAll(async () => {
  await stemma.start();
  first = await stemma.run(double, 21);
  await first.result();
  factor = 3;
  second = await stemma.run(double, 21);
  await second.result();
});
afterAll(async () => {
  await stemma.stop();
  await store.close();
});

describe("a golden run", () => {
  it("is marked with who, why and tags, stays as it is, and is what one run is compared with", async () => {
    const before = JSON.stringify(await first?.history());
    const mark = await stemma.golden(first?.id ?? "", { by: "ada", reason: "checked", tags: ["eu"] });
    expect(mark).toMatchObject({ run: first?.id, workflow: "double", name: "golden", by: "ada", tags: ["eu"] });
    expect(await stemma.goldens()).toEqual([mark]);
    expect(JSON.stringify(await first?.history())).toBe(before);
    const comparison = await stemma.compare(second?.id ?? "");
    expect([comparison.a.run, comparison.b.run, comparison.same]).toEqual([first?.id, second?.id, false]);
  });

  it("gives its name to the next that is marked so; another name stands beside it", async () => {
    await stemma.golden(first?.id ?? "", { name: "large input" });
    const mark = await stemma.golden(second?.id ?? "");
    expect((await stemma.goldens({ workflow: "double" })).map(({ run, name }) => [run, name])).toEqual([
      [second?.id, "golden"],
      [first?.id, "large input"],
    ]);
    expect(await stemma.goldens({ name: "golden" })).toEqual([mark]);
    expect(await stemma.goldens({ run: first?.id ?? "" })).toHaveLength(1);
  });

  it("is kept by prune as long as it is golden, and its marks verify like everything else", async () => {
    expect(await stemma.verify()).toMatchObject({ ok: true });
    const later = { endedBefore: Date.now() + 3_600_000, limit: 100 };
    await store.prune(later);
    expect((await stemma.row(first?.id ?? "")).id).toBe(first?.id);
    expect(await stemma.ungolden({ run: first?.id ?? "" })).toHaveLength(1);
    await store.prune(later);
    expect((await errorOf(stemma.row(first?.id ?? ""))).code).toBe("run.not_found");
    expect((await stemma.goldens()).map(({ run }) => run)).toEqual([second?.id]);
  });

  it("has ended, and there is one where one is asked for", async () => {
    const open = await stemma.run(slow, undefined);
    expect((await errorOf(stemma.golden(open.id))).code).toBe("run.not_terminal");
    expect((await errorOf(stemma.compare(open.id))).code).toBe("run.not_found");
    const [mark] = await stemma.goldens();
    expect((await errorOf(stemma.golden(mark?.mark ?? ""))).code).toBe("run.not_terminal");
    expect((await errorOf(stemma.golden(second?.id ?? "", { name: "a/b" }))).code).toBe("name.invalid");
  });
});
