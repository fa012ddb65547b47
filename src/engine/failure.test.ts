import { createContext, runInContext } from "node:vm";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { StoredEvent } from "../core/chain.ts";
import { genesis, seal, unseal } from "../core/chain.ts";
import { StemmaError } from "../core/error.ts";
import type { ErrorRecord } from "../core/event.ts";
import type { Json } from "../core/json.ts";
import { canonical } from "../core/json.ts";
import { StepError, toRecord } from "./failure.ts";
import { sha256 } from "./hash.ts";
import { outcomeFor } from "./outcome.ts";
import type { OutcomeEvent } from "./recall.ts";

const boom = (): never => {
  throw new Error("boom");
};
const trap = new Proxy(
  {},
  { get: boom, has: boom, ownKeys: boom, getPrototypeOf: boom, getOwnPropertyDescriptor: boom },
);
const cyclic = new Error("a");
cyclic.cause = Object.assign(new Error("b"), { cause: cyclic, data: { cyclic } });
const revoked = Proxy.revocable(new Error("x"), {});
revoked.revoke();

/** Values that a step may throw to make trouble. */
const hostile: [name: string, thrown: unknown][] = [
  ["undefined", undefined],
  ["null", null],
  ["a string", "no"],
  ["empty text", ""],
  ["a number", 42],
  ["NaN", Number.NaN],
  ["a bigint", 10n ** 40n],
  ["a symbol", Symbol("no")],
  ["a function", boom],
  ["a promise", Promise.resolve(1)],
  ["a plain object", { status: 500 }],
  ["an object without prototype", Object.create(null)],
  [
    "an object that throws when it is shown",
    {
      toString: boom,
      toJSON: boom,
      get message() {
        return boom();
      },
    },
  ],
  ["a Proxy that throws at every touch", trap],
  ["a revoked Proxy of an error", revoked.proxy],
  ["an error whose message throws", Object.defineProperty(new Error("x"), "message", { get: boom })],
  ["an error whose cause throws", Object.defineProperty(new Error("x"), "cause", { get: boom })],
  ["an error whose name is no text", Object.assign(new Error("x"), { name: { toString: boom } })],
  ["an error whose message is no text", Object.assign(new Error("x"), { message: 17 })],
  ["an error whose cause is a Proxy", new Error("x", { cause: trap })],
  ["an error whose data is a Proxy", Object.assign(new Error("x"), { data: trap })],
  ["an error whose data cannot be recorded", Object.assign(new Error("x"), { data: { n: 1n } })],
  ["an error whose code is a symbol", Object.assign(new Error("x"), { code: Symbol("E") })],
  ["an error that is its own cause by a detour", cyclic],
  ["an error with a new cause each time", makesCauses()],
  ["an error with a message of ten megabytes", new Error("x".repeat(10_000_000))],
  ["text of ten megabytes", "x".repeat(10_000_000)],
  ["a list of a million", Array.from({ length: 1_000_000 }, (_, i) => i)],
  ["halves of surrogate pairs", Object.assign(new Error("\ud83d"), { name: "\ude00", code: "\ud800", data: "\ud800" })],
  ["a pair on the edge of what is kept", new Error(`${"x".repeat(9999)}😀`)],
  ["text with half a pair", "a\ud83d"],
  [
    "an error that names a prototype",
    Object.assign(new Error("x"), { data: JSON.parse('{"__proto__":{"code":"E"}}') as Json }),
  ],
];

function makesCauses(): Error {
  return Object.defineProperty(new Error("again"), "cause", { get: makesCauses });
}

function depthOf(record: ErrorRecord): number {
  return record.cause === undefined ? 1 : 1 + depthOf(record.cause);
}

/** What a body catches: live from the event that was appended, in recall from what the store gives back. */
function caught(record: ErrorRecord): { live: Error; recalled: Error } {
  const event = {
    seq: 1,
    at: 5,
    type: "step.failed" as const,
    causes: [0],
    data: { key: "x/charge#2", error: record },
  };
  const stored: StoredEvent = seal(sha256, genesis(sha256, "run_x"), event);
  const errorOf = (outcome: ReturnType<typeof outcomeFor>): Error => outcome?.error as Error;
  return {
    live: errorOf(outcomeFor({ ...event, hash: stored.hash }, new Map())),
    recalled: errorOf(outcomeFor(unseal(stored) as OutcomeEvent, new Map())),
  };
}

/** Everything of an error that a body can tell apart (but for the stack, which is where it was made). */
function visible(error: unknown): unknown {
  if (!(error instanceof StepError)) return error;
  const { name, message, code, data, step } = error;
  return {
    name,
    message,
    code,
    data,
    step,
    cause: visible(error.cause),
    hasCause: "cause" in error,
    keys: Object.keys(error),
  };
}

describe.each(hostile)("%s, thrown by a step,", (_name, thrown) => {
  test("becomes a record that is plain, bounded, and can be written", () => {
    const record = toRecord(thrown);
    const text = canonical(record);
    expect(JSON.parse(text)).toEqual(record);
    expect(text.isWellFormed()).toBe(true);
    expect(text.length).toBeLessThan(300_000);
    expect(depthOf(record)).toBeLessThanOrEqual(9);
    expect(record.message.length).toBeLessThanOrEqual(10_000);
    expect(typeof record.name).toBe("string");
  });

  test("is the same live and from the record, and comes back as the same record when it is thrown on", () => {
    const record = toRecord(thrown);
    const { live, recalled } = caught(record);
    expect(live).toBeInstanceOf(StepError);
    expect(visible(live)).toEqual(visible(recalled));
    expect(toRecord(live)).toEqual(record);
    expect(toRecord(recalled)).toEqual(record);
  });
});

describe("the record of an error", () => {
  test("has its name, message, code, data and cause", () => {
    const cause = Object.assign(new TypeError("below"), { code: 402 });
    const error = Object.assign(new RangeError("above", { cause }), { code: "CARD", data: { order: 17 } });
    expect(toRecord(error)).toEqual({
      name: "RangeError",
      message: "above",
      code: "CARD",
      data: { order: 17 },
      cause: { name: "TypeError", message: "below", code: "402" },
    });
  });

  test("has nothing that the error does not have", () => {
    expect(toRecord(new Error("x"))).toEqual({ name: "Error", message: "x" });
    for (const cause of [undefined, null])
      expect(Object.keys(toRecord(new Error("x", { cause })))).toEqual(["name", "message"]);
  });

  test.each([null, 0, false, "", [], {}])("has data that is %j, which is a value like others", (data) => {
    expect(toRecord(Object.assign(new Error("x"), { data }))).toEqual({ name: "Error", message: "x", data });
  });

  test("of Stemma has its code and facts", () => {
    const error = new StemmaError("run.not_found", "none", { data: { run: "run_x" } });
    expect(toRecord(error)).toEqual({
      name: "StemmaError",
      message: "none",
      code: "run.not_found",
      data: { run: "run_x" },
    });
  });

  test("of another realm is that of an error, not of something that is none", () => {
    const thrown: unknown = runInContext(
      `Object.assign(new TypeError("theirs"), { code: "ENOENT", cause: new Error("below") })`,
      createContext({}),
    );
    expect(thrown).not.toBeInstanceOf(Error);
    expect(toRecord(thrown)).toEqual({
      name: "TypeError",
      message: "theirs",
      code: "ENOENT",
      cause: { name: "Error", message: "below" },
    });
  });

  test("of what is no error says so, and keeps what was thrown", () => {
    expect(toRecord("no")).toEqual({
      name: "Error",
      message: 'expected an Error to be thrown, got string: "no"',
      code: "step.threw_non_error",
      data: "no",
    });
    expect(toRecord(null)).toMatchObject({ message: "expected an Error to be thrown, got null: null", data: null });
    expect(toRecord(undefined).message).toBe("expected an Error to be thrown, got undefined: undefined");
    expect(toRecord(Symbol("x")).message).toBe("expected an Error to be thrown, got symbol: Symbol(x)");
    expect(toRecord({ a: [1] })).toMatchObject({ data: { a: [1] } });
  });

  test("of what cannot even be looked at is there all the same", () => {
    const record = { name: "Error", message: "something was thrown that cannot be looked at", code: "step.failed" };
    expect(toRecord(trap)).toEqual(record);
    expect(toRecord(new Error("x", { cause: trap }))).toEqual({ name: "Error", message: "x", cause: record });
  });

  test("goes nine errors deep at most, the first ones", () => {
    let error = new Error("0");
    for (let i = 1; i <= 20; i += 1) error = new Error(String(i), { cause: error });
    const record = toRecord(error);
    expect(depthOf(record)).toBe(9);
    expect(record.cause?.cause?.message).toBe("18");
  });
});

describe("a StepError", () => {
  test("is an Error with the name that was recorded, and says which step failed", () => {
    const error = new StepError({ name: "CardError", message: "refused", code: "CARD" }, "charge#2");
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).toBe("CardError: refused");
    expect(error).toMatchObject({ code: "CARD", step: "charge#2" });
    expect(error.data).toBeUndefined();
    expect("cause" in error).toBe(false);
  });

  test("property: any record comes back from it as it was, and from any nesting of it", () => {
    const json = fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.parse(JSON.stringify(value)) as Json);
    const text = fc.string({ unit: "grapheme", maxLength: 20 });
    const flat = fc.record(
      { name: text, message: text, code: text, data: json },
      { requiredKeys: ["name", "message"] },
    );
    const records = fc
      .array(flat, { minLength: 1, maxLength: 9 })
      .map(
        (all) =>
          all.reduceRight<ErrorRecord | undefined>(
            (cause, one) => (cause === undefined ? one : { ...one, cause }),
            undefined,
          ) as ErrorRecord,
      );
    fc.assert(
      fc.property(records, (record) => {
        expect(toRecord(new StepError(record, "key"))).toEqual(record);
        const { live, recalled } = caught(record);
        expect(visible(live)).toEqual(visible(recalled));
      }),
    );
  });
});
