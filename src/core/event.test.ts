import fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { Causes, EventType, Seq } from "./event.ts";
import { causesOf, isEventType, outcomeOf } from "./event.ts";

/** Looks causes up in a list that has nothing but causes. */
function inHistory(...history: Causes[]): (seq: Seq) => { causes: Causes } | undefined {
  return (seq) => (history[seq] === undefined ? undefined : { causes: history[seq] });
}

describe("causesOf", () => {
  test("gives causes that are spelled out as they are, and looks nothing up", () => {
    const never = (): never => {
      throw new Error("looked up");
    };
    const causes = [3, 1];
    expect(causesOf({ causes }, never)).toBe(causes);
    expect(causesOf({ causes: [] }, never)).toEqual([]);
  });

  test("gives the causes of the event that `same` names", () => {
    expect(causesOf({ causes: { same: 2 } }, inHistory([], [0], [0, 1]))).toEqual([0, 1]);
  });

  test("follows one `same` to the next, so that nothing is without a cause because of how it was written", () => {
    expect(causesOf({ causes: { same: 3 } }, inHistory([], [0], { same: 1 }, { same: 2 }))).toEqual([0]);
  });

  test("gives nothing where the history ends too early", () => {
    expect(causesOf({ causes: { same: 7 } }, inHistory([], [0]))).toEqual([]);
  });

  test("ends where a forged history refers to itself or forward", () => {
    expect(causesOf({ causes: { same: 1 } }, inHistory([], { same: 1 }))).toEqual([]);
    expect(causesOf({ causes: { same: 1 } }, inHistory([], { same: 2 }, { same: 1 }))).toEqual([]);
  });

  test("property: however often events refer to earlier ones, the causes are those that were spelled out first", () => {
    const places = fc.array(fc.option(fc.nat(), { nil: undefined }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(places, (choices) => {
        const history: Causes[] = [[]];
        const expected: (readonly Seq[])[] = [[]];
        for (const [i, choice] of choices.entries()) {
          const seq = i + 1;
          const same = choice === undefined || seq === 1 ? undefined : 1 + (choice % (seq - 1));
          history.push(same === undefined ? [i] : { same });
          expected.push(same === undefined ? [i] : (expected[same] ?? []));
        }
        const found = history.map((causes) => causesOf({ causes }, inHistory(...history)));
        expect(found).toEqual(expected);
      }),
    );
  });
});

describe("the closed union", () => {
  test.each(["", "step", "step.succeeded ", "toString", "__proto__", "constructor", "hasOwnProperty"])(
    "%j is no event",
    (type) => {
      expect(isEventType(type)).toBe(false);
    },
  );

  test("every event is known, and settles its step only if it is an end", () => {
    const types = Object.keys(outcomeOf) as EventType[];
    expect(types.every(isEventType)).toBe(true);
    const by = (outcome: string | null): string[] => types.filter((type) => outcomeOf[type] === outcome).toSorted();
    expect(by("error")).toEqual(["step.failed", "wait.failed"]);
    expect(by("none")).toEqual(["step.cancelled", "wait.withdrawn"]);
    expect(by("value")).toEqual([
      "child.ended",
      "step.overridden",
      "step.reused",
      "step.succeeded",
      "wait.answered",
      "wait.expired",
    ]);
    expect(types.filter((type) => type.startsWith("run.")).every((type) => outcomeOf[type] === null)).toBe(true);
  });
});
