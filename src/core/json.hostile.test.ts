/** JSON as an attacker would send it: bombs, texts that no number or string can hold exactly, prototype pollution. */

import canonicalize from "canonicalize";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { isStemmaError, type StemmaError } from "./error.ts";
import { canonical, decode, encode, equal, firstDifference, type Json, parse } from "./json.ts";
import { limits } from "./limits.ts";
import { anyText } from "../../test/any-text.ts";

function refusalOf(call: () => unknown): StemmaError {
  try {
    call();
  } catch (error) {
    if (isStemmaError(error)) return error;
    throw error;
  }
  throw new Error("expected a refusal, nothing was thrown");
}

function nested(depth: number, wrap: (inner: unknown) => unknown): unknown {
  let value: unknown = null;
  for (let i = 0; i < depth; i++) value = wrap(value);
  return value;
}

function sparse(length: number): unknown[] {
  return Object.assign([], { length });
}

function zeros(length: number): unknown[] {
  return sparse(length).fill(0);
}

/** The deepest value allowed, in a record around it. */
function deepRecord(): Json {
  return { data: { output: nested(limits.jsonDepthMax, (inner) => [inner]) as Json } };
}

describe("bombs are refused before they cost anything", () => {
  test.each([
    ["arrays", (inner: unknown) => [inner], "[", "]"],
    ["objects", (inner: unknown) => ({ a: inner }), '{"a":', "}"],
  ])("depth: %s up to the limit and no further", (_name, wrap, open, close) => {
    const max = limits.jsonDepthMax;
    const text = open.repeat(max) + "null" + close.repeat(max);
    expect(encode(nested(max, wrap))).toBe(text);
    expect(encode(parse(text))).toBe(text);
    expect(refusalOf(() => encode(nested(max + 1, wrap))).code).toBe("json.too_deep");
    expect(refusalOf(() => parse(open + text + close)).code).toBe("json.too_deep");
    for (const depth of [1000, 5000, 100_000, 5_000_000]) {
      expect(refusalOf(() => parse(open.repeat(depth) + "null" + close.repeat(depth))).code).toBe("json.too_deep");
    }
    const bomb = nested(5_000_000, wrap);
    expect(refusalOf(() => encode(bomb)).code).toBe("json.too_deep");
    expect(refusalOf(() => canonical(bomb as Json)).code).toBe("json.too_deep");
    expect(refusalOf(() => equal(bomb as Json, nested(5_000_000, wrap) as Json)).code).toBe("json.too_deep");
  });

  test("a record of ours around a value of the full depth can be written and compared", () => {
    expect(canonical(deepRecord())).toHaveLength('{"data":{"output":null}}'.length + 2 * limits.jsonDepthMax);
    expect(equal(deepRecord(), deepRecord())).toBe(true);
  });

  test("brackets inside of strings are no nesting", () => {
    const text = `["${"[{".repeat(500)}","\\"${"[".repeat(500)}","\\\\",[]]`;
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  test("sparse arrays of any length", () => {
    const tail = sparse(1e8);
    tail[0] = 1;
    expect(refusalOf(() => encode(sparse(1e8))).data).toEqual({ path: "$[0]", type: "hole" });
    expect(refusalOf(() => encode({ tail })).data).toEqual({ path: "$.tail[1]", type: "hole" });
    expect(refusalOf(() => canonical(tail as Json)).data).toEqual({ path: "$[1]", type: "hole" });
    let listed = false;
    const lying = new Proxy([], {
      get: (array, key) => (key === "length" ? 2 ** 53 : Reflect.get(array, key)),
      ownKeys: (array) => ((listed = true), Reflect.ownKeys(array)),
    });
    expect(refusalOf(() => encode(lying)).data).toEqual({ path: "$[0]", type: "hole" });
    expect(listed, "the length is judged before anything is made of its size").toBe(false);
  });

  test("too many values, in one array, in one object, and by sharing", () => {
    const max = limits.jsonNodesMax;
    expect(refusalOf(() => encode(zeros(max + 1))).code).toBe("payload.too_large");
    expect(encode(zeros(max - 1))).toHaveLength(2 * (max - 1) + 1);
    expect(refusalOf(() => parse(`[${"0,".repeat(max)}0]`)).code).toBe("payload.too_large");
    let shared: unknown = ["x"];
    for (let i = 0; i < 100; i++) shared = [shared, shared];
    expect(refusalOf(() => encode(shared)).code).toBe("payload.too_large");
    const many = Object.fromEntries(Array.from({ length: max }, (_, i) => [`k${i}`, 0]));
    expect(refusalOf(() => encode(many)).code).toBe("payload.too_large");
  });

  test("text that would be longer than any string", () => {
    const block = "x".repeat(1_000_000);
    expect(refusalOf(() => encode(Array.from({ length: 1000 }, () => block))).code).toBe("payload.too_large");
    const wide = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`k${i}`, block]));
    expect(refusalOf(() => canonical({ wide })).code).toBe("payload.too_large");
  });
});

describe("parse takes only what can be kept exactly", () => {
  test.each(["", "{", "[1,]", "{'a':1}", "nul", "01", "+1", "NaN", "[1] 2", "\ufeff1", '"\u0000"', "// x", "]", '"a'])(
    "bad syntax: %j",
    (text) => {
      expect(refusalOf(() => parse(text)).code).toBe("json.invalid");
      expect(refusalOf(() => decode(text)).code).toBe("json.invalid");
    },
  );

  test("a syntax error carries its position", () => {
    const error = refusalOf(() => parse('{"a":1,}', "body of POST /runs"));
    expect(error.data).toEqual({ position: 7 });
    expect(error.message).toContain("body of POST /runs");
  });

  test.each(["9007199254740993", "-9007199254740993", "12345678901234567890", `1${"0".repeat(25)}1`])(
    "the integer %s is refused, wherever it stands",
    (literal) => {
      for (const text of [literal, `{"a":[${literal}]}`, `{"__proto__":${literal}}`]) {
        const error = refusalOf(() => parse(text));
        expect(error.code).toBe("json.invalid");
        expect(error.data).toEqual({ literal });
      }
    },
  );

  test("integers that a number holds exactly, and those that we write ourselves, are taken", () => {
    for (const literal of ["9007199254740991", "-9007199254740991", "9007199254740992", "1152921504606847000"]) {
      expect(parse(`[${literal}]`)).toEqual([Number(literal)]);
    }
  });

  test("literals with a fraction or an exponent mean a double, which must be finite", () => {
    expect(parse("[1e23,1e-400,0.1234567890123456789,12345678901234567.5]")).toEqual([
      1e23, 0, 0.12345678901234568, 12345678901234568,
    ]);
    for (const literal of ["1e400", "-1e309", "9".repeat(400)]) {
      expect(refusalOf(() => parse(`{"a":${literal}}`))).toMatchObject({ code: "json.invalid", data: { path: "$.a" } });
    }
  });

  test("-0 is read as 0, so that every value that was read can be recorded", () => {
    for (const text of ["-0", "-0.0", "-1e-400", "[-0]", '{"a":{"__proto__":-0}}']) {
      const value = parse(text);
      expect(encode(value)).toBe(canonical(value));
    }
  });

  test.each(['"\\ud800"', '{"a":["\\udc00\\ud800"]}', '{"\\uDBFF":1}', '"\ud800"'])("lone surrogate: %j", (text) => {
    expect(refusalOf(() => parse(text)).code).toBe("json.invalid");
  });

  test("whole pairs are taken, escaped or not", () => {
    expect(parse('["\\ud83d\\ude00","😀"]')).toEqual(["😀", "😀"]);
  });

  test("the size limit counts bytes, not characters", () => {
    const max = limits.payloadBytesMax;
    expect(parse(`"${"x".repeat(max - 2)}"`)).toHaveLength(max - 2);
    expect(refusalOf(() => parse(`"${"x".repeat(max - 1)}"`)).code).toBe("payload.too_large");
    expect(refusalOf(() => parse(`"${"€".repeat(Math.ceil(max / 3))}"`)).code).toBe("payload.too_large");
    expect(parse(`"${"€".repeat(Math.floor((max - 2) / 3))}"`)).toHaveLength(Math.floor((max - 2) / 3));
  });

  test("property: any text gives a value that can be written, or a coded error", () => {
    const piece = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ":",
      ",",
      '"a"',
      '"\\ud800"',
      "1",
      "-0",
      "1e999",
      "null",
      " ",
      "\\",
      '"',
    );
    const text = fc.oneof(
      anyText,
      fc.array(piece, { maxLength: 12 }).map((all) => all.join("")),
    );
    fc.assert(
      fc.property(text, (candidate) => {
        try {
          return typeof encode(parse(candidate)) === "string";
        } catch (error) {
          return isStemmaError(error, "json.invalid");
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe("no value changes a prototype", () => {
  const corpus = [
    '{"__proto__":{"polluted":1}}',
    '{"__proto__":null}',
    '{"__proto__":[1,-0]}',
    '{"a":{"__proto__":{"polluted":1,"b":-0}}}',
    '[{"__proto__":{"polluted":1}},{"__proto__":{"polluted":1}}]',
    '{"constructor":{"prototype":{"polluted":1}}}',
    '{"prototype":{"polluted":1},"toString":1,"hasOwnProperty":1,"valueOf":-0}',
    '{"__defineGetter__":1,"__lookupSetter__":{"polluted":1}}',
    '{"\\u005f_proto__":{"polluted":9007199254740992}}',
  ];
  test.each(corpus)("%s", (text) => {
    const before = Reflect.ownKeys(Object.prototype);
    for (const value of [parse(text), decode(text)]) {
      const again = decode(canonical(value));
      expect(canonical(again)).toBe(canonicalize(JSON.parse(text)));
      expect(Object.getPrototypeOf(again)).toBe(Array.isArray(again) ? Array.prototype : Object.prototype);
      expect(equal(value, again)).toBe(true);
      expect(firstDifference(value, {})).toBeDefined();
    }
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    expect(Reflect.ownKeys(Object.prototype)).toEqual(before);
  });
});

test("a class with the name of what every object inherits is refused like any other", () => {
  const Named = Object.defineProperty(
    class {
      readonly data = 1;
    },
    "name",
    { value: "toString" },
  );
  expect(() => encode(new Named())).toThrow(/use a plain object, or give the class a toJSON/);
});
