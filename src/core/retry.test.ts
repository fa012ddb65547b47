import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isStemmaError } from "./error.ts";
import { backoffMs, retryPolicy } from "./retry.ts";

const exact = { attempts: 9, delayMs: 1000, factor: 2, maxDelayMs: 60_000, jitter: 0 };

describe("the delay behind a failed attempt", () => {
  test("grows by the factor up to the cap", () => {
    expect([1, 2, 3, 4, 5, 6, 7, 8].map((failed) => backoffMs(exact, failed, 0.7))).toEqual([
      1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000,
    ]);
  });

  test("is shortened by chance, and by no more than the jitter says", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (failed, random, jitter) => {
          const whole = backoffMs(exact, failed, 0);
          const ms = backoffMs({ ...exact, jitter }, failed, random);
          expect(ms).toBeLessThanOrEqual(whole);
          expect(ms).toBeGreaterThanOrEqual(Math.floor(whole * (1 - jitter)));
        },
      ),
    );
  });

  test("is nothing when it starts from nothing, however often it failed", () => {
    expect(backoffMs({ ...exact, delayMs: 0 }, 100_000, 0)).toBe(0);
  });
});

describe("a policy", () => {
  test("has usual values for what it leaves out", () => {
    expect(retryPolicy(3, "step a")).toEqual({
      attempts: 3,
      delayMs: 1000,
      factor: 2,
      maxDelayMs: 60_000,
      jitter: 0.5,
    });
    expect(retryPolicy({}, "step a")).toMatchObject({ attempts: 5 });
  });

  test("whose first delay is longer than the cap keeps that delay", () => {
    expect(retryPolicy({ delay: "1h" }, "step a")).toMatchObject({ delayMs: 3_600_000, maxDelayMs: 3_600_000 });
  });

  test.each([
    [0, "attempts"],
    [1.5, "attempts"],
    [Number.NaN, "attempts"],
    [{ factor: 0.5 }, "factor"],
    [{ factor: Number.NaN }, "factor"],
    [{ jitter: 2 }, "jitter"],
    [null as never, "retry"],
    ["3" as never, "retry"],
  ])("%j is refused with what is wrong", (options, named) => {
    const refused = (): unknown => retryPolicy(options, "step a");
    expect(refused).toThrow(named);
    expect(refused).toThrow(expect.toSatisfy((error) => isStemmaError(error, "step.invalid")));
  });

  test("takes no delay that is no duration", () => {
    expect(() => retryPolicy({ delay: "soon" }, "step a")).toThrow("retry delay of step a");
  });
});
