/**
 * Durations as people write them (`"10s"`, `"2d"`) and as programs keep them (whole milliseconds), and back to short
 * text for people.
 */

import { StemmaError } from "./error.ts";

/** Milliseconds, or text such as `"250ms"`, `"10s"`, `"1.5m"`, `"2h"`, `"7d"`, `"1w"`, `"1h30m"`. */
export type Duration = number | string;

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const week = 7 * day;

/** 1000 years of 365.25 days: far beyond any run, and far within what every store can hold as a date. */
const durationMsMax = 1000 * 365.25 * day;

const amount = String.raw`(\d{1,15}(?:\.\d{1,15})?)`;

/** Every unit at most once, from the largest to the smallest, so that `30m1h` or `1h1h`, surely slips, are refused. */
const written = new RegExp(
  `^(?:${amount}w)?(?:${amount}d)?(?:${amount}h)?(?:${amount}m)?(?:${amount}s)?(?:${amount}ms)?$`,
);
const unitsMs = [week, day, hour, minute, second, 1] as const;

/**
 * Whole milliseconds of a duration, 0 to 1000 years; fractions of a millisecond are rounded.
 *
 * @param what names the duration in messages, for example `timeout of step charge`.
 * @throws StemmaError `duration.invalid` with `{ found }` for anything else.
 * @example
 * milliseconds("1h30m"); // 5400000
 * milliseconds(250); // 250
 */
export function milliseconds(duration: Duration, what: string = "duration"): number {
  const exact = typeof duration === "number" ? duration : measure(duration);
  // Written so that NaN fails too. Rounding first would let -0.4 pass, and Math.abs makes -0 to 0.
  if (exact >= 0 && exact <= durationMsMax) return Math.abs(Math.round(exact));
  const found = describe(duration);
  const expected = 'milliseconds as a number, or text such as "250ms", "10s", "5m", "2h", "7d", "1h30m"';
  const message = `${what}: expected ${expected}, from 0 to 1000 years; found ${found}.`;
  throw new StemmaError("duration.invalid", message, { data: { found } });
}

/** A limit of time in milliseconds. One of nothing would let nothing happen. Throws `duration.invalid`. */
export function timeLimit(limit: Duration, what: string): number {
  const ms = milliseconds(limit, what);
  if (ms > 0) return ms;
  throw new StemmaError("duration.invalid", `${what}: expected a time longer than 0 ms; found ${describe(limit)}.`);
}

/** Milliseconds that `text` says; NaN if it says none. */
function measure(text: unknown): number {
  const amounts = typeof text === "string" && text !== "" ? written.exec(text)?.slice(1) : undefined;
  if (amounts === undefined) return Number.NaN;
  return unitsMs.reduce((total, unit, i) => total + Number(amounts[i] ?? 0) * unit, 0);
}

function describe(found: unknown): string {
  if (typeof found === "string") return JSON.stringify(found.length > 100 ? `${found.slice(0, 100)}…` : found);
  return typeof found === "number" ? String(found) : `a value of type ${found === null ? "null" : typeof found}`;
}

/**
 * Short text for people, two units at most, rounded to the smaller one: `80ms`, `12.4s`, `3m 5s`, `1h 20m`, `2d 4h`.
 * For a number that is no length of time, such as NaN, it is `unknown`.
 */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return "unknown";
  if (ms < 0) return Math.round(ms) === 0 ? "0ms" : `-${formatDuration(-ms)}`;
  // Each step asks for the rounded amount, so that 59.96 s becomes 1m and never 60s.
  if (Math.round(ms) < second) return `${Math.round(ms)}ms`;
  const tenths = Math.round(ms / 100);
  if (tenths < 600) return `${tenths / 10}s`;
  const seconds = Math.round(ms / second);
  if (seconds < 3600) return pair(seconds, 60, "m", "s");
  const minutes = Math.round(ms / minute);
  if (minutes < 1440) return pair(minutes, 60, "h", "m");
  return pair(Math.round(ms / hour), 24, "d", "h");
}

function pair(count: number, size: number, large: string, small: string): string {
  const rest = count % size;
  return `${Math.floor(count / size)}${large}${rest === 0 ? "" : ` ${rest}${small}`}`;
}
