/**
 * The matching strategy "earliest": what a control plane promises that answers each call from a source run by its target
 * and input alone. Each of its sentences is a test; where it loses something that need not be lost, the better outcome
 * is what is expected here, and the title says "here". What makes two calls equal: `control-plane-earliest-keys`.
 */
import { describe, expect, test } from "vitest";
import { components, workflow } from "../../src/index.ts";
import type { Change, Context, RunHandle, Stemma, Workflow } from "../../src/index.ts";
import { errorOf, stage, until } from "../stage.ts";
import { World, ended, reusedKeys, reusedOf } from "./restart-world.ts";

const earliest = { matching: "earliest" } as const;

/** Asks the same thing a number of times; each time it is done it comes to something else. */
function counting(): { wf: Workflow<number>; entered(): number } {
  let entered = 0;
  const wf = workflow({ name: "counting" }, async (ctx: Context, times: number) => {
    const found: number[] = [];
    for (let i = 0; i < times; i += 1) found.push(await ctx.step("poll", { input: "x" }, () => (entered += 1)));
    return found;
  });
  return { wf, entered: () => entered };
}

async function resultOf(made: Promise<RunHandle>): Promise<unknown> {
  return (await made).result();
}

async function runsOf(stemma: Stemma): Promise<number> {
  return (await stemma.list()).runs.length;
}

describe("how many, and which", () => {
  test("two equal calls both get the earliest outcome; so do more calls than there are outcomes", async () => {
    const { wf, entered } = counting();
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, 3);
    expect(await run.result()).toEqual([1, 2, 3]);
    expect(await resultOf(stemma.restart(run.id, earliest))).toEqual([1, 1, 1]);
    expect(await resultOf(stemma.fork(run.id, { ...earliest, input: 5 }))).toEqual([1, 1, 1, 1, 1]);
    expect(entered()).toBe(3);
  });

  test("one outcome serves thousands of calls, and each says where it is from", async () => {
    const { wf, entered } = counting();
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, 1);
    await run.result();
    const fork = await place.stemma.fork(run.id, { ...earliest, input: 3000 });
    expect(new Set((await fork.result()) as number[])).toEqual(new Set([1]));
    expect(await reusedOf(fork, "poll#2999")).toMatchObject({ from: { run: run.id, key: "poll" } });
    expect(entered()).toBe(1);
  });

  test("who wants each its own varies the input, or reuses nothing", async () => {
    let entered = 0;
    const wf = workflow({ name: "varied" }, async (ctx) => {
      const found: number[] = [];
      for (let i = 0; i < 3; i += 1) found.push(await ctx.step("poll", { input: i }, () => (entered += 1)));
      return found;
    });
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, undefined);
    await run.result();
    expect(await resultOf(place.stemma.restart(run.id, earliest))).toEqual([1, 2, 3]);
    expect(await resultOf(place.stemma.restart(run.id, { ...earliest, reuse: "none" }))).toEqual([4, 5, 6]);
  });

  test("of two that ran at once, the one that began first wins, also where it took longer", async () => {
    const gate = Promise.withResolvers<void>();
    let count = 0;
    const wf = workflow({ name: "at-once" }, async (ctx) => {
      const ask = (): Promise<number> =>
        ctx.step("poll", { input: "x" }, async () => {
          const own = (count += 1);
          if (own === 1) await gate.promise;
          else gate.resolve();
          return own;
        });
      return Promise.all([ask(), ask()]);
    });
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, undefined);
    expect(await run.result()).toEqual([1, 2]);
    expect(await resultOf(place.stemma.restart(run.id, earliest))).toEqual([1, 1]);
    expect(count).toBe(2);
  });

  test("the earliest success wins even if a later one was better", async () => {
    let quality = 0;
    const wf = workflow({ name: "better" }, async (ctx) => {
      await ctx.step("draft", { input: "x" }, () => (quality += 1));
      return ctx.step("draft", { input: "x" }, () => (quality += 1));
    });
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, undefined);
    expect(await run.result()).toBe(2);
    expect(await resultOf(place.stemma.restart(run.id, earliest))).toBe(1);
  });

  test("equal questions get the earliest answer", async () => {
    const wf = workflow({ name: "questions" }, async (ctx) => [
      await ctx.wait("approval", { input: "pay 5" }),
      await ctx.wait("approval", { input: "pay 5" }),
    ]);
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    for (const [key, answer] of [
      ["approval", "first"],
      ["approval#2", "second"],
    ] as const) {
      await until(async () => (await stemma.waits({ run: run.id })).waits.some((wait) => wait.key === key));
      await stemma.resume(run.id, key, answer);
    }
    expect(await run.result()).toEqual(["first", "second"]);
    expect(await resultOf(stemma.restart(run.id, earliest))).toEqual(["first", "first"]);
  });
});

describe("what may be given", () => {
  test("the body of the run itself always runs again", async () => {
    let bodies = 0;
    const wf = workflow({ name: "root" }, async (ctx) => {
      bodies += 1;
      return ctx.step("a", { input: 1 }, () => "a");
    });
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, undefined);
    await run.result();
    await resultOf(place.stemma.restart(run.id, earliest));
    expect(bodies).toBe(2);
  });

  test("with reuse none nothing is, and no step names a source", async () => {
    const { wf, entered } = counting();
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, 2);
    await run.result();
    const again = await place.stemma.restart(run.id, { ...earliest, reuse: "none" });
    expect(await again.result()).toEqual([3, 4]);
    expect(await reusedKeys(again)).toEqual([]);
    expect(entered()).toBe(4);
  });

  test("an unknown strategy is refused, and here it leaves no run behind", async () => {
    const { wf } = counting();
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, 1);
    await run.result();
    const refused = await errorOf(place.stemma.restart(run.id, { matching: "latest" as never }));
    expect(refused).toMatchObject({ code: "usage.invalid" });
    expect(refused.message).toContain('"earliest"');
    expect(await runsOf(place.stemma)).toBe(1);
  });

  test("without a place to restart from, the whole run is on offer", async () => {
    const world = new World();
    const wf = workflow({ name: "whole" }, async (ctx) => {
      await ctx.step("a", { input: 1 }, () => world.enter("a", 1));
      await ctx.step("b", { input: 2 }, () => world.enter("b", 2));
    });
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, undefined);
    await run.result();
    world.since();
    await resultOf(place.stemma.restart(run.id, earliest));
    expect(world.since()).toEqual([]);
  });

  test("a place that the source does not have is, here, refused, and nothing is run at all", async () => {
    const { wf } = counting();
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, 1);
    await run.result();
    expect(await errorOf(place.stemma.restart(run.id, { ...earliest, from: "other" }))).toMatchObject({
      code: "step.not_found",
    });
    expect(await runsOf(place.stemma)).toBe(1);
  });

  test("the step that is restarted from runs, though an equal one is on offer, and so does what is behind it", async () => {
    const world = new World();
    let count = 0;
    const wf = workflow({ name: "marked" }, async (ctx) => {
      const ask = (): Promise<number> => ctx.step("poll", { input: "x" }, () => world.enter("poll", (count += 1)));
      const found = [await ask(), await ask()];
      await ctx.step("behind", { input: 1 }, () => world.enter("behind", 1));
      return found;
    });
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, undefined);
    expect(await run.result()).toEqual([1, 2]);
    world.since();
    const again = await place.stemma.restart(run.id, { ...earliest, from: "poll#2" });
    expect(await again.result()).toEqual([1, 3]);
    expect(world.since()).toEqual(["behind", "poll"]);
    // What is behind it was cut as well, and what is cut is made anew, whatever equal there is in front of it.
    expect(await resultOf(place.stemma.restart(run.id, { ...earliest, from: "poll" }))).toEqual([4, 5]);
  });

  test("a sibling on another branch is, here, reused whenever it began: what counts is cause, not the clock", async () => {
    const world = new World();
    const gate = Promise.withResolvers<void>();
    const wf = workflow({ name: "branches" }, async (ctx) => {
      const a = ctx.step("a", { input: 1 }, async () => {
        await gate.promise;
        return world.enter("a", 1);
      });
      const b = (async () => {
        await ctx.step("b", { input: 1 }, () => world.enter("b", 1));
        return ctx.step("c", { input: 1 }, () => {
          gate.resolve();
          return world.enter("c", 1);
        });
      })();
      await Promise.all([a, b]);
    });
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, undefined);
    await run.result();
    world.since();
    await resultOf(place.stemma.restart(run.id, { ...earliest, from: "a" }));
    expect(world.since()).toEqual(["a"]);
  });

  test("what another step did with an equal input is not", async () => {
    const world = new World();
    let name = "one";
    const wf = workflow({ name: "names" }, (ctx) => ctx.step(name, { input: 1 }, () => world.enter(name, name)));
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, undefined);
    await run.result();
    name = "other";
    expect(await resultOf(place.stemma.restart(run.id, earliest))).toBe("other");
  });

  test.each([[null], [undefined], [{}], [0], [""], [false]])(
    "%j is, here, an outcome like any other",
    async (output) => {
      let entered = 0;
      const wf = workflow({ name: "empty" }, async (ctx) => {
        for (let i = 0; i < 2; i += 1) {
          const value = await ctx.step("a", { input: 1 }, () => {
            entered += 1;
            return output;
          });
          expect(value).toEqual(output);
        }
      });
      await using place = await stage([wf]);
      const run = await place.stemma.run(wf, undefined);
      await run.result();
      await resultOf(place.stemma.restart(run.id, earliest));
      expect(entered).toBe(2);
    },
  );

  test("a failure is never replayed, so a path that caught one runs again; an equal success behind it is given", async () => {
    const world = new World();
    let fails = true;
    const wf = workflow({ name: "caught" }, async (ctx) => {
      const found: unknown[] = [];
      for (let i = 0; i < 2; i += 1) {
        try {
          found.push(
            await ctx.step("flaky", { input: 1 }, () => {
              world.enter("flaky", 1);
              if (fails) throw new Error("not yet");
              return "well";
            }),
          );
        } catch {
          found.push("caught");
          fails = false;
        }
      }
      try {
        await ctx.step("always", { input: 1 }, () => {
          world.enter("always", 1);
          throw new Error("never");
        });
      } catch {
        found.push("caught");
      }
      return found;
    });
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    expect(await run.result()).toEqual(["caught", "well", "caught"]);
    world.since();
    // In order, what the body survived is replayed as it was.
    expect(await resultOf(stemma.restart(run.id))).toEqual(["caught", "well", "caught"]);
    expect(world.since()).toEqual([]);
    const plan = await stemma.plan(run.id, earliest);
    const verdicts = Object.fromEntries(plan.steps.map(({ key, verdict }) => [key, verdict]));
    expect(verdicts).toEqual({ flaky: "depends", "flaky#2": "depends", always: "run" });
    expect(await resultOf(stemma.restart(run.id, earliest))).toEqual(["well", "well", "caught"]);
    expect(world.since()).toEqual(["always"]);
  });

  test("what was cancelled runs again", async () => {
    const world = new World();
    let stuck = true;
    const wf = workflow({ name: "cancelled" }, async (ctx) => {
      await ctx.step("a", { input: 1 }, () => world.enter("a", 1));
      await ctx.step("b", { input: 1 }, (_, { abort }) => {
        world.enter("b", 1);
        return stuck
          ? new Promise<void>((_resolve, reject) => abort.addEventListener("abort", () => reject(new Error("stopped"))))
          : undefined;
      });
    });
    await using place = await stage([wf], { abortGrace: 200 });
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    await until(() => world.entered.includes("b"));
    await stemma.cancel(run.id);
    await ended(run);
    stuck = false;
    world.since();
    await resultOf(stemma.restart(run.id, earliest));
    expect(world.since()).toEqual(["b"]);
  });
});

describe("what follows from it", () => {
  test("a restart of a restart reuses what was reused; it names the run one hop back and, here, who really made it", async () => {
    const { wf, entered } = counting();
    await using place = await stage([wf]);
    const { stemma } = place;
    const first = await stemma.run(wf, 2);
    await first.result();
    const second = await stemma.restart(first.id, earliest);
    await second.result();
    const third = await stemma.restart(second.id, earliest);
    expect(await third.result()).toEqual([1, 1]);
    expect(await reusedOf(third, "poll#2")).toMatchObject({
      from: { run: second.id, key: "poll" },
      origin: { run: first.id, key: "poll" },
    });
    expect(entered()).toBe(2);
  });

  test("a restart of it matches in order again, unless that says otherwise itself", async () => {
    const { wf, entered } = counting();
    await using place = await stage([wf]);
    const { stemma } = place;
    const first = await stemma.run(wf, 2);
    await first.result();
    const second = await stemma.restart(first.id, earliest);
    expect(await second.result()).toEqual([1, 1]);
    expect((await second.history())[0]?.data).toMatchObject({ matching: "earliest" });
    const third = await stemma.fork(second.id, { input: 3 });
    expect(await third.result()).toEqual([1, 1, 3]);
    expect((await third.history())[0]?.data).not.toHaveProperty("matching");
    expect(entered()).toBe(3);
  });

  test("a called run is reused as one, and, here, what it did stays linked", async () => {
    const called = workflow({ name: "called" }, (ctx, n: number) => ctx.step("work", { input: n }, () => n * 2));
    const wf = workflow({ name: "calls" }, async (ctx) => [await ctx.call(called, 1), await ctx.call(called, 1)]);
    await using place = await stage([wf, called]);
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    await run.result();
    const before = await runsOf(stemma);
    const again = await stemma.restart(run.id, earliest);
    expect(await again.result()).toEqual([2, 2]);
    expect(await runsOf(stemma)).toBe(before + 1);
    expect(await reusedOf(again, "called#2")).toMatchObject({ from: { run: run.id, key: "called" } });
    expect(components(await stemma.trace(again.id, { family: true }))).toBe(1);
  });

  test("it holds all the way down, without the code in between having to hand it on", async () => {
    let count = 0;
    let breaks = true;
    const leaf = workflow({ name: "leaf" }, async (ctx) => {
      const found: number[] = [];
      for (let i = 0; i < 3; i += 1) found.push(await ctx.step("poll", { input: "x" }, () => (count += 1)));
      await ctx.step("last", { input: 1 }, () => {
        if (breaks) throw new Error("a bug");
      });
      return found;
    });
    const middle = workflow({ name: "middle" }, (ctx) => ctx.call(leaf, undefined));
    const root = workflow({ name: "root" }, (ctx) => ctx.call(middle, undefined));
    await using place = await stage([root, middle, leaf]);
    const run = await place.stemma.run(root, undefined);
    await ended(run);
    breaks = false;
    expect(await resultOf(place.stemma.restart(run.id, earliest))).toEqual([1, 1, 1]);
    expect(count).toBe(3);
  });

  test("only the source is asked: not another run of the same workflow, nor what this run itself did before", async () => {
    const { wf, entered } = counting();
    await using place = await stage([wf]);
    const { stemma } = place;
    await (await stemma.run(wf, 1)).result();
    const source = await stemma.run(wf, 0);
    await source.result();
    expect(await resultOf(stemma.fork(source.id, { ...earliest, input: 2 }))).toEqual([2, 3]);
    expect(entered()).toBe(3);
  });

  test("steps of the same process and called runs are answered alike", async () => {
    let entered = 0;
    const called = workflow({ name: "called" }, () => Promise.resolve((entered += 1)));
    const wf = workflow({ name: "both" }, async (ctx) => {
      const found: unknown[] = [];
      for (let i = 0; i < 2; i += 1) {
        found.push(await ctx.step("own", { input: 1 }, () => (entered += 1)));
        found.push(await ctx.call(called, undefined));
      }
      return found;
    });
    await using place = await stage([wf, called]);
    const run = await place.stemma.run(wf, undefined);
    expect(await run.result()).toEqual([1, 2, 3, 4]);
    expect(await resultOf(place.stemma.restart(run.id, earliest))).toEqual([1, 2, 1, 2]);
    expect(entered).toBe(4);
  });

  test("it is on record, so it holds behind a rest and a recall as before", async () => {
    let count = 0;
    const wf = workflow({ name: "rests" }, async (ctx, input: number) => {
      const ask = (): Promise<number> => ctx.step("poll", { input: "x" }, () => (count += 1));
      const before = [await ask(), await ask()];
      await ctx.wait("go", { input });
      return [...before, await ask(), await ask()];
    });
    await using place = await stage([wf], { warm: 0 });
    const { stemma } = place;
    const go = async (run: RunHandle): Promise<unknown> => {
      await until(async () => (await run.status()) === "suspended");
      await stemma.resume(run.id, "go", null);
      return run.result();
    };
    const run = await stemma.run(wf, 1);
    expect(await go(run)).toEqual([1, 2, 3, 4]);
    expect(await go(await stemma.fork(run.id, { ...earliest, input: 2 }))).toEqual([1, 1, 1, 1]);
  });

  test("a plan knows of it: what is certain of it is what happens", async () => {
    const { wf } = counting();
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, 2);
    await run.result();
    const change: Change = { ...earliest, input: 4 };
    const plan = await stemma.plan(run.id, change, { dryRun: true });
    expect(plan.steps.map(({ key, verdict }) => `${key} ${verdict}`)).toEqual([
      "poll reuse",
      "poll#2 reuse",
      "poll#3 reuse",
      "poll#4 reuse",
    ]);
    expect(await resultOf(stemma.fork(run.id, change))).toEqual([1, 1, 1, 1]);
  });

  test("asked for twice with one key it is one run, and with another strategy it is refused", async () => {
    const { wf } = counting();
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, 2);
    await run.result();
    const once = { ...earliest, idempotencyKey: "once" };
    const [a, b] = await Promise.all([stemma.restart(run.id, once), stemma.restart(run.id, once)]);
    expect(a.id).toBe(b.id);
    expect(await errorOf(stemma.restart(run.id, { idempotencyKey: "once" }))).toMatchObject({ code: "run.conflict" });
  });
});
