import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { isStemmaError } from "../core/error.ts";
import type { Value } from "../core/event.ts";
import type { Json } from "../core/json.ts";
import { canonical, utf8Length } from "../core/json.ts";
import { limits } from "../core/limits.ts";
import { sha256 } from "./hash.ts";
import type { Encoded } from "./value.ts";
import { digestOf, fromValue, textOf, toValue } from "./value.ts";

/** What a body is given: through the event as a store keeps it, and the payload beside it. */
function through({ value, payload }: Encoded): unknown {
  const kept = JSON.parse(JSON.stringify(value)) as Value;
  return fromValue(kept, new Map(payload === undefined ? [] : [[payload.digest, payload.text]]));
}

function refusalOf(call: () => unknown): { code: string; message: string; data: unknown } {
  try {
    call();
  } catch (error) {
    if (isStemmaError(error)) return { code: error.code, message: error.message, data: error.data };
    throw error;
  }
  throw new Error("expected a refusal, nothing was thrown");
}

/** Text whose JSON has exactly this many bytes in UTF-8. */
const ofBytes = (bytes: number): string => "x".repeat(bytes - 2);

describe("what a body is given", () => {
  test.each([
    ["null", null, null],
    ["undefined", undefined, undefined],
    ["false", false, false],
    ["zero", 0, 0],
    ["empty text", "", ""],
    ["an empty list", [], []],
    ["an empty object", {}, {}],
    ["a date", new Date(0), "1970-01-01T00:00:00.000Z"],
    ["a property that is undefined", { a: undefined, b: 1 }, { b: 1 }],
    ["something with toJSON", { toJSON: () => ({ a: 1 }) }, { a: 1 }],
    ["keys that look like indices", { b: 1, 10: 2, 9: 3 }, { 9: 3, 10: 2, b: 1 }],
    [
      "keys that objects have by nature",
      JSON.parse('{"__proto__":1,"constructor":2}'),
      JSON.parse('{"__proto__":1,"constructor":2}'),
    ],
  ] as [string, unknown, unknown][])("for %s is what was recorded of it", (_name, value, given) => {
    expect(through(toValue(value, "value"))).toStrictEqual(given);
  });

  test("property: is equal to the value, whether it is kept in its event or apart", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (made) => {
        const value = JSON.parse(JSON.stringify(made)) as Json;
        const small = toValue(value, "value");
        // The same value, made too large for its event by what stands beside it.
        const large = toValue([value, ofBytes(limits.inlineBytesMax)], "value");
        expect(large.payload).toBeDefined();
        expect(through(small)).toStrictEqual(value);
        expect((through(large) as Json[])[0]).toStrictEqual(value);
        expect(small.text).toBe(canonical(value));
      }),
    );
  });

  test("is a copy each time: neither the body nor whoever made the value can change the record through it", () => {
    for (const size of [1, 2 * limits.inlineBytesMax]) {
      const mine = { list: [ofBytes(size + 2)] };
      const encoded = toValue(mine, "value");
      const texts = new Map(encoded.payload === undefined ? [] : [[encoded.payload.digest, encoded.payload.text]]);
      const first = fromValue(encoded.value, texts) as { list: string[] };
      mine.list.push("mine");
      first.list.push("first");
      expect(fromValue(encoded.value, texts)).toEqual({ list: [ofBytes(size + 2)] });
      expect(encoded.text).toBe(canonical({ list: [ofBytes(size + 2)] }));
    }
  });
});

describe("where a value is kept", () => {
  test.each([
    ["ASCII", ofBytes(limits.inlineBytesMax), true],
    ["ASCII and one byte more", ofBytes(limits.inlineBytesMax + 1), false],
    ["text of three bytes a character", "支".repeat(340), true],
    ["text of three bytes a character, one more", "支".repeat(341), false],
    ["pairs, four bytes each", "😀".repeat(255), true],
    ["pairs, one more", "😀".repeat(256), false],
  ])("is decided by its bytes in UTF-8: %s", (_name, text, inside) => {
    const encoded = toValue(text, "value");
    expect("inline" in encoded.value).toBe(inside);
    expect(encoded.payload === undefined).toBe(inside);
    expect(utf8Length(encoded.text ?? "") <= limits.inlineBytesMax).toBe(inside);
  });

  test("apart, under the digest of its canonical text, with its size", () => {
    const encoded = toValue({ b: ofBytes(2000), a: 1 }, "value");
    const text = `{"a":1,"b":"${ofBytes(2000)}"}`;
    expect(encoded).toEqual({
      text,
      value: { digest: sha256(text), bytes: text.length },
      payload: { digest: sha256(text), text },
    });
  });

  test("undefined is kept as what it is, and is not null", () => {
    expect(toValue(undefined, "value")).toEqual({ text: undefined, value: { undefined: true } });
    expect(toValue(null, "value").value).toEqual({ inline: null });
  });
});

describe("the digest of a value", () => {
  test("is that of its canonical text, wherever it is kept", () => {
    expect(digestOf(toValue({ b: 1, a: [] }, "value"))).toBe(sha256('{"a":[],"b":1}'));
    const large = ofBytes(5000);
    expect(digestOf(toValue(large, "value"))).toBe(sha256(JSON.stringify(large)));
  });

  test("of undefined is one that no JSON has", () => {
    expect(digestOf(toValue(undefined, "value"))).toBe(sha256(""));
    const others = [null, "", [], {}, "undefined", 0, false].map((value) => digestOf(toValue(value, "value")));
    expect(new Set([...others, sha256("")]).size).toBe(others.length + 1);
  });
});

describe("what is refused", () => {
  test("a value larger than the limit, with both sizes; the limit itself is fine", () => {
    expect(toValue(ofBytes(limits.payloadBytesMax), "output of step x").payload).toBeDefined();
    const bytes = limits.payloadBytesMax + 1;
    expect(refusalOf(() => toValue(ofBytes(bytes), "output of step x"))).toEqual({
      code: "payload.too_large",
      message: `Expected output of step x to be at most ${limits.payloadBytesMax} bytes of JSON, got ${bytes}. Keep the data elsewhere and return a reference to it.`,
      data: { bytes, limit: limits.payloadBytesMax },
    });
    // Bytes count, not characters: a third of the characters is already too much here.
    expect(refusalOf(() => toValue("支".repeat(limits.payloadBytesMax / 3 + 1), "x")).code).toBe("payload.too_large");
  });

  test.each([[{ n: 1n }], [{ f: () => 1 }], [{ m: new Map() }], [{ n: Number.NaN }], [{ s: "\ud800" }]])(
    "a value that JSON would change, with what it is called",
    (value) => {
      const refusal = refusalOf(() => toValue(value, "output of step x"));
      expect(refusal.code).toBe("json.not_serializable");
      expect(refusal.message).toContain("output of step x");
      expect(refusal.message).toMatch(/at \$\.\w/);
    },
  );

  test("a value whose text is gone from the store: that is said, not made up", () => {
    const { value } = toValue(ofBytes(5000), "value");
    const refusal = refusalOf(() => fromValue(value, new Map()));
    expect(refusal).toMatchObject({ code: "payload.missing", data: { digest: sha256(JSON.stringify(ofBytes(5000))) } });
    expect(refusal.message).toContain("(5000 bytes)");
    expect(refusalOf(() => textOf(value, new Map([[sha256("other"), "1"]]))).code).toBe("payload.missing");
  });
});
