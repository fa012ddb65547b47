import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { draft, failure, historyOf, historyOfPieces, pieces, success } from "../../test/histories.ts";
import type { ComparedStep } from "./compare.ts";
import { compareSteps, differencesOf, digestsOfRow, firstDivergence, sameValue } from "./compare.ts";
import type { Draft } from "./event.ts";
import { differences } from "./json-differences.ts";
import { stepsOf } from "./recorded-step.ts";

/** A body whose steps run one after the other. */
function chain(...steps: Draft[]): Draft[] {
  return steps.map((step, i) => ({ ...step, causes: [i] }));
}

function compared(a: readonly Draft[], b: readonly Draft[]): ComparedStep[] {
  return compareSteps(stepsOf(historyOf(a)), stepsOf(historyOf(b)));
}

/** `a=b`: same, `a~b:input`: changed, `-a`, `+b`, and `!` where it moved. */
function outlineOf(rows: readonly ComparedStep[]): string[] {
  return rows.map(({ a, b, change, moved, differs }) => {
    const [x, y] = [a?.key ?? "", b?.key ?? ""];
    const mark = moved ? "!" : "";
    if (change === "added") return `+${y}`;
    if (change === "removed") return `-${x}`;
    return change === "same" ? `${mark}${x}=${y}` : `${mark}${x}~${y}:${differs.join(",")}`;
  });
}

const item = (label: string, input: string): Draft => success(label, [0], { input, output: `of ${input}` });
/** The items of a map without keys of their own, in the order in which they were asked. */
const items = (inputs: readonly string[]): Draft[] =>
  inputs.map((input, i) => item(i === 0 ? "item" : `item#${i + 1}`, input));

describe("two runs are aligned by what their steps are", () => {
  test("an inserted item shifts none of the others", () => {
    expect(outlineOf(compared(items(["a", "b", "c"]), items(["x", "a", "b", "c"])))).toEqual([
      "+item",
      "item=item#2",
      "item#2=item#3",
      "item#3=item#4",
    ]);
  });

  test("a removed item shifts none of the others", () => {
    expect(outlineOf(compared(items(["a", "b", "c", "d"]), items(["a", "d"])))).toEqual([
      "item=item",
      "-item#2",
      "-item#3",
      "item#4=item#2",
    ]);
  });

  test("an item with another input is the one between the same neighbours, also beside an inserted one", () => {
    expect(outlineOf(compared(items(["a", "b", "c"]), items(["x", "a", "y", "c"])))).toEqual([
      "+item",
      "item=item#2",
      "item#2~item#3:input,output",
      "item#3=item#4",
    ]);
  });

  test("iterations with scopes of their own are found again where one is inserted in front", () => {
    const scoped = (inputs: string[]): Draft[] => inputs.map((input, i) => item(`items/${i}/resize`, input));
    expect(outlineOf(compared(scoped(["a", "b", "c"]), scoped(["x", "a", "B", "c"])))).toEqual([
      "+items/0/resize",
      "items/0/resize=items/1/resize",
      "items/1/resize~items/2/resize:input,output",
      "items/2/resize=items/3/resize",
    ]);
  });

  test("a step that runs earlier is the same step, moved; those that it passed have not moved", () => {
    const [a, b, c] = ["a", "b", "c"].map((key) => success(key, [0], { input: key }));
    if (a === undefined || b === undefined || c === undefined) throw new Error("expected three steps");
    expect(outlineOf(compared(chain(a, b, c), chain(c, a, b)))).toEqual(["a=a", "b=b", "!c=c"]);
    expect(outlineOf(compared(chain(a, b, c), chain(a, b, c)))).toEqual(["a=a", "b=b", "c=c"]);
  });

  test("steps side by side have not moved, whichever ended first", () => {
    const side = (keys: string[]): Draft[] => keys.map((key) => success(key, [0], { input: key }));
    expect(outlineOf(compared(side(["a", "b", "c"]), side(["c", "a", "b"])))).toEqual(["a=a", "b=b", "c=c"]);
  });

  test("a removed step in between leaves what was behind it in its place", () => {
    const step = (key: string): Draft => success(key, [0], { input: key });
    const rows = compared(chain(step("a"), step("b"), step("c")), chain(step("a"), step("c"), step("d")));
    expect(outlineOf(rows)).toEqual(["a=a", "-b", "c=c", "+d"]);
    expect(firstDivergence(rows)?.a?.key).toBe("b");
  });

  test("a step that was given a declared input is the step of that name without", () => {
    const rows = compared([success("a", [0])], [success("a", [0], { input: 1 })]);
    expect(outlineOf(rows)).toEqual(["a~a:input"]);
  });

  test("a step that became a wait of its name is told, an answer that was reused is none", () => {
    const wait = draft("wait.opened", { key: "a", kind: "approval" }, [0]);
    const answer = draft("wait.answered", { key: "a", value: { inline: "a" } }, [1]);
    const from = { run: "run_other", key: "a", seq: 2 };
    const reused = draft("step.reused", { key: "a", output: { inline: "a" }, from, origin: from }, [0]);
    expect(outlineOf(compared([success("a", [0])], [wait, answer]))).toEqual(["a~a:kind"]);
    expect(outlineOf(compared([reused], [wait, answer]))).toEqual(["a=a"]);
  });
});

describe("what differs", () => {
  test("is named by its JSON path, with what stands there in each", () => {
    const [row] = compared(
      [success("a", [0], { input: { n: 1, list: [1, 2] }, output: { ok: true } })],
      [success("a", [0], { input: { n: 1, list: [1, 3] }, output: { ok: true, more: "x" } })],
    );
    if (row === undefined) throw new Error("expected a row");
    expect(differencesOf(row, new Map())).toEqual([
      { aspect: "input", places: [{ path: "$.list[1]", a: 2, b: 3 }] },
      { aspect: "output", places: [{ path: "$.more", b: "x" }] },
    ]);
  });

  test("is an error against another, and a success against a failure", () => {
    const [row] = compared([failure("a", [0], "x")], [failure("a", [0], "y")]);
    if (row === undefined) throw new Error("expected a row");
    expect(differencesOf(row, new Map())).toEqual([
      { aspect: "error", places: [{ path: "$.message", a: "x", b: "y" }] },
    ]);
    expect(outlineOf(compared([failure("a", [0])], [success("a", [0])]))).toEqual(["a~a:ending"]);
  });

  test("is not that one of two was reused, overridden with the same value or took longer", () => {
    const from = { run: "run_other", key: "a", seq: 1 };
    const reused = draft("step.reused", { key: "a", output: { inline: "a" }, from, origin: from }, [0]);
    const overridden = draft("step.overridden", { key: "a", output: { inline: "a" } }, [0]);
    expect(outlineOf(compared([success("a", [0], { ms: 5 })], [reused]))).toEqual(["a=a"]);
    expect(outlineOf(compared([success("a", [0])], [overridden]))).toEqual(["a=a"]);
    expect(outlineOf(compared([success("a", [0])], [success("a", [0], { ms: 7000, cost: 3 })]))).toEqual(["a=a"]);
  });

  test("of large values is known by their digests, and where it is once their texts are read", () => {
    const large = (digest: string): Draft =>
      draft("step.succeeded", { key: "a", output: { digest, bytes: 5000 } }, [0]);
    expect(outlineOf(compared([large("x")], [large("x")]))).toEqual(["a=a"]);
    const [row] = compared([large("x")], [large("y")]);
    if (row === undefined) throw new Error("expected a row");
    expect(row.differs).toEqual(["output"]);
    expect(digestsOfRow(row).map(({ digest }) => digest)).toEqual(["x", "y"]);
    expect(differencesOf(row, new Map())).toEqual([{ aspect: "output", places: [], unread: true }]);
    const texts = new Map([
      ["x", `{"n":1}`],
      ["y", `{"n":2}`],
    ]);
    expect(differencesOf(row, texts)).toEqual([{ aspect: "output", places: [{ path: "$.n", a: 1, b: 2 }] }]);
  });

  test("null, undefined, {} and 0 are four values", () => {
    const values = [{ inline: null }, { undefined: true } as const, { inline: {} }, { inline: 0 }];
    for (const [i, x] of values.entries()) for (const [j, y] of values.entries()) expect(sameValue(x, y)).toBe(i === j);
  });

  test("is cut off behind a number of places", () => {
    expect(differences([1, 2, 3], [4, 5, 6], 2)).toHaveLength(2);
    expect(differences({ a: [1] }, { a: { 0: 1 } }, 9)).toEqual([{ path: "$.a", a: [1], b: { 0: 1 } }]);
    expect(differences({}, JSON.parse(`{"__proto__":1}`) as { [key: string]: number }, 9)).toHaveLength(1);
  });
});

describe("for any two runs", () => {
  test("every step of both is in the comparison once, and that of a run with itself has no difference", () => {
    fc.assert(
      fc.property(pieces, pieces, (one, other) => {
        const [a, b] = [stepsOf(historyOfPieces(one)), stepsOf(historyOfPieces(other))];
        const rows = compareSteps(a, b);
        const keys = (side: "a" | "b"): string[] => rows.flatMap((row) => row[side]?.key ?? []).toSorted();
        expect(keys("a")).toEqual(a.list.map(({ key }) => key).toSorted());
        expect(keys("b")).toEqual(b.list.map(({ key }) => key).toSorted());
        expect(firstDivergence(compareSteps(a, a))).toBeUndefined();
      }),
    );
  });

  test("what runs side by side may end in any order without being told apart", () => {
    const order = fc.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: 6 });
    fc.assert(
      fc.property(order, (ends) => {
        const side = ends.map((i) => success(`s${i}`, [0], { input: i }));
        const join = draft("scope.closed", { scope: "m", kind: "map" }, [1, 2, 3, 4, 5, 6]);
        const whole = [...side, join, success("last", [7], { input: "x" })];
        const plain = [0, 1, 2, 3, 4, 5].map((i) => success(`s${i}`, [0], { input: i }));
        const rows = compared([...plain, join, success("last", [7], { input: "x" })], whole);
        expect(firstDivergence(rows)).toBeUndefined();
      }),
    );
  });
});

test("two runs of 100,000 steps are compared at a cost that grows with their length", () => {
  const long = (skip: number): ReturnType<typeof stepsOf> => {
    const steps: Draft[] = [];
    for (let i = 0; i < 100_000; i += 1) {
      if (i !== skip) steps.push(success(`s${i}`, [steps.length], { input: i }));
    }
    return stepsOf(historyOf(steps));
  };
  const rows = compareSteps(long(10), long(99_000));
  expect(outlineOf(rows.filter((row) => row.change !== "same" || row.moved))).toEqual(["+s10", "-s99000"]);
});
