import fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { Event, StepRef } from "../core/event.ts";
import { identityOf } from "../core/identity.ts";
import type { Ask } from "./ask.ts";
import { Asks, isWithin } from "./ask.ts";
import { Recall } from "./recall.ts";
import { digestOf, toValue } from "./value.ts";

const inputs = { a: toValue("a", "input"), b: toValue("b", "input") };
const [a, b] = [digestOf(inputs.a), digestOf(inputs.b)];
const nothing = recallOf([]);

function recallOf(events: readonly Event[]): Recall {
  const recall = new Recall(events[0]?.seq ?? 0, events.at(-1)?.seq ?? -1);
  for (const event of events) recall.add(event);
  return recall.complete();
}

/** What is recorded when these steps have succeeded, in this order. */
function recorded(...refs: readonly StepRef[]): Recall {
  const events = refs.map((ref, i): Event => ({
    seq: i + 1,
    at: i,
    type: "step.succeeded",
    causes: [0],
    data: { ...ref, output: { inline: i } },
    hash: "",
  }));
  return recallOf(events);
}

function ask(asks: Asks, name: string, input: string | null = null, scope = ""): Ask {
  const work: Ask["work"] = { kind: "step", ask: { scope, name, causes: [0], run: () => undefined } };
  const declared = input === a ? inputs.a : input === b ? inputs.b : undefined;
  return asks.make({ scope, name, causes: [0] }, declared, 0, work, () => undefined);
}

const refs = (all: readonly Ask[]): StepRef[] => all.map((one) => one.ref);

describe("labels and places of new asks", () => {
  test("the first of a name has the name, the next are numbered from 2", () => {
    const asks = new Asks(nothing);
    expect(refs([ask(asks, "x"), ask(asks, "x"), ask(asks, "y"), ask(asks, "x")])).toEqual([
      { key: "x" },
      { key: "x#2" },
      { key: "y" },
      { key: "x#3" },
    ]);
  });

  test("the place counts only asks that are equal in input too, and is written where the label does not say it", () => {
    const asks = new Asks(nothing);
    expect(refs([ask(asks, "x", a), ask(asks, "x", b), ask(asks, "x", a), ask(asks, "x")])).toEqual([
      { key: "x", input: a },
      { key: "x#2", input: b, n: 0 },
      { key: "x#3", input: a, n: 1 },
      { key: "x#4", n: 0 },
    ]);
  });

  test("one name in two scopes are two things", () => {
    const asks = new Asks(nothing);
    expect(refs([ask(asks, "x", a), ask(asks, "x", a, "s"), ask(asks, "x", a, "s")])).toEqual([
      { key: "x", input: a },
      { key: "s/x", input: a },
      { key: "s/x#2", input: a },
    ]);
  });

  test("an ask begins as asked, with nothing recorded of it", () => {
    const made = ask(new Asks(nothing), "x");
    expect(made.stage).toBe("asked");
    expect(made.recorded).toBeUndefined();
    expect(made.identity).toEqual({ scope: "", name: "x", input: null, n: 0 });
  });

  test("a scope that is opened again under its name is x#2, and counts apart from steps", () => {
    const asks = new Asks(nothing);
    expect([
      asks.openScope("", "x"),
      ask(asks, "x").ref.key,
      asks.openScope("", "x"),
      asks.openScope("x", "x"),
    ]).toEqual(["x", "x", "x#2", "x/x"]);
  });
});

describe("asks that are on record", () => {
  test("get their record and their label, in whatever order they are asked", () => {
    const known = recorded({ key: "x", input: a }, { key: "x#2", input: b, n: 0 }, { key: "x#3", input: a, n: 1 });
    const asks = new Asks(known);
    const made = [ask(asks, "x", b), ask(asks, "x", a), ask(asks, "x", a)];
    expect(made.map((one) => one.recorded?.first)).toEqual([2, 1, 3]);
    expect(refs(made)).toEqual([
      { key: "x#2", input: b, n: 0 },
      { key: "x", input: a },
      { key: "x#3", input: a, n: 1 },
    ]);
    expect(made.map((one) => one.recorded?.key)).toEqual(["x#2", "x", "x#3"]);
  });

  test("keep their label: a new ask never takes it, also if it is made first", () => {
    const asks = new Asks(recorded({ key: "x", input: a }, { key: "x#3", input: b, n: 0 }));
    expect(refs([ask(asks, "x"), ask(asks, "x"), ask(asks, "x", b), ask(asks, "x", a), ask(asks, "x")])).toEqual([
      { key: "x#2", n: 0 },
      { key: "x#4", n: 1 },
      { key: "x#3", input: b, n: 0 },
      { key: "x", input: a },
      { key: "x#5", n: 2 },
    ]);
  });

  test("are found by their label while they are open, and are forgotten when they are delivered", () => {
    const asks = new Asks(recorded({ key: "x" }, { key: "y" }));
    const made = ask(asks, "x");
    expect(asks.get("x")).toBe(made);
    expect(asks.get("y")).toBeUndefined();
    expect([...asks.open()]).toEqual([made]);
    asks.forget(made);
    expect(asks.get("x")).toBeUndefined();
    expect([...asks.open()]).toEqual([]);
    // Forgotten is not unasked: the next one is the second.
    expect(ask(asks, "x").ref).toEqual({ key: "x#2" });
  });
});

test("a wait is found by its key while it is open: not before it was opened, not after it was settled or taken back", () => {
  const asks = new Asks(nothing);
  const [first, second] = [ask(asks, "ok"), ask(asks, "ok")];
  expect(asks.waiting("ok")).toBeUndefined();
  first.stage = "begun";
  second.stage = "begun";
  expect(asks.waiting("ok")).toBe(first);
  expect(asks.waiting("ok#2")).toBe(second);
  expect(asks.waiting("ok#3")).toBeUndefined();
  first.stage = "recorded";
  second.withdrawn = "lost race";
  expect(asks.waiting("ok")).toBeUndefined();
  expect(asks.waiting("ok#2")).toBeUndefined();
});

test("open asks are those whose outcome has not been delivered", () => {
  const asks = new Asks(nothing);
  const all = (["asked", "begun", "recorded", "delivered"] as const).map((stage) => {
    const made = ask(asks, stage);
    made.stage = stage;
    return made;
  });
  expect([...asks.open()]).toEqual(all.slice(0, 3));
});

// ---- properties ----------------------------------------------------------------------------------------------------

type Wish = { name: string; input: string | null; scope: string };
const wishes: fc.Arbitrary<Wish[]> = fc.array(
  fc.record({
    name: fc.constantFrom("x", "y"),
    input: fc.constantFrom(null, a, b),
    scope: fc.constantFrom("", "s", "s#2"),
  }),
  { maxLength: 25 },
);

const make = (recall: Recall, list: readonly Wish[]): Ask[] => {
  const asks = new Asks(recall);
  return list.map(({ name, input, scope }) => ask(asks, name, input, scope));
};

test("property: labels are unique in a run, and say together with the input exactly which ask it is", () => {
  fc.assert(
    fc.property(wishes, (list) => {
      const made = make(nothing, list);
      expect(new Set(made.map((one) => one.ref.key)).size).toBe(made.length);
      for (const one of made) expect(identityOf(one.ref)).toEqual(one.identity);
    }),
  );
});

test("property: whatever part of a run is on record, asking the same again finds exactly that, and no label is used twice", () => {
  fc.assert(
    fc.property(wishes, fc.infiniteStream(fc.boolean()), (list, isRecorded) => {
      const first = make(nothing, list);
      const kept = first.filter(() => isRecorded.next().value);
      const again = make(recorded(...refs(kept)), list);
      expect(again.map((one) => one.identity)).toEqual(first.map((one) => one.identity));
      expect(again.filter((one) => one.recorded !== undefined).map((one) => one.ref)).toEqual(refs(kept));
      expect(new Set(again.map((one) => one.ref.key)).size).toBe(again.length);
    }),
  );
});

test("property: asks that differ in name, input or scope may change places without changing who they are", () => {
  fc.assert(
    fc.property(wishes, fc.nat(), (list, seed) => {
      const kindOf = (wish: Wish): string => JSON.stringify([wish.scope, wish.name, wish.input]);
      // Another order in which equal asks stay in theirs: kinds are turned round as blocks.
      const kinds = [...new Set(list.map(kindOf))];
      const turned = kinds.map((_, i) => kinds[(i + seed) % kinds.length] ?? "");
      const other = turned.flatMap((kind) => list.filter((wish) => kindOf(wish) === kind));
      const first = make(nothing, list);
      const again = make(recorded(...refs(first)), other);
      expect(again.every((one) => one.recorded !== undefined)).toBe(true);
      expect(new Set(again.map((one) => one.ref.key))).toEqual(new Set(first.map((one) => one.ref.key)));
    }),
  );
});

test.each([
  ["a", "a", true],
  ["a/b", "a", true],
  ["a/b/c", "a/b", true],
  ["ab", "a", false],
  ["a#2", "a", false],
  ["a#2/b", "a", false],
  ["a", "a/b", false],
  ["", "a", false],
])("isWithin(%j, %j) is %j", (path, scope, within) => {
  expect(isWithin(path, scope)).toBe(within);
});
