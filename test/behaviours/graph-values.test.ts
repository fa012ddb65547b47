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
    return !JSON.stringify(toPlain(value, "value")).includes("__proto__");
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
