import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { isStemmaError } from "./error.ts";
import { limits } from "./limits.ts";
import { checkId, checkName, checkTags } from "./name.ts";
import { anyText } from "../../test/any-text.ts";

function refusalOf(call: () => unknown): { message: string; found: unknown } {
  try {
    call();
  } catch (error) {
    if (isStemmaError(error, "name.invalid")) return { message: error.message, found: error.data["found"] };
    throw error;
  }
  throw new Error("expected a refusal, nothing was thrown");
}

const accepted = (candidate: string): string | undefined => {
  try {
    return checkName(candidate, "name");
  } catch (error) {
    if (isStemmaError(error, "name.invalid") && error.message.isWellFormed()) return undefined;
    throw error;
  }
};

const notNames: [name: string, value: unknown, found: string][] = [
  ["undefined", undefined, "a value of type undefined"],
  ["null", null, "null"],
  ["a number", 1, "a value of type number"],
  ["a symbol", Symbol("x"), "a value of type symbol"],
  ["an object that turns into text", { toString: () => "charge" }, "a value of type object"],
  ["boxed text", Object("charge"), "a value of type object"],
  ["empty text", "", "empty text"],
  ["NUL", "a\u0000", 'the control character U+0000 in "a\\u0000"'],
  ["a line break", "a\nb", 'the control character U+000A in "a\\nb"'],
  ["an escape sequence of terminals", "\u001b[31m", 'the control character U+001B in "\\u001b[31m"'],
  ["DEL", "a\u007f", 'the control character U+007F in "aU+007F"'],
  ["a C1 control", "\u0085", 'the control character U+0085 in "U+0085"'],
  ["a line separator", "\u2028", 'the control character U+2028 in "U+2028"'],
  ["a high surrogate alone", "a\ud83d", 'one half of a surrogate pair in "a\\ud83d"'],
  ["a low surrogate alone", "\ude00a", 'one half of a surrogate pair in "\\ude00a"'],
];

describe("neither a name nor an id", () => {
  test.each(notNames)("%s", (_name, value, found) => {
    for (const check of [checkName, checkId]) {
      const refusal = refusalOf(() => check(value, "name of a step"));
      expect(refusal.found).toBe(found);
      expect(refusal.message).toMatch(
        /^name of a step: expected text of 1 to \d+ characters without control characters/,
      );
      expect(refusal.message).toContain(`found ${found}.`);
    }
  });

  test.each([
    [checkName, limits.nameCharsMax],
    [checkId, limits.idCharsMax],
  ])("more than the limit, which itself is fine", (check, max) => {
    expect(check("x".repeat(max), "name")).toHaveLength(max);
    const refusal = refusalOf(() => check("x".repeat(max + 1), "name"));
    expect(refusal.found).toContain(`${max + 1} characters`);
    expect(refusalOf(() => check("\u0000".repeat(10_000_000), "name")).message.length).toBeLessThan(700);
  });
});

test.each([
  ["a/b", "/"],
  ["/", "/"],
  ["charge#2", "#"],
  ["a|b", "|"],
  ["a::b", "::"],
  ["a:::", "::"],
])("a name must not contain what keys and trace ids are joined with, an id may: %s", (text, joint) => {
  expect(refusalOf(() => checkName(text, "name of a step")).found).toBe(`"${joint}" in "${text}"`);
  expect(checkId(text, "idempotencyKey")).toBe(text);
});

test.each([
  "a",
  "charge card",
  "node.function",
  "größe",
  "支払い",
  "😀",
  "a:b",
  "x-1_2",
  "__proto__",
  "constructor",
  " ",
  "$",
  "{}",
])("a name comes back as it is: %s", (name) => {
  expect(checkName(name, "name")).toBe(name);
  expect(checkId(name, "id")).toBe(name);
});

test("property: what is accepted can be joined and split again, and fits into one line of well-formed text", () => {
  const text = fc.oneof(
    anyText,
    fc.string(),
    fc
      .array(fc.constantFrom("a", ":", "|", "/", "#", "\u0000", "\ud800", "é"), { maxLength: 5 })
      .map((all) => all.join("")),
  );
  fc.assert(
    fc.property(text, text, (a, b) => {
      const [left, right] = [accepted(a), accepted(b)];
      if (left === undefined || right === undefined) return;
      for (const joint of ["/", "#", "|"]) expect(`${left}${joint}${right}`.split(joint)).toEqual([a, b]);
      expect(`${left}${right}`.isWellFormed()).toBe(true);
      expect(`${left}${right}`).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
      expect(checkId(left, "id")).toBe(a);
    }),
    { numRuns: 2000 },
  );
});

test("tags are names, each once, and not more than a run may have", () => {
  expect(checkTags(["eu", "nightly", "eu"])).toEqual(["eu", "nightly"]);
  expect(checkTags([])).toEqual([]);
  const all = Array.from({ length: limits.tagsMax }, (_, i) => `t${i}`);
  expect(checkTags(all)).toEqual(all);
  for (const tags of [undefined, null, "eu", { 0: "eu", length: 1 }, [1], ["a/b"], new Set(["eu"])]) {
    expect(() => checkTags(tags)).toThrow(expect.objectContaining({ code: "name.invalid" }));
  }
  expect(() => checkTags([...all, "more"])).toThrow(expect.objectContaining({ code: "limit.exceeded" }));
});
