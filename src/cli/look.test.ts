import { expect, test } from "vitest";
import { statuses } from "../core/run.ts";
import { bytesText, lookOf, relativeText, timeText } from "./look.ts";

test("every status of a run has a look of its own", () => {
  const unknown = lookOf("no such status");
  for (const status of statuses) expect(lookOf(status)).not.toEqual(unknown);
});

test("sizes never show 1000 of a unit", () => {
  expect([0, 999, 1000, 5002, 999_940, 999_950, 2_097_152].map(bytesText)).toEqual([
    "0 B",
    "999 B",
    "1.0 kB",
    "5.0 kB",
    "999.9 kB",
    "1.0 MB",
    "2.1 MB",
  ]);
});

test("times say how they lie to now, and what is no time says so", () => {
  expect([relativeText(0, 5000), relativeText(7_200_000, 0), relativeText(10, 20)]).toEqual(["5s ago", "in 2h", "now"]);
  expect(timeText(Number.NaN)).toBe("unknown");
});
