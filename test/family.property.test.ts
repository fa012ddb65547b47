/** Whatever is done to a family of runs, and whatever dies meanwhile: all of it ends, once, and hangs together. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { Context, Workflow } from "../src/index.ts";
import { isTerminal } from "../src/core/run.ts";
import { fakeClock, faults } from "../src/testing.ts";
import type { FakeClock } from "../src/testing.ts";
import { endsOf, familyOf, faultsOf } from "./family.ts";
import { fresh, listening, onPostgres } from "./stage.ts";

function body(name: string, run: (ctx: Context) => Promise<unknown>, timeout?: string): Workflow<undefined> {
  return workflow({ name, ...(timeout === undefined ? {} : { timeout }) }, run);
}

const quick = (result: unknown) => async (): Promise<unknown> => result;

const leaf = body("leaf", async (ctx) => {
  await ctx.step("one", { retry: { attempts: 3, delay: "20s", jitter: 0 } }, (_, { attempt }) => {
    if (attempt < 2) throw new Error("busy");
    return attempt;
  });
  const [answer] = await Promise.all([ctx.wait("question", { expires: "2h", default: "none" }), ctx.sleep("30s")]);
  return ctx.step("two", { input: answer }, (given) => given);
});
const nobody = body("nobody", quick(1));
const middle = body(
  "middle",
  async (ctx) => {
    const raced = await ctx.race({ call: () => ctx.call(leaf, undefined), time: () => ctx.sleep("5m") });
    await ctx.step("after", { compensate: quick(1) }, quick(raced.key));
    void ctx.call(nobody, undefined);
    return ctx.signal("go", { expires: "1h", default: "went" });
  },
  "3h",
);
const root = body("root", async (ctx) => {
  const seen: unknown[] = [];
  const note = async (call: Promise<unknown>): Promise<void> => {
    try {
      seen.push(await call);
    } catch (error) {
      seen.push((error as { code?: string }).code ?? "failed");
    }
  };
  await Promise.all([note(ctx.call(middle, undefined)), note(ctx.call(leaf, undefined, { timeout: "40m" }))]);
  await ctx.map("item", [1, 2, 3], { concurrency: 2 }, (item) => item);
  return seen;
});
const workflows = [leaf, middle, root];

type Act = {
  /** `leave`: who comes next offers only some of the workflows, so that nobody comes to the runs of the others. */
  kind: "pause" | "unpause" | "cancel" | "answer" | "go" | "die" | "leave" | "crash" | "pass";
  at: number;
  ms: number;
};
const acts = fc.array(
  fc.record({
    kind: fc.constantFrom<Act["kind"][]>(
      "pause",
      "unpause",
      "cancel",
      "answer",
      "go",
      "die",
      "leave",
      "crash",
      "crash",
      "pass",
      "pass",
      "pass",
    ),
    at: fc.nat(6),
    ms: fc.constantFrom(0, 0, 1, 30, 1000, 20_000, 60_000, 400_000),
  }),
  { maxLength: 14 },
);

/** One act on some run of the family. What is refused (the run has ended, the wait is not open) is refused with a code. */
async function act(stemma: Stemma, { kind, at }: Act, family: readonly string[]): Promise<void> {
  const id = family[at % family.length] ?? "";
  const asked =
    kind === "answer"
      ? stemma.resume(id, "question", at)
      : kind === "go"
        ? stemma.signal(id, "go", at)
        : kind === "pause" || kind === "unpause" || kind === "cancel"
          ? stemma[kind](id, { by: "ada" })
          : Promise.resolve();
  await refusable(asked);
}

async function refusable(asked: Promise<unknown>): Promise<void> {
  await asked.catch((error: { code?: string }) => {
    if (error.code !== "run.ended" && error.code !== "wait.not_open") throw error;
  });
}

/** One life after the other on the same data, each with a store that may crash at a commit. */
async function play(list: readonly Act[], clock: FakeClock, log: ReturnType<typeof listening>): Promise<void> {
  let store = faults(fresh());
  let offered = workflows;
  const begin = (): Promise<Stemma> => new Stemma({ store, workflows: offered, clock, log }, { lingerMs: 25 }).start();
  let stemma = await begin();
  const run = await stemma.run(root, undefined);
  const next = async (): Promise<void> => {
    stemma.abandon();
    store = store.next();
    stemma = await begin();
  };
  /** Does something, and lets time pass until it is done, or until this life ends. */
  const moved = async (ms: number, asked: Promise<unknown>): Promise<void> => {
    const state = { open: true };
    const over = asked.finally(() => (state.open = false));
    const passed = async (): Promise<void> => {
      // An answer is waited for up to a second of this clock.
      for (await clock.advance(ms); state.open;) await clock.advance(100);
      await over;
    };
    await Promise.race([passed(), store.crashed]);
    if (store.dead) await next();
  };
  for (const one of list) {
    const ids = (await familyOf(stemma, run.id)).map(({ id }) => id);
    if (one.kind === "crash") store.crash(one.ms % 1000 === 0 ? "commit.before" : "commit.after", one.at + 1);
    await moved(one.ms, act(stemma, one, ids));
    if (one.kind === "leave") offered = workflows.filter((_, i) => (one.at >> i) % 2 === 1);
    if (one.kind === "die" || one.kind === "leave") await next();
    // All that is under way is done: rows and histories are read one after the other.
    await clock.settle();
    expect(await faultsOf(stemma, run.id)).toEqual([]);
  }
  offered = workflows;
  await next();
  for (let i = 0; i < 2; i += 1) {
    for (const { id, state } of await familyOf(stemma, run.id))
      if (state.status === "paused") await moved(0, refusable(stemma.unpause(id)));
    await clock.advance("4h");
  }
  const left = (await familyOf(stemma, run.id)).filter(({ state }) => !isTerminal(state.status));
  expect(left.map(({ state }) => `${state.workflow} ${state.status} ${state.reason ?? ""}`)).toEqual([]);
  expect(await faultsOf(stemma, run.id)).toEqual([]);
  await expectLeafFirst(stemma, run.id);
  await stemma.stop();
  await store.close();
}

/** No run ends before those that it called: the one that called no other's is the last. */
async function expectLeafFirst(stemma: Stemma, run: string): Promise<void> {
  const rows = await familyOf(stemma, run);
  for (const { id, state } of rows) {
    const order = await endsOf(stemma, id);
    expect(order.at(-1)).toBe(`${state.workflow} run.${state.status}`);
  }
}

test("property: a family of runs that is paused, cancelled, answered, and dies at any time comes to its end as a whole", async () => {
  await fc.assert(
    fc.asyncProperty(acts, async (list) => {
      const log = listening();
      await play(list, fakeClock(), log);
      expect(log.lines.filter((line) => line.startsWith("error"))).toEqual([]);
    }),
    { numRuns: onPostgres ? 20 : 120 },
  );
}, 120_000);
