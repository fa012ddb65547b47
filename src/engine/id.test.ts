import { describe, expect, test } from "vitest";

import { isStemmaError } from "../core/error.ts";
import { checkRunId, newRunId } from "./id.ts";

/** Crockford's base32 back to 32 hexadecimal digits, by his table and not by the code under test. */
function hexOf(id: string): string {
  const digits = "0123456789abcdefghjkmnpqrstvwxyz";
  let value = 0n;
  for (const digit of id.slice("run_".length)) value = value * 32n + BigInt(digits.indexOf(digit));
  return value.toString(16).padStart(32, "0");
}

// Far behind every time of day, so that no other id of this process is near it.
let time = 5_000_000_000_000;
const later = (): number => (time += 1000);

describe("a new run id", () => {
  test("is run_ and 26 characters of Crockford's base32: no i, l, o, u, and nothing in capitals", () => {
    for (let i = 0; i < 1000; i += 1) expect(newRunId(later())).toMatch(/^run_[0-7][0-9abcdefghjkmnpqrstvwxyz]{25}$/);
  });

  test("is a UUIDv7 of its time: 48 bits of milliseconds, version 7, variant of RFC 9562", () => {
    const now = later();
    const hex = hexOf(newRunId(now));
    expect(Number.parseInt(hex.slice(0, 12), 16)).toBe(now);
    expect(hex[12]).toBe("7");
    expect("89ab").toContain(hex[16]);
  });

  test("sorts behind those of earlier milliseconds", () => {
    const ids = Array.from({ length: 2000 }, () => newRunId((time += 1)));
    expect(ids.toSorted()).toEqual(ids);
  });

  test("sorts behind those made before it in the same millisecond, however many they are", () => {
    const now = later();
    // More than the 4096 that the counter has room for in the worst case.
    const ids = Array.from({ length: 10_000 }, () => newRunId(now));
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
    time += 10;
    expect(newRunId(time) > (ids.at(-1) as string)).toBe(true);
  });

  test("sorts behind those made before it when the clock goes back", () => {
    const before = newRunId(later());
    expect(newRunId(time - 60_000) > before).toBe(true);
  });

  test("is not made twice: 100,000 of them, a thousand in each millisecond", () => {
    const ids = new Set<string>();
    for (let i = 0; i < 100_000; i += 1) ids.add(newRunId(time + Math.floor(i / 1000)));
    later();
    expect(ids.size).toBe(100_000);
  });

  test("has 62 random bits that counting does not use up", () => {
    const now = later();
    const tails = new Set(Array.from({ length: 1000 }, () => hexOf(newRunId(now)).slice(16)));
    expect(tails.size).toBe(1000);
  });
});

describe("checkRunId", () => {
  test("returns ids as they are", () => {
    const id = newRunId(later());
    expect(checkRunId(id)).toBe(id);
    expect(checkRunId("run_7zzzzzzzzzzzzzzzzzzzzzzzzz")).toBe("run_7zzzzzzzzzzzzzzzzzzzzzzzzz");
  });

  const good = "01m2p3q4r5s6t7v8w9x0y1z2a3";

  test.each([
    ["nothing", ""],
    ["a bare id", good],
    ["another kind of id", `w_${good}`],
    ["a short one", `run_${good.slice(1)}`],
    ["a long one", `run_${good}0`],
    ["capitals", `run_${good.toUpperCase()}`],
    ["a digit that base32 does not have", `run_${good.slice(1)}u`],
    ["more than 128 bits", `run_8${good.slice(1)}`],
    ["a line break behind it", `run_${good}\n`],
    ["space around it", ` run_${good}`],
    ["a path", `run_${good}/../x`],
    ["a megabyte", "run_".repeat(250_000)],
    ["one half of a surrogate pair", "\ud83d"],
    ["undefined", undefined],
    ["null", null],
    ["a number", 17],
    ["a symbol", Symbol("run")],
    ["a list of one id", [`run_${good}`]],
    ["an object that cannot be shown", Object.create(null)],
    ["an object that turns into an id", { toString: () => `run_${good}` }],
  ] as [string, unknown][])("refuses %s, in a message that is short and well-formed", (_name, id) => {
    let refusal: unknown;
    try {
      checkRunId(id as string);
    } catch (error) {
      refusal = error;
    }
    expect(isStemmaError(refusal, "run.invalid_id")).toBe(true);
    const { message } = refusal as Error;
    expect(message).toMatch(/^Expected the id of a run \(run_ and 26 characters\), got .+\.$/u);
    expect(message.length).toBeLessThan(200);
    expect(message.isWellFormed()).toBe(true);
  });
});
