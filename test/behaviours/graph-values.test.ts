/**
 * Values of graphs on their way through text: they come back as they were, and reading them runs nothing.
 *
 * | Behaviour | Guarantee |
 * | --- | --- |
 * | 38, 39 | whatever can be kept comes back equal, marks of our own in it too |
 * | 40 | instances of listed classes come back as such, without their constructor; others are refused, with the remedy |
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { fromPlain, toPlain } from "../../src/authoring/graph/plain.ts";
import { executor, memoryCheckpoints, WorkflowBuilder } from "../../src/graph.ts";
import type { WorkflowContext } from "../../src/graph.ts";
import { errorOf } from "../stage.ts";

class Money {
  readonly cents: number;
  constructor(cents: number) {
    this.cents = cents;
    entered += 1;
  }
  get euros(): number {
    return this.cents / 100;
  }
}
let entered = 0;

const values = fc
  .anything({ withDate: true, withMap: true, withSet: true, withBigInt: true, withTypedArray: false })
  .filter(isKept);

/** Whether it can be kept at all: fast-check also gives NaN, symbols and invalid dates. */
function isKept(value: unknown): boolean {
  try {
    toPlain(value, "value");
    return true;
  } catch {
    return false;
  }
}

test("38, 39: whatever can be kept comes back equal, marks of our own in it too", () => {
  fc.assert(
    fc.property(values, (value) => {
      const plain = toPlain({ value, $stemma: ["date", value] }, "value");
      const read = fromPlain(JSON.parse(JSON.stringify(plain)) as never) as { value: unknown };
      expect(toPlain(read.value, "value")).toEqual(toPlain(value, "value"));
      expect(read).toHaveProperty("$stemma");
    }),
  );
  const kinds = {
    at: new Date(0),
    bytes: new Uint8Array([1, 2]),
    big: 10n ** 20n,
    map: new Map([[1, new Set(["a"])]]),
    none: [undefined],
  };
  expect(fromPlain(toPlain(kinds, "kinds"))).toEqual(kinds);
});

test("40: instances of listed classes come back as such, without their constructor; others are refused, with the remedy", async () => {
  const start = executor("start", (money: Money, ctx: WorkflowContext<never, number>) => ctx.yieldOutput(money.euros));
  const build = (classes: (typeof Money)[]) => new WorkflowBuilder({ name: "money", start, classes }).build();
  const money = new Money(250);
  const before = entered;
  expect((await build([Money]).run(money, { checkpointStorage: memoryCheckpoints() })).outputs).toEqual([2.5]);
  expect(entered).toBe(before);
  expect((await errorOf(build([]).run(money))).message).toContain('list its class in the option "classes"');
  expect(() => fromPlain(toPlain(money, "money", [Money]))).toThrow('"Money" is not listed');
});

test.each([
  ["a function", { run: () => 1 }],
  ["NaN", [NaN]],
  ["a symbol", Symbol("s")],
])("%s is refused where it is sent, with its path", (_, value) => {
  expect(() => toPlain(value, "message of a")).toThrow(
    expect.objectContaining({ code: "json.not_serializable" }) as Error,
  );
});

class Marked {
  $stemma = "mine";
  at = new Date(0);
  set watched(value: unknown) {
    heard.push(value);
  }
}
const heard: unknown[] = [];

test("40: an instance gets its fields as they are: no setter is entered, its prototype is that of its class, a mark is a field", () => {
  const marked = new Marked();
  const read = fromPlain(toPlain(marked, "marked", [Marked]), [Marked]);
  expect(read).toEqual(marked);
  const fields = JSON.parse('{"watched":1,"__proto__":{"at":2}}') as never;
  const written = fromPlain({ $stemma: ["class", "Marked", fields] }, [Marked]) as Marked;
  expect([written instanceof Marked, written.at, heard]).toEqual([true, undefined, []]);
});

test.each([
  [["constructor", 1]],
  [["toString"]],
  [["__proto__"]],
  [5],
  [null],
  ["date"],
  [["date", "no day"]],
  [["bigint", "x"]],
  [["bytes", 7]],
  [["set", 5]],
  [["map", [1]]],
  [["object", 5]],
  [["class", "Money", [1]]],
])("40: the mark %j of a text that nobody wrote is refused as that", (mark) => {
  expect(() => fromPlain({ $stemma: mark }, [Money])).toThrow(
    expect.objectContaining({ code: "json.invalid" }) as Error,
  );
});

test("40: classes are known by their names, so each has one of its own", () => {
  const start = executor("start", (_: unknown, ctx: WorkflowContext<never, number>) => ctx.yieldOutput(1));
  const other = Object.defineProperty(class extends Money {}, "name", { value: "Money" });
  const nameless = Object.defineProperty(class extends Money {}, "name", { value: "" });
  for (const classes of [[Money, other], [nameless]]) {
    expect(() => new WorkflowBuilder({ name: "money", start, classes })).toThrow(
      expect.objectContaining({ code: "usage.invalid" }) as Error,
    );
  }
});
