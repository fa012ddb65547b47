/** States cut with a memory of the last: piece by piece what their texts give, at the cost of what is new. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { sha256 } from "../engine/hash.ts";
import type { Digest } from "./event.ts";
import { grown } from "./growing-list.ts";
import { canonical, encode, utf8Length } from "./json.ts";
import type { Json } from "./json.ts";
import { stateForm, stateText } from "./state.ts";
import { cutState } from "./state-cut.ts";
import { StateMemory } from "./state-memory.ts";

/** Pseudo-random text of a length, other for each number. */
function noise(n: number, chars: number): string {
  let text = "";
  for (let i = 0; text.length < chars; i += 1) text += sha256(`${n} ${i}`);
  return text.slice(0, chars);
}

const texts = fc.oneof(
  fc.string({ maxLength: 20, unit: "grapheme" }),
  fc.tuple(fc.nat(3000), fc.nat(99)).map(([chars, n]) => noise(n, chars)),
);
const { value: values } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.oneof(fc.integer(), fc.constant(null), texts) as fc.Arbitrary<Json>,
    fc.array(tie("value"), { maxLength: 12 }) as fc.Arbitrary<Json>,
    fc.dictionary(texts, tie("value"), { maxKeys: 6, noNullPrototype: true }) as fc.Arbitrary<Json>,
  ),
}));

type Change = { path: readonly number[]; what: "append" | "replace" | "remove" | "shorten"; value: Json };
const changes: fc.Arbitrary<Change> = fc.record({
  path: fc.array(fc.nat(20), { maxLength: 4 }),
  what: fc.constantFrom("append", "append", "append", "replace", "remove", "shorten"),
  value: values,
});

/** The state with a change somewhere in it; all else stays the same values. */
function changed(state: Json, { path: [at = 0, ...path], what, value }: Change): Json {
  if (typeof state !== "object" || state === null) return value;
  const isList = Array.isArray(state);
  // One of two appends: of the other it is not known how the list was made.
  if (isList && path.length === 0 && what === "append" && at % 2 === 0) return grown<Json>(state, [value]) as Json;
  const entries = Object.entries(state);
  const target = entries[at % Math.max(1, entries.length)];
  if (path.length > 0 && target !== undefined) {
    target[1] = changed(target[1], { path, what, value });
  } else if (what === "append" || target === undefined) entries.push([`key ${at}`, value]);
  else if (what === "replace") target[1] = value;
  else if (what === "remove") entries.splice(at % entries.length, 1);
  else entries.length -= at % entries.length;
  return isList ? entries.map(([, child]) => child) : Object.fromEntries(entries);
}

test("whatever changes in a state, its pieces are those of its text", () => {
  fc.assert(
    fc.property(values, fc.array(changes, { minLength: 1, maxLength: 12 }), (first, all) => {
      const [memory, kept] = [new StateMemory(sha256), new Map<Digest, string>()];
      let state: Json = { list: [first], first };
      for (const change of [undefined, ...all]) {
        if (change !== undefined) state = changed(state, change);
        const text = canonical(state);
        const { root, bytes, made } = memory.cut(state);
        for (const piece of made) kept.set(piece.digest, piece.text);
        expect(root).toBe(cutState(sha256, text, new Set()).root);
        expect(bytes).toBe(utf8Length(text));
        const textOf = (digest: Digest): string => kept.get(digest) ?? expect.fail(`${digest} is not there`);
        expect(stateText({ tree: stateForm, digest: root, bytes }, textOf)).toBe(text);
      }
    }),
    { numRuns: 150 },
  );
});

test("a list that grows by a kilobyte makes as many pieces late as early, and none anew of what is before", () => {
  const memory = new StateMemory(sha256);
  let log: Json[] = [];
  const made: number[] = [];
  for (let n = 0; n < 4000; n++) {
    log = log.concat(noise(n, 1024));
    const pieces = memory.cut({ shared: { log }, n }).made;
    made.push(pieces.reduce((sum, { text }) => sum + text.length, 0));
  }
  const sum = (from: number): number => made.slice(from, from + 500).reduce((a, b) => a + b, 0) / 500;
  expect(sum(3500)).toBeLessThan(sum(500) * 1.5);
  expect(sum(3500)).toBeLessThan(4096);
});

test("what was forgotten is cut as a whole", () => {
  const [memory, state] = [new StateMemory(sha256), { list: [noise(1, 3000), noise(2, 3000)] }];
  const { made } = memory.cut(state);
  expect(memory.cut({ ...state }).made.length).toBeLessThan(made.length);
  memory.forget();
  expect(memory.cut(state).made).toEqual(made);
  expect(encode(state)?.length).toBeGreaterThan(6000);
});
