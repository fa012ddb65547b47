/** Recorded histories are run against the code of today: what fits is said to fit, what does not is named, nothing is entered. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { Context, RunHandle, Workflow } from "../src/index.ts";
import { replay } from "../src/testing.ts";
import type { Histories } from "../src/testing.ts";
import { errorOf, fresh, silent, until } from "./stage.ts";

const store = fresh();
let recording = true;
const entered: string[] = [];

/** What functions of steps do: while nothing may be entered, they say that they were. */
function work<T>(name: string, value: T): () => T {
  return () => {
    if (!recording) entered.push(name);
    return value;
  };
}

const define = (
  name: string,
  body: (ctx: Context<{ at: number }>, input: number) => Promise<unknown>,
): Workflow<number> => workflow({ name }, body);

const plain = define("plain", async (ctx, n) => {
  const a = await ctx.step("first", { input: n, compensate: work("undo", 1) }, work("first", n + 1));
  const many = await ctx.map("item", [1, 2, 3], work("item", 1));
  const raced = await ctx.race({ one: () => ctx.step("one", work("one", 1)), time: () => ctx.sleep("1h") });
  void ctx.step("left behind", work("left behind", 1));
  return ctx.step("last", { input: { a, many, raced } }, work("last", { total: a }));
});
const failing = define("failing", async (ctx) => {
  await ctx.step("paid", { compensate: work("undo", 1) }, work("paid", 1));
  throw new RangeError("a bug");
});
const waiting = define("waiting", async (ctx, n) => {
  await ctx.step("before", { input: n }, work("before", 1));
  const answer = await ctx.wait("question", { input: n });
  return ctx.step("after", { input: answer }, work("after", 1));
});
const doubtful = define("doubtful", (ctx) =>
  ctx.step("charge", { effect: "once", reconcile: work("reconcile", null) as never }, () => {
    if (!recording) entered.push("charge");
    throw new Error("who knows");
  }),
);
const segments = define("segments", async (ctx: Context<{ at: number }>, n) => {
  for (let at = ctx.restored?.at ?? 0; at < n; at += 1) {
    await ctx.step("item", { input: at }, work("item", at));
    await ctx.checkpoint({ at: at + 1, note: "x".repeat(at * 700) } as { at: number });
  }
  return n;
});
const calling = define("calling", (ctx, n) => ctx.call(plain, n));
const all = [plain, failing, waiting, doubtful, segments, calling];
const ids = new Map<string, string>();

beforeAll(async () => {
  await using stemma = await new Stemma({ store, workflows: all, log: silent }, { lingerMs: 10 }).start();
  const started: RunHandle[] = [];
  for (const each of all) {
    const run = await stemma.run(each, 3);
    ids.set(each.name, run.id);
    started.push(run);
  }
  const open = ["waiting", "doubtful"];
  await until(async () => {
    const states = await Promise.all(started.map((run) => run.status()));
    return states.every((status, i) =>
      open.includes(all[i]?.name ?? "") ? status === "suspended" : ["succeeded", "failed"].includes(status),
    );
  });
  await stemma.stop();
  recording = false;
});
afterAll(() => store.close());

const everything = async (): Promise<string> => {
  const { runs } = await store.list({ limit: 100 });
  const pages = await Promise.all(runs.map(({ id }) => store.history(id, { after: -1, limit: 1000 })));
  return JSON.stringify(pages);
};

const of = (name: string): Histories => ({ store, runs: [ids.get(name) ?? ""] });

describe("code that recorded them", () => {
  it.each(all.map((each) => [each.name, each] as const))(
    "fits: %s; and nothing is entered or written",
    async (name, each) => {
      const before = await everything();
      expect(await replay(of(name), each, { graceMs: 300 })).toEqual({ ok: true, runs: 1, fits: 1, findings: [] });
      expect(await everything()).toBe(before);
      expect(entered).toEqual([]);
    },
  );

  it("is tried on every recorded run of its workflow and version, called ones among them", async () => {
    expect(await replay({ store }, plain, { graceMs: 300 })).toMatchObject({ ok: true, runs: 2 });
    expect(
      (
        await errorOf(
          replay(
            { store },
            workflow({ name: "unheard of" }, async () => 1),
          ),
        )
      ).code,
    ).toBe("usage.invalid");
  });
});

describe("other code", () => {
  const cases: [string, string, (ctx: Context<{ at: number }>, n: number) => Promise<unknown>, object][] = [
    [
      "renames a step",
      "waiting",
      (ctx, n) => ctx.step("earlier", { input: n }, work("x", 1)),
      { kind: "diverges", key: "before", message: expect.stringContaining("earlier") as string },
    ],
    [
      "gives another input",
      "waiting",
      (ctx, n) => ctx.step("before", { input: n + 1 }, work("x", 1)),
      { kind: "diverges", key: "before", path: "$" },
    ],
    [
      "ends too early",
      "waiting",
      async () => 1,
      { kind: "diverges", key: "before", message: expect.stringContaining("ends") as string },
    ],
    [
      "asks for more at the end",
      "failing",
      async (ctx) => {
        await ctx.step("paid", work("x", 1));
        return ctx.step("more", work("more", 1));
      },
      { kind: "asks for more", key: "more" },
    ],
    ["mends the failure", "failing", (ctx) => ctx.step("paid", work("x", 1)), { kind: "ends otherwise" }],
    [
      "fails otherwise",
      "failing",
      async (ctx) => {
        await ctx.step("paid", work("x", 1));
        throw new TypeError("a bug");
      },
      { kind: "ends otherwise", message: expect.stringContaining("TypeError") as string },
    ],
    [
      "has another output",
      "calling",
      async (ctx, n) => ({ ...((await ctx.call(plain, n)) as object), total: 0 }),
      { kind: "ends otherwise", path: "$.total" },
    ],
    [
      "asks for a checkpoint no more",
      "segments",
      async (ctx) => {
        await ctx.step("item", { input: 0 }, work("x", 1));
        return 3;
      },
      { kind: "diverges" },
    ],
    [
      "has another state",
      "segments",
      async (ctx: Context<{ at: number }>, n) => {
        for (let at = ctx.restored?.at ?? 0; at < n; at += 1) {
          await ctx.step("item", { input: at }, work("x", 1));
          await ctx.checkpoint({ at: at + 1, note: at === 2 ? "other" : "x".repeat(at * 700) } as { at: number });
        }
        return n;
      },
      { kind: "state differs", path: "$.note" },
    ],
  ];
  it.each(cases)("that %s is found (%s), where and why, and enters nothing", async (_, name, body, finding) => {
    const { findings, fits } = await replay(of(name), define(name, body), { graceMs: 300 });
    expect(fits).toBe(0);
    expect(findings[0]).toMatchObject({ run: ids.get(name), ...finding });
    const stored = (await store.history(ids.get(name) ?? "", { after: -1, limit: 1000 }))?.events ?? [];
    expect(stored.some(({ seq }) => seq === findings[0]?.seq)).toBe(true);
    expect(entered).toEqual([]);
  });

  it("cannot read what was changed in the store, and says so", async () => {
    const { findings } = await replay({ store, runs: ["run_00000000000000000000000000"] }, plain);
    expect(findings).toMatchObject([{ kind: "unreadable" }]);
  });
});
