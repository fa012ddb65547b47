import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { draft, failed, failure, historyOf, historyOfPieces, pieces, success } from "../../test/histories.ts";
import { Cutter } from "./cut.ts";
import type { Draft, Event } from "./event.ts";
import { outcomeOf } from "./event.ts";
import type { Plan, PlannedChange, PlanSource } from "./plan.ts";
import { planOf } from "./plan.ts";
import { stepsOf } from "./recorded-step.ts";

type CutAt = { from?: string; after?: string };

function cutOf(events: readonly Event[], { from, after }: CutAt): PlanSource["cut"] {
  const key = from ?? after;
  if (key === undefined) return [];
  const cutter = new Cutter({ key, isItself: from !== undefined });
  for (const event of events) cutter.add(event, outcomeOf[event.type] !== null);
  return cutter.ranges;
}

function sourceOf(events: readonly Event[], at: CutAt = {}, run = "run_source"): PlanSource {
  const last = events.at(-1);
  const ended = last?.type === "run.failed" ? last.data.frontier : last?.type === "run.succeeded" ? [] : undefined;
  return { run, steps: stepsOf(events), cut: cutOf(events, at), ended };
}

function plan(drafts: readonly Draft[], change: CutAt & PlannedChange = {}): Plan {
  return planOf([sourceOf(historyOf(drafts), change)], change);
}

/** `key verdict: reason`, a line each. */
const outlineOf = ({ steps }: Plan): string[] =>
  steps.map(({ key, verdict, reason }) => `${key} ${verdict}: ${reason}`);

const list = success("list", [0], { input: "dir", ms: 100, cost: 1 });
const items = ["a", "b", "c"].map((input, i) => success(`item#${i + 1}`, [1], { input, ms: 1000, cost: 5 }));
const join = draft("scope.closed", { scope: "item", kind: "map" }, [2, 3, 4]);
const sum = success("sum", [5], { input: "all", ms: 10 });

describe("a plan by history", () => {
  test("of a restart runs what ended the run and what never happened, and reuses what is beside it", () => {
    const [a, , c] = items;
    if (a === undefined || c === undefined) throw new Error("expected items");
    const broken = [list, a, failure("item#2", [1]), c, join, failed(["item#2"], [5])];
    expect(outlineOf(plan(broken))).toEqual([
      "list reuse: succeeded",
      "item#1 reuse: succeeded",
      "item#2 run: failed, and ended the run",
      "item#3 reuse: succeeded",
    ]);
    expect(plan(broken).totals).toEqual({
      reuse: 3,
      run: 1,
      depends: 0,
      decide: 0,
      runs: [1, 1],
      saves: { ms: [2100, 2100], cost: [11, 11] },
    });
  });

  test("of what is for its run alone says that it runs, and that what is behind it depends", () => {
    const { reuse: _, ...data } = success("find out", [0]).data as {
      key: string;
      output: { inline: string };
      reuse: string;
    };
    const alone = draft("step.succeeded", data, [0]);
    expect(outlineOf(plan([alone, success("use", [1], { input: "x" })]))).toEqual([
      "find out run: for this run alone",
      "use depends: behind find out",
    ]);
  });

  test("of a call whose end was heard of without a body says that it is called anew", () => {
    const call = draft("child.started", { key: "shop", input: "x", run: "run_shop", reuse: "begun" }, [0]);
    const ended = { key: "shop", run: "run_shop", status: "succeeded" as const, output: { inline: 1 } };
    const known = draft("child.ended", { ...ended, reuse: "its key" }, [1]);
    expect(outlineOf(plan([call, known]))).toEqual(["shop reuse: succeeded"]);
    const broken = { ...ended, status: "failed" as const, error: { name: "Error", message: "no" } };
    expect(outlineOf(plan([call, draft("child.ended", { ...broken, reuse: "its key" }, [1])]))).toEqual([
      "shop run: failed",
    ]);
    const heard = draft("child.ended", ended, [1]);
    expect(outlineOf(plan([call, heard]))).toEqual(["shop run: called anew, to reuse its own"]);
  });

  test("of a run whose own code threw reuses every success, also waits and failures that it survived", () => {
    const survived = [
      list,
      failure("try", [1]),
      draft("wait.opened", { key: "ok", kind: "approval" }, [2]),
      draft("wait.answered", { key: "ok", value: { inline: true }, reuse: "r" }, [3]),
      draft("step.cancelled", { key: "slow", reason: "lost race" }, [4]),
      failed([], [4]),
    ];
    expect(outlineOf(plan(survived))).toEqual([
      "list reuse: succeeded",
      "try reuse: a failure that the run survived",
      "ok reuse: answered",
      "slow run: cancelled",
    ]);
  });

  test("of a fork says what is cut, and of what is behind it that it depends only where the cut ends", () => {
    const drafts = [list, ...items, join, sum];
    expect(outlineOf(plan(drafts, { from: "item#2" }))).toEqual([
      "list reuse: succeeded",
      "item#1 reuse: succeeded",
      "item#2 run: cut",
      "item#3 reuse: succeeded",
      "sum run: cut",
    ]);
    expect(outlineOf(plan(drafts, { after: "item#2" })).slice(-2)).toEqual(["item#3 reuse: succeeded", "sum run: cut"]);
    expect(plan(drafts, { reuse: "none" }).totals).toMatchObject({ run: 5, saves: { ms: [0, 0] } });
  });

  test("of an output that is given changes what is behind it only if it is another one", () => {
    const outputs = (differs: string | undefined): PlannedChange => ({ outputs: new Map([["item#1", { differs }]]) });
    const drafts = [list, ...items, join, sum];
    expect(outlineOf(plan(drafts, outputs("$.licence"))).slice(-1)).toEqual(["sum depends: behind item#1"]);
    // It comes sooner than it did, and who knows what else that changes.
    expect(outlineOf(plan(drafts, outputs(undefined))).slice(-1)).toEqual([
      "sum depends: beside something that changes",
    ]);
    expect(plan(drafts, outputs("$")).totals).toMatchObject({ runs: [0, 1], saves: { ms: [3100, 3110] } });
  });

  test("of another input leaves everything open that declares its own, down to the path", () => {
    const drafts = [list, success("bare", [1]), success("late", [2], { input: 1 })];
    expect(outlineOf(plan(drafts, { input: "$.dir" }))).toEqual([
      "list depends: the run's input changed at $.dir",
      "bare depends: no declared input, and the run's changed at $.dir",
      "late depends: behind bare",
    ]);
    expect(outlineOf(plan([list], { context: "$.model" }))).toEqual([
      "list depends: the run's context changed at $.model",
    ]);
  });

  test("of a step without a declared input is sure only before anything else is asked that will not be as it was", () => {
    // Two branches: x fails at once; y goes on behind it for two steps that declare nothing.
    const drafts = [failure("x", [0]), success("y1", [0]), success("y2", [2]), failed(["x"], [1])];
    expect(outlineOf(plan(drafts))).toEqual([
      "x run: failed, and ended the run",
      "y1 reuse: succeeded",
      "y2 depends: no declared input",
    ]);
  });

  test("of a step that declares its input is sure beside others in scopes of their own, and not beside them in its own", () => {
    const beside = (scope: string): Draft[] => [
      failure(`${scope}x`, [0]),
      success("other/y1", [0], { input: 1 }),
      success("other/y2", [2], { input: 2 }),
      failed([`${scope}x`], [1]),
    ];
    expect(outlineOf(plan(beside("own/"))).at(-1)).toBe("other/y2 reuse: succeeded");
    expect(outlineOf(plan(beside("other/"))).at(-1)).toBe("other/y2 depends: beside something that changes");
    expect(outlineOf(plan(beside(""))).at(-1)).toBe("other/y2 reuse: succeeded");
    const later = [...beside("own/").slice(0, 2), success("later/z", [2], { input: 3 }), failed(["own/x"], [1])];
    expect(outlineOf(plan(later)).at(-1)).toBe("later/z depends: beside something that changes");
  });

  test("never lets a once step run again unasked", () => {
    const intent = draft("step.started", { key: "pay", attempt: 1, effect: "once" }, [1]);
    const paid = success("pay", { same: 2 });
    expect(outlineOf(plan([list, intent, paid], { from: "list" }))[1]).toBe("pay decide: effect once, cut");
    expect(outlineOf(plan([list, intent, paid], { input: "$" }))[1]).toBe(
      "pay decide: effect once, no declared input, and the run's changed at $",
    );
    expect(outlineOf(plan([list, intent, paid]))).toContain("pay reuse: succeeded");
    expect(outlineOf(plan([list, intent, paid], { from: "list", allowEffects: ["pay"] }))[1]).toBe(
      "pay depends: effect once, allowed",
    );
    expect(outlineOf(plan([list, intent]))[1]).toBe("pay decide: effect once, begun and not settled");
    const doubt = draft("step.in_doubt", { key: "pay", attempt: 1 }, [2]);
    expect(outlineOf(plan([list, intent, doubt]))[1]).toBe("pay decide: in doubt");
  });

  test("knows of what was reused that it was to be done once, where an earlier run of the line says so", () => {
    const intent = draft("step.started", { key: "pay", attempt: 1, effect: "once" }, [0]);
    const older = sourceOf(historyOf([intent, success("pay", [1])]), {}, "run_older");
    const reused = (run: string): Draft =>
      draft(
        "step.reused",
        {
          key: "pay",
          output: { inline: "pay" },
          from: { run, key: "pay", seq: 2 },
          origin: { run, key: "pay", seq: 2 },
        },
        [0],
      );
    const verdict = (run: string): string | undefined =>
      outlineOf(planOf([sourceOf(historyOf([reused(run)]), { from: "pay" }), older], {}))[0];
    expect(verdict("run_older")).toBe("pay decide: effect once, cut");
    const beside = planOf([sourceOf(historyOf([reused("run_beside")]), { from: "pay" })], {});
    expect(outlineOf(beside)).toEqual(["pay depends: cut, unless it is to be done once"]);
  });

  test("never offers a success that was made up for, and does not plan what made up for it", () => {
    const undone = draft("step.started", { key: "compensate/list", attempt: 1, effect: "once" }, [1]);
    expect(outlineOf(plan([list, undone, failed([], [1])]))).toEqual(["list run: compensated"]);
  });

  test("says that equal asks share what is recorded where only some of it is on offer", () => {
    const polls = [1, 2, 3].map((n) =>
      n === 2
        ? draft("step.failed", { key: "poll#2", input: `d"x"`, n: 1, error: { name: "E", message: "" } }, [0])
        : n,
    );
    const drafts = polls.map((poll) =>
      typeof poll === "number" ? success(poll === 1 ? "poll" : `poll#${poll}`, [0], { input: "x", n: poll - 1 }) : poll,
    );
    expect(plan([...drafts, failed(["poll#2"], [2])]).totals).toMatchObject({ depends: 3, runs: [0, 3] });
  });

  test("at a checkpoint reuses what is before it, and runs what is behind it", () => {
    const drafts = [list, draft("checkpoint", { state: { inline: 1 }, parent: null }, [1]), success("#1/x", [2])];
    const events = historyOf(drafts);
    const source: PlanSource = { ...sourceOf(events), cut: [[3, 3]], start: 2 };
    expect(outlineOf(planOf([source], {}))).toEqual(["list reuse: before the checkpoint", "#1/x run: cut"]);
  });

  test("of a restart of a restart has what the source never came to, from the run that has it", () => {
    const first = historyOf([list, success("x", [1], { input: "x" }), failure("y", [2]), failed(["y"], [3])]);
    const from = { run: "run_first", key: "list", seq: 1 };
    const died = historyOf([
      draft("step.reused", { key: "list", input: `d"dir"`, output: { inline: "list" }, from, origin: from }, [0]),
      draft("run.cancelled", {}, [1]),
    ]);
    const both = planOf([sourceOf(died), sourceOf(first, {}, "run_first")], {});
    expect(outlineOf(both)).toEqual(["list reuse: reused", "x reuse: succeeded", "y run: failed, and ended the run"]);
    expect(both.steps[1]).toMatchObject({ run: "run_first" });
    // Had the restart gone another way, what is behind would have to be looked at.
    const other = historyOf([success("list", [0], { input: "dir", output: "other" }), draft("run.cancelled", {}, [1])]);
    expect(outlineOf(planOf([sourceOf(other), sourceOf(first, {}, "run_first")], {}))[1]).toBe(
      "x depends: behind list",
    );
  });
});

describe("for any history and any change", () => {
  const change = fc.record({
    at: fc.constantFrom<"none" | "from" | "after">("none", "from", "after"),
    n: fc.nat(),
    given: fc.option(fc.nat()),
  });

  test("each step is planned once, nothing that is reused is behind anything that is not, and totals add up", () => {
    fc.assert(
      fc.property(pieces, change, (program, { at, n, given }) => {
        const events = historyOfPieces(program);
        const key = (i: number): string => `s${i % program.length}`;
        const outputs = new Map(given === null ? [] : [[key(given), { differs: "$" }]]);
        const cut: CutAt = at === "none" ? {} : { [at]: key(n) };
        const source = sourceOf(events, cut);
        const planned = planOf([source], { outputs });
        expect(planned.steps.map((step) => step.key)).toEqual(source.steps.list.map((step) => step.key));

        const verdicts = new Map(planned.steps.map((step) => [step.key, step.verdict]));
        for (const step of source.steps.list) {
          if (verdicts.get(step.key) !== "reuse" || outputs.has(step.key)) continue;
          for (const cause of source.steps.causes[step.first] ?? []) {
            const before = source.steps.stepAt[cause]?.key;
            if (before === undefined) continue;
            expect([before, verdicts.get(before)]).toEqual([before, "reuse"]);
            expect(outputs.has(before)).toBe(false);
          }
        }
        const { reuse: reused, run, depends, decide, runs } = planned.totals;
        expect(reused + run + depends + decide).toBe(program.length);
        expect(runs).toEqual([run, run + depends + decide]);
      }),
    );
  });

  test("a change more never makes anything sure that was not: verdicts only go from reuse to the others", () => {
    fc.assert(
      fc.property(pieces, change, (program, { n, given }) => {
        const events = historyOfPieces(program);
        const key = (i: number): string => `s${i % program.length}`;
        const outputs = new Map(given === null ? [] : [[key(given), { differs: "$" }]]);
        const less = planOf([sourceOf(events)], { outputs });
        const more = planOf([sourceOf(events, { from: key(n) })], { outputs });
        for (const [i, { verdict, key: named }] of more.steps.entries()) {
          if (verdict === "reuse") expect([named, less.steps[i]?.verdict]).toEqual([named, "reuse"]);
        }
      }),
    );
  });
});

test("the plan of 100,000 steps is made in one pass or two", () => {
  const drafts: Draft[] = [];
  for (let i = 0; i < 100_000; i += 1) drafts.push(success(`s${i}`, i < 2 ? [i] : { same: i - 1 }));
  expect(plan(drafts, { from: "s50000" }).totals).toMatchObject({ run: 1 });
});
