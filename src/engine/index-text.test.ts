import fc from "fast-check";
import { expect, test } from "vitest";
import { seal, unseal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import type { Json } from "../core/json.ts";
import { sha256 } from "./hash.ts";
import { indexed } from "./index-text.ts";

const digest = sha256("an input");

/** Texts that look like what is looked for. */
const tricky = fc.constantFrom(
  "",
  '"',
  "\\",
  '","key":"k"}',
  `},"input":"${digest}","key":"inner"}`,
  '{"key":"',
  '","output":',
  'a","ms":1,"output":{',
);
const names = fc.oneof(fc.constantFrom("work", "items/3/resize", "work#2"), tricky, fc.string());
const values = fc.oneof(tricky, fc.jsonValue() as fc.Arbitrary<Json>);
/** Seldom there: only what has none of these goes the short way. */
const option = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: of });

const refs = {
  key: names,
  input: option(fc.constantFrom(digest, sha256("another"))),
  n: option(fc.nat(3)),
  across: option(fc.nat(3)),
  after: option(fc.nat(300)),
  given: option(fc.oneof(fc.record({ inline: values }), fc.constant({ bytes: 70_000, digest }))),
};

const starts = fc.record({
  ...refs,
  input: fc.constantFrom(digest, sha256("another"), undefined),
  given: fc.oneof(fc.record({ inline: values }), refs.given),
  attempt: fc.constantFrom(1, 1, 1, 2),
  effect: option(fc.constant("once")),
});
const successes = fc.record({
  ...refs,
  output: fc.oneof(fc.record({ inline: values }), fc.constant({ undefined: true })),
  attempt: option(fc.integer({ min: 2, max: 3 })),
  ms: option(fc.nat(5000)),
  cost: option(fc.nat(9)),
  compensate: option(fc.constant(true)),
  reuse: option(fc.constant("5f3a")),
});

const stored = (type: "step.started" | "step.succeeded", data: unknown): StoredEvent =>
  seal(sha256, digest, { seq: 7, at: 1000, type, causes: [3], data });

/** Of a start what it was given is no matter of the index, and of a success what it gave. */
function ofIndex(event: unknown): unknown {
  const { data, ...rest } = event as { data: Record<string, unknown> };
  const { given: _g, output: _o, ms: _m, reuse: _r, ...kept } = data;
  return { ...rest, data: kept };
}

test("what is indexed of a start or a success is what a whole reading of it says", () => {
  let short = 0;
  const look = (event: StoredEvent): void => {
    for (const known of [undefined, digest]) {
      const found = indexed(event, known);
      expect(ofIndex(found)).toEqual(ofIndex(unseal(event)));
      if (JSON.stringify(found) !== JSON.stringify(unseal(event))) short += 1;
    }
  };
  fc.assert(
    fc.property(starts, (data) => look(stored("step.started", data))),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(successes, (data) => look(stored("step.succeeded", data))),
    { numRuns: 500 },
  );
  expect(short).toBeGreaterThan(20);
});

test("the usual start and the usual success are not parsed", () => {
  const start = { key: "a", attempt: 1, input: digest, given: { inline: { context: {} } } };
  expect(indexed(stored("step.started", start)).data).toEqual({ key: "a", input: digest, attempt: 1 });
  expect(indexed(stored("step.started", { ...start, after: 40 })).data).toEqual({
    key: "a",
    input: digest,
    attempt: 1,
    after: 40,
  });
  const success = { key: "a", ms: 4, output: { inline: 1 }, reuse: "5f3a" };
  expect(indexed(stored("step.succeeded", success)).data).toEqual({ key: "a" });
});
