import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { sha256 } from "../engine/hash.ts";
import type { Digest } from "./event.ts";
import type { Identity } from "./identity.ts";
import {
  idempotencyKey,
  identityOf,
  identityText,
  kindText,
  labelOf,
  parseKey,
  pathOf,
  refOf,
  reuseKey,
  scopeWithoutIndices,
  segmentRoot,
} from "./identity.ts";
import type { Json } from "./json.ts";
import { checkName } from "./name.ts";
import { anyCharacter } from "../../test/any-text.ts";

const isName = (text: string): boolean => {
  try {
    return checkName(text, "name") === text;
  } catch {
    return false;
  }
};

/** Legal names, of all scripts, and those that are most like what keys are made with. */
const name = fc.oneof(
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }).filter(isName),
  fc.string({ unit: anyCharacter, minLength: 1, maxLength: 6 }).filter(isName),
  fc.constantFrom(
    "a",
    "b",
    "3",
    "-",
    " ",
    "2-0",
    "a:b",
    "支払い",
    "größe",
    "😀",
    "__proto__",
    "constructor",
    "\u202e",
    "é",
    "e\u0301",
  ),
);
/** A label: a name, or the k-th of a name. */
const label = fc.tuple(name, fc.nat({ max: 3 })).map(([text, k]) => labelOf(text, k));
/** A scope path, of the first segment of a run or of one behind a checkpoint. */
const scope = fc
  .tuple(fc.nat({ max: 2 }), fc.array(label, { maxLength: 3 }))
  .map(([segment, labels]) => [segmentRoot(segment), ...labels].filter((part) => part !== "").join("/"));
const digest = fc.constantFrom(sha256("a"), sha256("b"));
const identity: fc.Arbitrary<Identity> = fc.record({
  scope,
  name,
  input: fc.option(digest),
  n: fc.nat({ max: 12 }),
});

/** Pairs that are equal in about half of their parts, so that a lost or blurred part shows. */
function nearby<T extends object>(one: fc.Arbitrary<T>): fc.Arbitrary<[T, T]> {
  return fc.tuple(one, one, fc.infiniteStream(fc.boolean())).map(([a, b, keep]) => {
    const mixed = Object.fromEntries(
      Object.entries(a).map(([key, value]) => [key, keep.next().value ? (value as unknown) : b[key as keyof T]]),
    );
    return [a, mixed as T];
  });
}

const text = (value: unknown): string => JSON.stringify(value);

describe("keys", () => {
  test.each([
    ["charge", { scope: "", name: "charge", k: 0 }],
    ["charge#2", { scope: "", name: "charge", k: 1 }],
    ["items/3/resize", { scope: "items/3", name: "resize", k: 0 }],
    ["x#2/y#12", { scope: "x#2", name: "y", k: 11 }],
    ["#1/charge#2", { scope: "#1", name: "charge", k: 1 }],
  ])("%s is taken apart", (key, parts) => {
    expect(parseKey(key)).toEqual(parts);
  });

  test("property: a key is taken apart into exactly what it was made from", () => {
    fc.assert(
      fc.property(scope, name, fc.nat({ max: 100_000 }), (inScope, called, k) => {
        const key = labelOf(pathOf(inScope, called), k);
        expect(parseKey(key)).toEqual({ scope: inScope, name: called, k });
      }),
      { numRuns: 1000 },
    );
  });

  test("property: two places have the same key only if they are the same", () => {
    const place = fc.record({ scope, name, k: fc.nat({ max: 12 }) });
    fc.assert(
      fc.property(nearby(place), ([a, b]) => {
        const keyOf = (one: typeof a): string => labelOf(pathOf(one.scope, one.name), one.k);
        expect(keyOf(a) === keyOf(b)).toBe(text(a) === text(b));
      }),
      { numRuns: 1000 },
    );
  });

  test("property: the reference in an event and its identity stand for each other, and what a label says is left out", () => {
    fc.assert(
      fc.property(identity, fc.nat({ max: 12 }), (id, k) => {
        const key = labelOf(pathOf(id.scope, id.name), k);
        const ref = refOf(id, key);
        expect(identityOf(ref)).toEqual(id);
        expect(identityOf(JSON.parse(text(ref)) as typeof ref)).toEqual(id);
        expect("n" in ref).toBe(id.n !== k);
        expect("input" in ref).toBe(id.input !== null);
      }),
    );
  });
});

describe("identities", () => {
  test("have one text, which has the scope, the name, the input and the place", () => {
    expect(identityText({ scope: "", name: "a", input: null, n: 0 })).toBe("a#-#0");
    expect(identityText({ scope: "x#2", name: "a", input: "ff", n: 3 })).toBe("x#2/a#ff#3");
    expect(kindText("x#2", "a", "ff")).toBe("x#2/a#ff");
  });

  test("property: two identities have the same text only if they are the same", () => {
    fc.assert(
      fc.property(nearby(identity), ([a, b]) => {
        expect(identityText(a) === identityText(b)).toBe(text(a) === text(b));
      }),
      { numRuns: 2000 },
    );
  });

  test("property: two asks are of one kind exactly if they are equal in all but the place", () => {
    fc.assert(
      fc.property(nearby(identity), ([a, b]) => {
        const same = kindText(a.scope, a.name, a.input) === kindText(b.scope, b.name, b.input);
        expect(same).toBe(text({ ...a, n: 0 }) === text({ ...b, n: 0 }));
      }),
      { numRuns: 1000 },
    );
  });
});

describe("the idempotency key", () => {
  const parts = fc.record({
    line: fc.constantFrom("run_a", "run_b"),
    calls: fc.array(label, { maxLength: 2 }),
    scope,
    name,
    input: fc.option(digest),
    n: fc.nat({ max: 3 }),
    generation: fc.nat({ max: 2 }),
  });
  const keyOf = ({
    line,
    calls,
    generation,
    ...id
  }: { line: string; calls: string[]; generation: number } & Identity): string =>
    idempotencyKey(sha256, line, calls, id, generation);

  test("property: is another one whenever the line, the calls, the identity or the generation is", () => {
    fc.assert(
      fc.property(nearby(parts), ([a, b]) => {
        expect(keyOf(a) === keyOf(b)).toBe(text(a) === text(b));
        expect(keyOf(a)).toMatch(/^[0-9a-f]{64}$/);
      }),
      { numRuns: 1000 },
    );
  });

  test("depends on nothing else, and is the same for ever", () => {
    const id: Identity = { scope: "x", name: "charge", input: null, n: 0 };
    expect(idempotencyKey(sha256, "run_a", [], id)).toBe(idempotencyKey(sha256, "run_a", [], id, 0));
    expect(idempotencyKey(sha256, "run_a", ["call"], { n: 0, input: null, name: "charge", scope: "x" })).toBe(
      sha256('["run_a",["call"],"x","charge",null,0,0]'),
    );
    const other = { ...id, attempt: 2, seq: 9 } as Identity;
    expect(idempotencyKey(sha256, "run_a", [], other)).toBe(idempotencyKey(sha256, "run_a", [], id));
  });
});

describe("the reuse key of a declared input", () => {
  type Step = { scope: string; name: string; version: number; input: Digest; context: Json };
  const steps: fc.Arbitrary<Step> = fc.record({
    scope,
    name,
    version: fc.integer({ min: 1, max: 3 }),
    input: digest,
    context: fc.constantFrom<Json>([], ["model"], { model: "x" }, { model: "y" }),
  });

  test("property: is another one whenever scope (but for indices), name, version, input or context is", () => {
    fc.assert(
      fc.property(nearby(steps), ([a, b]) => {
        const bare = (step: Step): string => text({ ...step, scope: scopeWithoutIndices(step.scope) });
        expect(reuseKey(sha256, a) === reuseKey(sha256, b)).toBe(bare(a) === bare(b));
      }),
      { numRuns: 1000 },
    );
  });

  test("depends on nothing else, and is the same for ever", () => {
    const step: Step = {
      scope: "items/3/x#2",
      name: "resize",
      version: 1,
      input: sha256("a"),
      context: { b: 1, a: 2 },
    };
    const expected = sha256(`["items/x","resize",1,"${sha256("a")}",{"a":2,"b":1}]`).slice(0, 40);
    expect(reuseKey(sha256, step)).toBe(expected);
    expect(reuseKey(sha256, { ...step, scope: "items/40/x", context: { a: 2, b: 1 } })).toBe(expected);
    expect(reuseKey(sha256, { ...step, n: 7, key: "resize#8", attempt: 2 } as Step)).toBe(expected);
  });
});

test.each([
  ["", ""],
  ["items", "items"],
  ["items/3", "items"],
  ["items/3/x#2", "items/x"],
  ["items#12/3/4/y", "items/y"],
  ["3", ""],
  ["3#2/x", "x"],
  ["#1", ""],
  ["#12/items/3/x#2", "items/x"],
  ["v2/3a/a3/-1/1.5", "v2/3a/a3/-1/1.5"],
])("places in loops are taken out of the scope %j: %j", (path, bare) => {
  expect(scopeWithoutIndices(path)).toBe(bare);
  expect(scopeWithoutIndices(bare)).toBe(bare);
});
