import fc from "fast-check";
import { expect, test } from "vitest";
import { cut, widthOf, wrap } from "./width.ts";

test("width counts places, not code units", () => {
  expect(["abc", "日本", "👩", "e\u0301", ""].map(widthOf)).toEqual([3, 4, 2, 1, 0]);
});

test("what is cut says that it is, and keeps characters whole", () => {
  expect(cut("abcdef", 6)).toBe("abcdef");
  expect(cut("abcdefg", 6)).toBe("abcde…");
  expect(cut("日本語", 5)).toBe("日本…");
  expect(cut("日本語", 4)).toBe("日…");
  expect(cut("ab👩", 3)).toBe("ab…");
});

test("text is wrapped between words, and a word that is too long is broken", () => {
  expect(wrap("one two three", 7)).toEqual(["one two", "three"]);
  expect(wrap("a run_0123456789", 8)).toEqual(["a", "run_0123", "456789"]);
  expect(wrap("", 8)).toEqual([""]);
});

test("nothing is lost by wrapping, and no line is longer than it may be", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", " ", "日", "é", "👩") }),
      fc.integer({ min: 2, max: 9 }),
      (text, places) => {
        const lines = wrap(text, places);
        for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(places);
        expect(lines.join("").replaceAll(" ", "")).toBe(text.replaceAll(" ", ""));
        expect(widthOf(cut(text, places))).toBeLessThanOrEqual(places);
      },
    ),
  );
});
