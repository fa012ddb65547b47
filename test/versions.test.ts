/** Code that changes while runs are on their way: guards within a version, and several versions side by side. */
import { describe, expect, it } from "vitest";
import type { RunHandle, Workflow } from "../src/index.ts";
import { noWorkerOffers, workflow } from "../src/index.ts";
import type { Clock } from "../src/engine/clock.ts";
import { systemClock } from "../src/engine/clock.ts";
import type { Operations, RunInfo } from "../src/engine/body.ts";
import { limits } from "../src/core/limits.ts";
import { errorOf, fresh, listening, outline, stage, until } from "./stage.ts";

/** A store whose clock can be moved on. */
function movable() {
  let skipped = 0;
  const store = fresh({ now: () => Date.now() + skipped });
  return { store, skip: (ms: number) => void (skipped += ms) };
}

async function patches(run: RunHandle): Promise<string[]> {
  return (await run.history()).flatMap((event) =>
    event.type === "run.patched" ? [`${event.data.name}${event.data.old === true ? " old" : ""}`] : [],
  );
}

describe("ctx.patched", () => {
  it("is true for a new run, on record, and stays true in every recall", async () => {
    const { store, skip } = movable();
    const answers: boolean[] = [];
    let hang = true;
    const code = workflow({ name: "code" }, async (ctx) => {
      answers.push(ctx.patched("p"), ctx.patched("p"));
      await ctx.step("one", () => 1);
      answers.push(ctx.patched("p"));
      await ctx.step("two", () => (hang ? new Promise(() => {}) : 2));
    });
    const first = await stage([code], { store });
    const run = await first.stemma.run(code, undefined);
    await until(() => answers.length === 3);
    first.stemma.abandon();
    skip(60_000);
    hang = false;
    await using second = await stage([code], { store });
    await (await second.stemma.get(run.id)).result();
    expect(answers).toEqual(Array.from({ length: 6 }, () => true));
    expect(await patches(run)).toEqual(["p"]);
    expect((await second.stemma.row(run.id)).state.patches).toEqual(["p"]);
  });

  it("is false where older code has been, true behind what is recorded, and false stays false when it goes on", async () => {
    const { store, skip } = movable();
    let hang = true;
    const old = workflow({ name: "code" }, async (ctx) => {
      await ctx.step("one", () => 1);
      await ctx.step("two", () => 2);
      await ctx.step("three", () => (hang ? new Promise(() => {}) : 3));
    });
    const answers: string[] = [];
    const changed = workflow({ name: "code" }, async (ctx) => {
      const ask = (name: string): boolean => {
        const answer = ctx.patched(name);
        answers.push(`${name} ${answer}`);
        return answer;
      };
      await ctx.step("one", () => 1);
      if (ask("before two")) await ctx.step("new two", () => 1);
      await ctx.step("two", () => 2);
      if (ask("before three")) await ctx.step("new three", () => 1);
      await ctx.step("three", () => 3);
      ask("before two");
      if (ask("at the end")) await ctx.step("new end", () => 1);
    });
    const first = await stage([old], { store });
    const run = await first.stemma.run(old, undefined);
    await until(async () => (await outline(run)).includes("step.succeeded two"));
    first.stemma.abandon();
    skip(60_000);
    hang = false;
    await using second = await stage([changed], { store });
    await (await second.stemma.get(run.id)).result();
    expect(answers).toEqual(["before two false", "before three true", "before two false", "at the end true"]);
    expect(await patches(run)).toEqual(["before two old", "before three", "at the end"]);
    expect((await outline(run)).filter((line) => line.includes("new"))).toEqual([
      "step.succeeded new three",
      "step.succeeded new end",
    ]);
  });

  it("is false where all is asked but an outcome is to come: old code has seen this place pass", async () => {
    const { store, skip } = movable();
    let hang = true;
    const body =
      (guard: boolean) =>
      async (ctx: Parameters<Parameters<typeof workflow>[1]>[0]): Promise<unknown> => {
        const taken: boolean[] = [];
        const long = Promise.withResolvers<void>();
        await ctx.all({
          a: async () => {
            await ctx.step("short", () => 1);
            if (guard) taken.push(ctx.patched("p"));
            await ctx.step("behind it", () => {
              long.resolve();
              return hang ? new Promise(() => {}) : 1;
            });
          },
          b: () => ctx.step("long", () => (hang ? long.promise : undefined)),
        });
        return taken;
      };
    const old = workflow({ name: "code" }, body(false));
    const first = await stage([old], { store });
    const run = await first.stemma.run(old, undefined);
    await until(async () => (await outline(run)).includes("step.succeeded b/long"));
    first.stemma.abandon();
    skip(60_000);
    hang = false;
    await using second = await stage([workflow({ name: "code" }, body(true))], { store });
    expect(await (await second.stemma.get(run.id)).result()).toEqual([false]);
  });

  it("holds behind checkpoints, either way", async () => {
    const { store, skip } = movable();
    let guard = false;
    const answers: string[] = [];
    const loop: Workflow = {
      name: "loop",
      version: 1,
      source: "loop",
      body(operations: Operations, run: RunInfo) {
        const ask = (name: string, seq: number): void => {
          if (guard) answers.push(`${name} ${operations.patched([seq], name)}`);
        };
        const done = (async () => {
          let { segment } = run;
          for (let i = (run.restored as number | undefined) ?? 0; i < 3; i += 1) {
            ask("first", segment.seq);
            await operations.step({ scope: segment.root, name: "one", causes: [segment.seq], run: () => i });
            ask("second", segment.seq);
            const hang = i === 0 && !guard;
            const wake = (now: number): number => now + (hang ? 3_600_000 : 0);
            await operations.sleep({ scope: segment.root, name: "nap", causes: [segment.seq], until: wake });
            if (!guard) return new Promise(() => {});
            ask("third", segment.seq);
            segment = await operations.checkpoint([segment.seq], i + 1);
            // The next segment in another activation: a run of long standing.
            if (i === 0) return new Promise(() => {});
          }
          return answers;
        })();
        return { done, causes: () => [run.segment.seq] };
      },
    };
    const first = await stage([loop], { store });
    const run = await first.stemma.run(loop, undefined);
    await until(async () => (await outline(run)).includes("wait.opened nap"));
    first.stemma.abandon();
    guard = true;
    skip(7_200_000);
    const second = await stage([loop], { store });
    await until(async () => (await outline(run)).includes("checkpoint"));
    second.stemma.abandon();
    skip(60_000);
    await using third = await stage([loop], { store });
    await (await third.stemma.get(run.id)).result();
    const [once, rest] = [answers.slice(0, 3), answers.slice(3)];
    expect(once).toEqual(["first false", "second false", "third true"]);
    expect(rest).toEqual([...once, ...once]);
    expect(await patches(run)).toEqual(["first old", "second old", "third"]);
  });

  it("takes names only, and not more than a run can keep", async () => {
    const many = workflow({ name: "many" }, (ctx) => {
      for (let i = 0; i < limits.patchesMax; i += 1) ctx.patched(`p${i}`);
      const codes = ["p0", "a/b", "one more"].map((name) => {
        try {
          return ctx.patched(name);
        } catch (error) {
          return (error as { code?: string }).code;
        }
      });
      return codes;
    });
    await using theatre = await stage([many]);
    expect(await (await theatre.stemma.run(many, undefined)).result()).toEqual([
      true,
      "name.invalid",
      "limit.exceeded",
    ]);
  });

  it("is refused inside a step", async () => {
    const nested = workflow({ name: "nested" }, (ctx) => ctx.step("one", () => ctx.patched("p")));
    await using theatre = await stage([nested]);
    const error = await errorOf((await theatre.stemma.run(nested, undefined)).result());
    expect(error.cause).toMatchObject({ code: "step.nested" });
  });
});

describe("versions", () => {
  const version = (number: number): Workflow<undefined, number> =>
    workflow({ name: "audit", version: number }, async (ctx) => {
      await ctx.sleep(20);
      return ctx.step("say", () => number);
    });
  const [one, two] = [version(1), version(2)];

  it("work side by side in one worker: a run keeps its own, a new one by name gets the highest", async () => {
    await using theatre = await stage([two, one]);
    const { stemma } = theatre;
    const runs = [await stemma.run(one, undefined), await stemma.run(two, undefined)];
    runs.push(await stemma.run(stemma.workflow("audit") as typeof two, undefined));
    expect(await Promise.all(runs.map((run) => run.result()))).toEqual([1, 2, 2]);
  });

  it("that nobody offers leave their runs waiting; the row and the log say so, and a worker with it goes on", async () => {
    const { store, skip } = movable();
    const log = listening();
    let entered = 0;
    // As long as its first worker lives, it is at its step.
    const held = workflow({ name: "audit", version: 1 }, (ctx) =>
      ctx.step("say", () => ((entered += 1) === 1 ? new Promise<number>(() => {}) : 1)),
    );
    const first = await stage([held], { store });
    const run = await first.stemma.run(held, undefined);
    await until(() => entered === 1);
    expect(noWorkerOffers(await first.stemma.row(run.id))).toBeUndefined();
    first.stemma.abandon();
    skip(60_000);
    await using second = await stage([two], { store, log });
    const waits = await second.stemma.get<number>(run.id);
    const sentence =
      "no worker offers audit@1: start a worker with that version, or restart the runs with one that is offered";
    expect(noWorkerOffers(await second.stemma.row(run.id))).toBe(sentence);
    await until(() => log.lines.length > 0);
    expect(log.lines).toEqual([`warn ${sentence} {"workflow":"audit","version":1,"runs":1}`]);
    const result = waits.result();
    await using third = await stage([held], { store });
    expect(await result).toBe(1);
    expect(noWorkerOffers(await third.stemma.row(run.id))).toBeUndefined();
  });

  it("are looked at once a minute, and what has not changed is not said again", async () => {
    const { store, skip } = movable();
    const log = listening();
    const minutes: (() => void)[] = [];
    const clock: Clock = {
      ...systemClock,
      after(ms, call, background) {
        if (ms !== 60_000) return systemClock.after(ms, call, background);
        minutes.push(call);
        return () => {};
      },
    };
    const later = { delay: 3_600_000 };
    await using theatre = await stage([two], { store, log, clock });
    await until(() => minutes.length === 1);
    expect(log.lines).toEqual([]);
    const { stemma } = theatre;
    for (const code of [one, one, two]) await stemma.run(code, undefined, later);
    const minute = async (): Promise<string[]> => {
      const before = minutes.length;
      minutes.at(-1)?.();
      await until(() => minutes.length > before);
      return log.lines.splice(0).map((line) => line.replace(/^warn (no worker offers \S+): .* (?=\{)/, "$1 "));
    };
    expect(await minute()).toEqual(['no worker offers audit@1 {"workflow":"audit","version":1,"runs":2}']);
    expect(await minute()).toEqual([]);
    await stemma.run(one, undefined, later);
    expect(await minute()).toEqual(['no worker offers audit@1 {"workflow":"audit","version":1,"runs":3}']);
    {
      await using other = await stage([one], { store });
      expect(await minute()).toEqual([]);
      expect((await other.stemma.list({})).runs.every(({ offered }) => offered)).toBe(true);
    }
    // The other worker's lease has run out, and this one's is renewed.
    skip(20_000);
    await until(async () => (await stemma.list({})).runs.some(({ offered }) => offered));
    expect(await minute()).toEqual(['no worker offers audit@1 {"workflow":"audit","version":1,"runs":3}']);
  });
});
