import fc from "fast-check";
import { expect, test } from "vitest";

import { formatDuration, milliseconds } from "./duration.ts";
import { isStemmaError } from "./error.ts";

const units = [
  ["w", 604_800_000],
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1],
] as const;
const thousandYearsMs = 31_557_600_000_000;

test.each([
  [0, 0],
  [-0, 0],
  [250, 250],
  [1000 / 3, 333],
  [thousandYearsMs, thousandYearsMs],
  ["0ms", 0],
  ["250ms", 250],
  ["10s", 10_000],
  ["1.5s", 1500],
  ["0.1ms", 0],
  ["1.1h", 3_960_000],
  ["5m", 300_000],
  ["2h", 7_200_000],
  ["7d", 604_800_000],
  ["1w", 604_800_000],
  ["1h30m", 5_400_000],
  ["1d12h5s250ms", 129_605_250],
  ["365250d", thousandYearsMs],
])("%j is %d milliseconds", (duration, ms) => {
  expect(Object.is(milliseconds(duration), ms)).toBe(true);
});

const noDurations: unknown[] = [
  "",
  " ",
  "10",
  "s",
  "10 s",
  "10S",
  "ten",
  "-1s",
  "+1s",
  "1e3s",
  ".5s",
  "5.s",
  "1,5s",
  "30m1h",
  "1h1h",
  "1h 30m",
  "10s\n",
  "1y",
  "1month",
  "Infinitys",
  "٣s",
  "365251d",
  "999999999999999w",
  "9".repeat(1_000_000),
  `${"9".repeat(1_000_000)}s`,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -1,
  -0.1,
  thousandYearsMs + 1,
  null,
  undefined,
  {},
  [],
  [5],
  true,
  5n,
  Symbol("x"),
  new Date(0),
  { valueOf: () => 5 },
];

test.each(noDurations.map((duration) => ({ duration })))(
  "case %$ of no duration is refused, with what came",
  ({ duration }) => {
    let error: unknown;
    try {
      milliseconds(duration as string, "timeout of step charge");
    } catch (thrown) {
      error = thrown;
    }
    if (!isStemmaError(error, "duration.invalid")) throw error ?? new Error("expected a refusal");
    expect(error.message).toContain("timeout of step charge: expected milliseconds as a number");
    expect(error.message).toContain(`found ${String(error.data["found"])}`);
    expect(error.message.length).toBeLessThan(400);
    if (typeof duration === "number") expect(error.data["found"]).toBe(String(duration));
    if (typeof duration === "string")
      expect(error.data["found"]).toContain(JSON.stringify(duration).slice(0, 50).replace(/"$/, ""));
  },
);

test("property: an amount and a unit say their product, and combined units their sum", () => {
  const parts = fc.tuple(...units.map(() => fc.option(fc.integer({ min: 0, max: 999 }), { nil: undefined })));
  fc.assert(
    fc.property(parts, (amounts) => {
      fc.pre(amounts.some((amount) => amount !== undefined));
      const text = amounts.map((amount, i) => (amount === undefined ? "" : `${amount}${units[i]?.[0]}`)).join("");
      const sum = amounts.reduce<number>((total, amount, i) => total + (amount ?? 0) * (units[i]?.[1] ?? 0), 0);
      expect(milliseconds(text)).toBe(sum);
      expect(milliseconds(sum)).toBe(sum);
    }),
  );
});

test("property: any text says a whole number of milliseconds within bounds, or is refused with the code", () => {
  const piece = fc.constantFrom("1", "20", ".", "w", "d", "h", "m", "s", "ms", "-", " ", "e", "0");
  const text = fc.oneof(
    fc.string(),
    fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join("")),
  );
  fc.assert(
    fc.property(text, (candidate) => {
      try {
        const ms = milliseconds(candidate);
        return Number.isSafeInteger(ms) && ms >= 0 && ms <= thousandYearsMs;
      } catch (error) {
        return isStemmaError(error, "duration.invalid");
      }
    }),
    { numRuns: 2000 },
  );
});

test.each([
  [0, "0ms"],
  [0.4, "0ms"],
  [-0.4, "0ms"],
  [80, "80ms"],
  [999.4, "999ms"],
  [999.6, "1s"],
  [1000, "1s"],
  [12_400, "12.4s"],
  [12_449, "12.4s"],
  [59_949, "59.9s"],
  [59_960, "1m"],
  [60_000, "1m"],
  [185_000, "3m 5s"],
  [3_599_600, "1h"],
  [4_800_000, "1h 20m"],
  [86_399_999, "1d"],
  [187_200_000, "2d 4h"],
  [-1500, "-1.5s"],
  [Number.NaN, "unknown"],
  [Number.POSITIVE_INFINITY, "unknown"],
])("%d milliseconds are shown as %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test("property: what is shown can be read back, and is off by at most half of its smaller unit", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: thousandYearsMs - 3_600_000 }), (ms) => {
      const back = milliseconds(formatDuration(ms).replace(" ", ""));
      const unit = ms < 999.5 ? 1 : ms < 59_950 ? 100 : ms < 3_599_500 ? 1000 : ms < 86_370_000 ? 60_000 : 3_600_000;
      expect(Math.abs(back - ms)).toBeLessThanOrEqual(unit / 2);
      expect(formatDuration(back)).toBe(formatDuration(ms));
    }),
    { numRuns: 2000 },
  );
});
