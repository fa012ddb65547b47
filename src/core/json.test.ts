import { runInNewContext } from "node:vm";

import canonicalize from "canonicalize";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { isStemmaError, type StemmaError } from "./error.ts";
import { canonical, decode, encode, equal, firstDifference, type Json, parse, utf8Length } from "./json.ts";
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

/** A double from the hexadecimal digits of its bits, as in the table of RFC 8785, appendix B. */
function double(bits: string): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(`0x${bits}`));
  return view.getFloat64(0);
}

function nested(depth: number, wrap: (inner: unknown) => unknown): unknown {
  let value: unknown = null;
  for (let i = 0; i < depth; i++) value = wrap(value);
  return value;
}

function sparse(length: number): unknown[] {
  return Object.assign([], { length });
}

const wellFormed = anyText;
const anyDouble = fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => (x === 0 ? 0 : x));
const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    anyDouble,
    fc.integer(),
    wellFormed,
    fc.array(tie("json"), { maxLength: 8 }),
    fc.dictionary(fc.oneof(wellFormed, fc.constantFrom("__proto__", "constructor", "10", "9", "")), tie("json"), {
      maxKeys: 40,
      noNullPrototype: true,
    }),
  ),
}));

describe("canonical text is that of RFC 8785", () => {
  test.each([
    ["0000000000000000", "0"],
    ["0000000000000001", "5e-324"],
    ["8000000000000001", "-5e-324"],
    ["7fefffffffffffff", "1.7976931348623157e+308"],
    ["ffefffffffffffff", "-1.7976931348623157e+308"],
    ["4340000000000000", "9007199254740992"],
    ["c340000000000000", "-9007199254740992"],
    ["4430000000000000", "295147905179352830000"],
    ["44b52d02c7e14af5", "9.999999999999997e+22"],
    ["44b52d02c7e14af6", "1e+23"],
    ["44b52d02c7e14af7", "1.0000000000000001e+23"],
    ["444b1ae4d6e2ef4e", "999999999999999700000"],
    ["444b1ae4d6e2ef4f", "999999999999999900000"],
    ["444b1ae4d6e2ef50", "1e+21"],
    ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"],
    ["3eb0c6f7a0b5ed8d", "0.000001"],
    ["41b3de4355555553", "333333333.3333332"],
    ["41b3de4355555554", "333333333.33333325"],
    ["41b3de4355555555", "333333333.3333333"],
    ["41b3de4355555556", "333333333.3333334"],
    ["41b3de4355555557", "333333333.33333343"],
    ["becbf647612f3696", "-0.0000033333333333333333"],
    ["43143ff3c1cb0959", "1424953923781206.2"],
  ])("the double %s is written %s", (bits, text) => {
    expect(encode(double(bits))).toBe(text);
    expect(canonical(double(bits))).toBe(text);
    expect(parse(text)).toBe(double(bits));
  });

  test.each([
    ["7fffffffffffffff", "NaN"],
    ["7ff0000000000000", "Infinity"],
    ["fff0000000000000", "-Infinity"],
    ["8000000000000000", "-0"],
  ])("the double %s is refused as %s", (bits, type) => {
    expect(refusalOf(() => encode(double(bits)))).toMatchObject({
      code: "json.not_serializable",
      data: { path: "$", type },
    });
  });

  test("-0 of a value that is known to be JSON is written 0", () => {
    expect(canonical([-0, { a: -0 }])).toBe('[0,{"a":0}]');
  });

  const cases: [string, Json, string][] = [
    ["arrays", [56, { d: true, "10": null, "1": [] }], '[56,{"1":[],"10":null,"d":true}]'],
    ["french", { sin: 4, pêche: 3, péché: 2, peach: 1 }, '{"peach":1,"péché":2,"pêche":3,"sin":4}'],
    ["structures", { "1": { f: {}, F: 5 }, "": "e", a: {}, "111": [] }, '{"":"e","1":{"F":5,"f":{}},"111":[],"a":{}}'],
    ["unicode", { "not normalized": "A\u030a" }, '{"not normalized":"A\u030a"}'],
    [
      "values",
      { numbers: [333333333.3333333, 1e30, 4.5, 2e-3, 0.000000000000000000000000001], literals: [null, true, false] },
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}',
    ],
    ["string", '\u20ac$\u000f\nA\'B"\\\\"/\u007f\u2028', '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\u007f\u2028"'],
    ["controls", "\b\t\n\f\r\u0000\u001f", '"\\b\\t\\n\\f\\r\\u0000\\u001f"'],
    [
      "weird",
      { "\u20ac": 5, "\r": 1, "\ufb33": 7, "1": 2, "\u{1f600}": 6, "\u0080": 3, "\u00f6": 4 },
      '{"\\r":1,"1":2,"\u0080":3,"\u00f6":4,"\u20ac":5,"\u{1f600}":6,"\ufb33":7}',
    ],
  ];
  test.each(cases)("example: %s", (_name, value, text) => {
    expect(encode(value)).toBe(text);
    expect(canonical(value)).toBe(text);
    expect(decode(text)).toEqual(value);
  });

  test("property: an independent implementation writes the same", () => {
    fc.assert(
      fc.property(json, (value) => encode(value) === canonicalize(value)),
      { numRuns: 2000 },
    );
  });

  test("property: what is written is read back equal, and is written the same again", () => {
    fc.assert(
      fc.property(json, (value) => {
        const text = encode(value) as string;
        expect(decode(text)).toEqual(value);
        expect(encode(decode(text))).toBe(text);
        expect(canonical(value)).toBe(text);
        expect(encode(parse(text))).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  test("the order in which keys were added does not matter, whatever their number", () => {
    for (const count of [2, 24, 25, 300]) {
      const keys = Array.from({ length: count }, (_, i) => `k${(i * 7919) % 1000}`);
      const forward = Object.fromEntries(keys.map((key) => [key, 1]));
      const backward = Object.fromEntries(keys.toReversed().map((key) => [key, 1]));
      const text = `{${Object.keys(forward)
        .toSorted()
        .map((key) => `"${key}":1`)
        .join(",")}}`;
      expect(encode(forward)).toBe(text);
      expect(encode(backward)).toBe(text);
    }
  });
});

describe("encode keeps what JSON keeps", () => {
  test("undefined is a value, and a property that is undefined is left out", () => {
    expect(encode(undefined)).toBeUndefined();
    expect(encode({ a: undefined, b: 1, c: undefined })).toBe('{"b":1}');
    expect(encode({ a: undefined })).toBe("{}");
  });

  test("toJSON is honoured as by JSON.stringify, with the key, once", () => {
    const keys: string[] = [];
    const spy = { toJSON: (key: string) => (keys.push(key), { at: key, toJSON: undefined }) };
    const value = { when: new Date(0), list: [spy], spy, none: { toJSON: () => undefined } };
    expect(encode(value)).toBe('{"list":[{"at":"0"}],"spy":{"at":"spy"},"when":"1970-01-01T00:00:00.000Z"}');
    expect(encode(spy)).toBe('{"at":""}');
    expect(keys).toEqual(["0", "spy", ""]);
    expect(encode({ toJSON: () => undefined })).toBeUndefined();
    expect(encode(new URL("https://example.org/a"))).toBe('"https://example.org/a"');
  });

  test("null prototypes, frozen values, accessors and hidden properties are fine", () => {
    expect(encode(Object.assign(Object.create(null), { a: 1 }))).toBe('{"a":1}');
    expect(encode(Object.freeze([Object.freeze({ a: 1 })]))).toBe('[{"a":1}]');
    const hidden = Object.defineProperties({ a: 1 }, { b: { value: () => 1 }, [Symbol("tag")]: { value: 1 } });
    expect(encode(hidden)).toBe('{"a":1}');
    let reads = 0;
    const counted = {
      get a() {
        return ++reads;
      },
    };
    expect(encode(counted)).toBe('{"a":1}');
    expect(reads).toBe(1);
  });

  test("one object in two places is no cycle", () => {
    const shared = { a: [1] };
    expect(encode([shared, { shared }, shared.a])).toBe('[{"a":[1]},{"shared":{"a":[1]}},[1]]');
  });

  test("plain objects and arrays of another realm are plain", () => {
    expect(encode(runInNewContext('({ b: [1, { c: "x" }], a: new Date(0) })'))).toBe(
      '{"a":"1970-01-01T00:00:00.000Z","b":[1,{"c":"x"}]}',
    );
    expect(refusalOf(() => encode({ m: runInNewContext("new Map()") })).data).toEqual({ path: "$.m", type: "Map" });
  });
});

class Order {
  id = 1;
}
class List extends Array<number> {}
const withProperty = Object.assign([1, 2], { total: 3 });
// oxlint-disable-next-line no-sparse-arrays -- the hole is what is tested
const withHole = [1, , 3];
// oxlint-disable-next-line no-sparse-arrays -- the property makes up for the hole in the count of keys
const withBoth = Object.assign([1, , 3], { total: 3 });

describe("encode refuses what JSON would lose, with its path", () => {
  const refused: [type: string, value: unknown, path?: string][] = [
    ["NaN", Number.NaN],
    ["Infinity", Number.POSITIVE_INFINITY],
    ["-Infinity", Number.NEGATIVE_INFINITY],
    ["-0", -0],
    ["bigint", 1n],
    ["symbol", Symbol("x")],
    ["function", () => 1],
    ["function", Order],
    ["hole", withHole, "[1]"],
    ["hole", withBoth, "[1]"],
    ["hole", sparse(3), "[0]"],
    ["undefined", [1, undefined], "[1]"],
    ["undefined", [{ toJSON: () => undefined }], "[0]"],
    ["property of an array", withProperty, ".total"],
    ["property of an array", Object.assign([], { total: 3 }), ".total"],
    ["symbol key", { [Symbol("x")]: 1 }, '["Symbol(x)"]'],
    ["symbol key", Object.assign([], { [Symbol("x")]: 1 }), '["Symbol(x)"]'],
    ["Map", new Map([[1, 2]])],
    ["Set", new Set([1])],
    ["WeakMap", new WeakMap()],
    ["Error", new TypeError("x")],
    ["RegExp", /x/],
    ["Promise", Promise.resolve(1)],
    ["Uint8Array", new Uint8Array(2)],
    ["ArrayBuffer", new ArrayBuffer(2)],
    ["Number", Object(1)],
    ["String", Object("x")],
    ["Boolean", Object(true)],
    ["BigInt", Object(1n)],
    ["Order", new Order()],
    ["List", List.from([1])],
    ["invalid Date", new Date(Number.NaN)],
    ["lone surrogate", "a\ud800b"],
    ["lone surrogate", "\udc00\ud800"],
    ["lone surrogate", { "a\udfff": 1 }, '["a\\udfff"]'],
  ];

  test.each(refused)("%s", (type, value, path = "") => {
    for (const [holder, at] of [
      [value, "$"],
      [{ items: [0, { price: value }] }, "$.items[1].price"],
      [{ before: { deep: { er: [1] } }, "na me": value }, '$["na me"]'],
    ] as const) {
      const error = refusalOf(() => encode(holder, "output of step charge"));
      expect(error.code).toBe("json.not_serializable");
      expect(error.data).toEqual({ path: at + path, type });
      expect(error.message).toContain("output of step charge: expected a JSON value, found ");
      expect(error.message).toContain(` at ${at + path}; `);
    }
  });

  test("a cycle is named with both of its ends, also below branches that are deep themselves", () => {
    const order: Record<string, unknown> = { a: nested(150, (inner) => [inner]) };
    order["customer"] = { orders: [order] };
    expect(refusalOf(() => encode(order)).data).toEqual({ path: "$.customer.orders[0]", type: "cycle" });
    const inner = refusalOf(() => encode({ x: [order] }));
    expect(inner.data).toEqual({ path: "$.x[0].customer.orders[0]", type: "cycle" });
    expect(inner.message).toContain("the object at $.x[0] again");
    const list: unknown[] = [];
    list.push(list);
    expect(refusalOf(() => encode(list)).data).toEqual({ path: "$[0]", type: "cycle" });
  });

  const thrown = new Error("from the value");
  const fails = (): never => {
    throw thrown;
  };
  const traps = ["get", "ownKeys", "getPrototypeOf", "getOwnPropertyDescriptor"] as const;
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const throwing: [string, unknown, string][] = [
    [
      "getter",
      {
        get b() {
          return fails();
        },
      },
      "$.a.b",
    ],
    ["toJSON", { toJSON: fails }, "$.a"],
    [
      "getter for toJSON",
      {
        get toJSON() {
          return fails();
        },
      },
      "$.a",
    ],
    ...traps.map((trap): [string, unknown, string] => [`trap ${trap}`, new Proxy({ b: 1 }, { [trap]: fails }), "$.a"]),
    [
      "array trap",
      new Proxy([1], { get: (array, key) => (key === "0" ? fails() : Reflect.get(array, key)) }),
      "$.a[0]",
    ],
  ];
  test.each(throwing)("code of the value that throws: %s", (_name, value, path) => {
    const error = refusalOf(() => encode({ "0": { long: ["stale", "path"] }, a: value }));
    expect(error).toMatchObject({ code: "json.not_serializable", cause: thrown });
    expect(error.data).toEqual({ path, type: "code that throws" });
  });

  test("code of the value that throws what cannot even be shown", () => {
    for (const odd of [undefined, null, Object.create(null), { toString: fails }, Symbol("x")]) {
      const value = {
        get a() {
          throw odd;
        },
      };
      expect(refusalOf(() => encode(value)).data).toEqual({ path: "$.a", type: "code that throws" });
    }
    expect(refusalOf(() => encode(revoked.proxy)).data).toEqual({ path: "$", type: "code that throws" });
  });

  test("a toJSON without end and an encode within a toJSON end in a coded error", () => {
    const endless = { toJSON: (): unknown => encode(endless) };
    expect(refusalOf(() => encode(endless)).code).toBe("json.not_serializable");
    const growing = { toJSON: (): unknown => ({ growing }) };
    expect(refusalOf(() => encode(growing)).code).toBe("json.too_deep");
    const inner = { toJSON: () => encode({ price: Number.NaN }) };
    const error = refusalOf(() => encode({ inner }));
    expect(error.data["path"]).toBe("$.inner");
    expect(isStemmaError(error.cause, "json.not_serializable")).toBe(true);
  });

  test("property: whatever the value, the answer is a text that reads back or a coded refusal", () => {
    const anything = fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withObjectString: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true,
    });
    fc.assert(
      fc.property(anything, (value) => {
        let text: string | undefined;
        try {
          text = encode(value);
        } catch (error) {
          return isStemmaError(error, "json.not_serializable");
        }
        return text === undefined ? value === undefined : text === canonicalize(JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("comparing", () => {
  const own = JSON.parse('{"__proto__":{}}') as Json;
  test.each<[Json | undefined, Json | undefined, string | undefined]>([
    [undefined, undefined, undefined],
    [undefined, null, "$"],
    [null, {}, "$"],
    [[], {}, "$"],
    [1, "1", "$"],
    [0, -0, undefined],
    [{ a: 1, b: 2 }, { b: 2, a: 1 }, undefined],
    [{ b: 1, a: [1, 2] }, { b: 2, a: [1, 3] }, "$.a[1]"],
    [[1, 2, 3], [1, 2], "$[2]"],
    [{ a: { "x y": 1 } }, { a: {} }, '$.a["x y"]'],
    [{}, own, "$.__proto__"],
    [{}, { toString: 1 }, "$.toString"],
    [{ a: null }, {}, "$.a"],
    [{ items: [{ price: 1 }] }, { items: [{ price: 2 }] }, "$.items[0].price"],
  ])("%j and %j first differ at %s", (a, b, path) => {
    expect(firstDifference(a, b)).toBe(path);
    expect(firstDifference(b, a)).toBe(path);
    if (a !== undefined && b !== undefined) expect(equal(a, b)).toBe(path === undefined);
  });

  test("property: values are equal exactly if their canonical texts are", () => {
    fc.assert(
      fc.property(json, json, fc.boolean(), (a, other, same) => {
        const b = same ? decode(canonical(a)) : other;
        expect(equal(a, b)).toBe(canonical(a) === canonical(b));
      }),
    );
  });
});

test.each([
  "",
  "\u007f",
  "\u0080",
  "\u07ff",
  "\u0800",
  "\ud7ff",
  "\ue000",
  "\uffff",
  "\u{10000}",
  "\u{10ffff}",
  "\ud800a",
])("utf8Length at the edges of its ranges: %j", (text) => {
  expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length);
});

test("property: utf8Length counts the bytes that an encoder writes, lone surrogates included", () => {
  const text = fc.oneof(
    wellFormed,
    fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  );
  fc.assert(
    fc.property(text, (t) => utf8Length(t) === new TextEncoder().encode(t).length),
    { numRuns: 2000 },
  );
});
