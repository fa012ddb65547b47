import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { draft, historyOf, historyOfPieces, pieces, success } from "../../test/histories.ts";
import { Cutter, isIn, union } from "./cut.ts";
import type { Event, Seq } from "./event.ts";
import { causesOf, outcomeOf } from "./event.ts";

function cutFrom(events: Iterable<Event>, key: string, isItself = true): Cutter {
  const cutter = new Cutter({ key, isItself });
  for (const event of events) cutter.add(event, outcomeOf[event.type] !== null);
  return cutter;
}

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
    const cut = (key: string): boolean[] => [1, 2, 3, 4, 6].map((seq) => isIn(cutFrom(history, key).ranges, seq));
    expect(cut("b")).toEqual([false, false, false, true, true]);
    expect(cut("a")).toEqual([false, true, true, false, true]);
    expect(cut("plan")).toEqual([true, true, true, true, true]);
  });

  test("after a step leaves the step itself standing, and leaves the run at its outcome", () => {
    const { ranges, left } = cutFrom(history, "a", false);
    expect([2, 3, 4, 6].map((seq) => isIn(ranges, seq))).toEqual([false, true, false, true]);
    expect(left).toBe(2);
    expect(cutFrom(history, "join", false).ranges).toEqual([]);
  });

  test("takes a step as a whole: its outcome is cut as it was asked", () => {
    const long = historyOf([
      success("a", [0]),
      draft("wait.opened", { key: "ok", kind: "approval" }, [1]),
      success("x", [0]),
      draft("wait.answered", { key: "ok", value: { inline: true } }, [2]),
      success("y", [4]),
    ]);
    const cut = (key: string, isItself?: boolean): boolean[] =>
      [1, 3, 4, 5].map((seq) => isIn(cutFrom(long, key, isItself).ranges, seq));
    expect(cut("ok")).toEqual([false, false, true, true]);
    expect(cut("ok", false)).toEqual([false, false, false, true]);
    expect(cut("x")).toEqual([false, true, false, false]);
  });

  test("has checkpoints that are behind the step", () => {
    const long = historyOf([
      success("a", [0]),
      draft("checkpoint", { state: { inline: 1 }, parent: null }, [1]),
      success("#1/b", [2]),
      draft("checkpoint", { state: { inline: 2 }, parent: 2 }, [3]),
    ]);
    expect(cutFrom(long, "#1/b").ranges).toEqual([[3, 4]]);
    expect(cutFrom(long, "a").ranges).toEqual([[1, 4]]);
  });

  test("of a step that is not there is empty, and says so", () => {
    expect(cutFrom(history, "nobody")).toMatchObject({ ranges: [], left: undefined });
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
      const { ranges } = cutFrom(events, key);
      for (const { seq, type } of events) {
        if (outcomeOf[type] !== null) expect(isIn(ranges, seq)).toBe(reached.has(seq));
      }
      const apart = ranges.every(([from, to], i) => from <= to && (ranges[i - 1]?.[1] ?? -1) < from);
      expect(apart).toBe(true);
    }),
  );
});

test("ranges put together hold what any of them held", () => {
  const ranges = fc
    .array(fc.tuple(fc.nat({ max: 30 }), fc.nat({ max: 5 })), { maxLength: 6 })
    .map((pairs) => union(pairs.map(([from, more]) => [from, from + more])));
  fc.assert(
    fc.property(ranges, ranges, (a, b) => {
      for (let seq = 0; seq < 40; seq += 1) {
        const inEither = [...a, ...b].some(([from, to]) => from <= seq && seq <= to);
        expect(isIn(union(a, b), seq)).toBe(inEither);
      }
    }),
  );
});

test("a history of 200,000 steps is cut in one pass, whose causes are shared by reference", () => {
  const [created, first] = historyOf([success("first", [0])]);
  if (created === undefined || first === undefined) throw new Error("expected two events");
  const cutter = new Cutter({ key: "first", isItself: false });
  cutter.add(created, false);
  cutter.add(first, true);
  for (let seq = 2; seq < 200_000; seq += 1) {
    cutter.add({ ...first, ...success(`s${seq}`, seq === 2 ? [1] : { same: seq - 1 }), seq }, true);
  }
  expect(cutter.ranges).toEqual([[2, 199_999]]);
});
