import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { draft, failed, failure, historyOf, historyOfPieces, pieces, success } from "../../test/histories.ts";
import { addToCut, cutOf, isWithin, newCut, rangesOf } from "./cut.ts";
import type { Event, Seq } from "./event.ts";
import { causesOf } from "./event.ts";

/** plan → (a, b side by side, b ends last) → join; `late` is asked before b ended and is behind a alone. */
const history = historyOf([
  success("plan", [0]),
  success("a", [1]),
  success("late", [2]),
  success("b", { same: 2 }),
  draft("scope.closed", { scope: "all", kind: "all" }, [3, 4]),
  success("join", [5]),
]);

describe("a cut", () => {
  test("from a step has it and everything causally behind it, and nothing that merely came later", () => {
    expect(cutOf(history, { from: "b" })).toEqual([[4, 6]]);
    expect(cutOf(history, { from: "a" })).toEqual([
      [2, 3],
      [6, 6],
    ]);
    expect(cutOf(history, { from: "plan" })).toEqual([[1, 6]]);
  });

  test("after a step leaves the step itself standing", () => {
    expect(cutOf(history, { after: "a" })).toEqual([
      [3, 3],
      [6, 6],
    ]);
    expect(cutOf(history, { after: "join" })).toEqual([]);
  });

  test("is empty for a restart, and when only values are changed: then the keys decide", () => {
    const broken = historyOf([success("a", [0]), failure("b", [1]), failed(["b"], [2])]);
    expect(cutOf(broken, {})).toEqual([]);
    expect(cutOf(history, { reuse: "all" })).toEqual([]);
  });

  test("has everything where nothing is to be reused, and the step alone where everything else is", () => {
    expect(cutOf(history, { reuse: "none" })).toEqual([[1, 6]]);
    expect(cutOf(history, { reuse: "all", from: "plan" })).toEqual([[1, 1]]);
  });

  test("at a checkpoint has what is recorded behind it", () => {
    const long = historyOf([
      success("a", [0]),
      draft("checkpoint", { state: { inline: 1 }, parent: null }, [1]),
      success("#1/b", [2]),
      draft("checkpoint", { state: { inline: 2 }, parent: 2 }, [3]),
    ]);
    expect(cutOf(long, { checkpoint: 2 })).toEqual([[3, 4]]);
    expect(() => cutOf(long, { checkpoint: 3 })).toThrow(/Expected the seq of a checkpoint/);
    // A checkpoint behind a step that runs again is none to go on from.
    expect(cutOf(long, { from: "#1/b" })).toEqual([[3, 4]]);
    expect(cutOf(long, { from: "a" })).toEqual([[1, 4]]);
  });

  test("takes a step as a whole: its outcome is cut as it was asked", () => {
    const long = historyOf([
      success("a", [0]),
      draft("wait.opened", { key: "ok", kind: "approval" }, [1]),
      success("x", [0]),
      draft("wait.answered", { key: "ok", value: { inline: true } }, [2]),
      success("y", [4]),
    ]);
    expect(cutOf(long, { from: "ok" })).toEqual([[4, 5]]);
    expect(cutOf(long, { after: "ok" })).toEqual([[5, 5]]);
    expect(cutOf(long, { from: "x" })).toEqual([[3, 3]]);
  });

  test("refuses a step that is not there, and two places at once", () => {
    expect(() => cutOf(history, { from: "nobody" })).toThrow(expect.objectContaining({ code: "step.not_found" }));
    expect(() => cutOf(history, { after: "nobody" })).toThrow(expect.objectContaining({ code: "step.not_found" }));
    expect(() => newCut({ from: "a", after: "b" })).toThrow(expect.objectContaining({ code: "usage.invalid" }));
  });
});

/** What is behind a step, by the definition: whatever can be reached through causes. */
function behind(events: readonly Event[], key: string): Set<Seq> {
  const found = new Set<Seq>();
  for (const event of events) {
    const own = "key" in event.data && event.data.key === key;
    const caused = causesOf(event, (seq) => events[seq]).some((cause) => found.has(cause));
    if (own || caused) found.add(event.seq);
  }
  return found;
}

test("in any history the cut is what can be reached through causes, whatever the order of the record", () => {
  fc.assert(
    fc.property(pieces, fc.nat(), (program, n) => {
      const events = historyOfPieces(program);
      const key = `s${n % program.length}`;
      const reached = behind(events, key);
      const ranges = cutOf(events, { from: key });
      for (const event of events) {
        const offered = event.type === "step.succeeded" || event.type === "step.failed";
        if (offered) expect(isWithin(ranges, event.seq)).toBe(reached.has(event.seq));
      }
      const apart = ranges.every(([from, to], i) => from <= to && (ranges[i - 1]?.[1] ?? -1) < from);
      expect(apart).toBe(true);
    }),
  );
});

test("a history of 200,000 steps is cut in one pass, whose causes are shared by reference", () => {
  const cutting = newCut({ after: "first" });
  const [created, first] = historyOf([success("first", [0])]);
  if (created === undefined || first === undefined) throw new Error("expected two events");
  addToCut(cutting, created);
  addToCut(cutting, first);
  for (let seq = 2; seq < 200_000; seq += 1) {
    addToCut(cutting, { ...first, ...success(`s${seq}`, seq === 2 ? [1] : { same: seq - 1 }), seq });
  }
  expect(rangesOf(cutting)).toEqual([[2, 199_999]]);
});
