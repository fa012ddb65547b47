import { describe, expect, test } from "vitest";

import { StepError } from "./failure.ts";
import { frontierOf, rememberFailure } from "./frontier.ts";

/** An error that a body was given for this step. */
function failure(key: string): StepError {
  const error = new StepError({ name: "Error", message: "no" }, key);
  rememberFailure(error, key);
  return error;
}

describe("the steps that ended a run are found", () => {
  test("when the body threw the very error that it was given", () => {
    expect(frontierOf(failure("charge"))).toEqual(["charge"]);
  });

  test("when the body wrapped it, however often", () => {
    let error: Error = failure("charge");
    for (let i = 0; i < 100; i += 1) error = new Error(`wrapped ${i}`, { cause: error });
    expect(frontierOf(error)).toEqual(["charge"]);
  });

  test("all of them, each once and in order, when several failed", () => {
    const [b, a] = [failure("b"), failure("a")];
    expect(frontierOf(new AggregateError([b, a, b, new Error("own"), null, "text"], "both"))).toEqual(["a", "b"]);
    expect(frontierOf(new Error("map", { cause: new AggregateError([b, new Error("x", { cause: a })]) }))).toEqual([
      "a",
      "b",
    ]);
  });

  test("when every item of a large map failed", () => {
    const errors = Array.from({ length: 20_000 }, (_, i) => failure(`item#${i}`));
    expect(frontierOf(new Error("map", { cause: new AggregateError(errors) }))).toHaveLength(20_000);
  });
});

describe("no step ended a run", () => {
  test("whose own code threw, even if the error looks like that of a step", () => {
    expect(frontierOf(new Error("no"))).toEqual([]);
    expect(frontierOf(new StepError({ name: "Error", message: "no" }, "charge"))).toEqual([]);
    expect(frontierOf(structuredClone(failure("charge")))).toEqual([]);
  });

  test.each([undefined, null, "text", 7, Symbol("x"), 1n, () => failure("x")])("that threw %s", (thrown) => {
    expect(frontierOf(thrown)).toEqual([]);
  });
});

describe("looking at an error ends, and never throws", () => {
  const boom = (): never => {
    throw new Error("boom");
  };

  test("when it is its own cause", () => {
    const error = failure("a");
    error.cause = new Error("x", { cause: error });
    expect(frontierOf(error)).toEqual(["a"]);
  });

  test("when it consists of itself, many times over", () => {
    const error = new AggregateError([], "all");
    error.errors = [error, error, error, failure("a"), error];
    error.cause = error;
    expect(frontierOf(error)).toEqual(["a"]);
  });

  test("when looking at it throws: what is known of it is kept", () => {
    const trap = new Proxy({}, { get: boom, has: boom, getPrototypeOf: boom });
    const guarded = Object.defineProperty(failure("a"), "cause", { get: boom });
    expect(frontierOf(trap)).toEqual([]);
    expect(frontierOf(guarded)).toEqual(["a"]);
    expect(frontierOf(new AggregateError([trap, guarded, failure("b")]))).toEqual(["a", "b"]);
  });

  test("when each look makes a new error", () => {
    const endless = (): Error => Object.defineProperty(new Error("again"), "cause", { get: endless });
    expect(frontierOf(endless())).toEqual([]);
  });
});
