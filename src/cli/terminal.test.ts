import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { jsonText, shellWord, shorten, visible } from "./terminal.ts";
import { anyCharacter, anyText } from "../../test/any-text.ts";

describe("terminal", () => {
  test("no text can steer a terminal: escapes, controls and direction marks are spelled out", () => {
    expect(visible("\u001b[31mred\u001b[0m")).toBe(String.raw`\u001b[31mred\u001b[0m`);
    expect(visible("a\nb\rc\td")).toBe(String.raw`a\nb\rc\td`);
    expect(visible("\u009b2J \u202egpj.exe \ufeff \u2028")).toBe(String.raw`\u009b2J \u202egpj.exe \ufeff \u2028`);
    expect(visible("\u{e0041}")).toBe(String.raw`\udb40\udc41`);
    expect(visible("\ud800")).toBe(String.raw`\ud800`);
  });

  test("ordinary text of all scripts is left as it is", () => {
    const text = "naïve 日本語 العربية 👩‍👩‍👧 ☑ a\u200cb — 'x' \"y\" \\n";
    expect(visible(text)).toBe(text);
  });

  test("whatever is made visible is one line without controls, and making it visible again changes nothing", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const shown = visible(text);
        expect(shown).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u202a-\u202e\u2066-\u2069]/u);
        expect(visible(shown)).toBe(shown);
      }),
    );
  });

  test("JSON that is made safe for a terminal is still the same value", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: anyCharacter }), (value) => {
        const text = jsonText(value, 2);
        expect(text).not.toMatch(/(?!\n)[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e]/u);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test("a shortened text says that it is, and keeps characters whole", () => {
    expect(shorten("abcdef", 6)).toBe("abcdef");
    expect(shorten("abcdefg", 6)).toBe("abcde…");
    expect(shorten("abcd👩fgh", 6)).toBe("abcd…");
  });

  test("words for a shell are quoted where they have to be", () => {
    expect(shellWord("stemma.db")).toBe("stemma.db");
    expect(shellWord("it's here; rm")).toBe(String.raw`'it'\''s here; rm'`);
  });
});
