/** States stored as what changed: what is read back is what was given, and what is stored is bounded by what is new. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sha256 } from "../engine/hash.ts";
import type { Digest, StateTree } from "./event.ts";
import { encode, utf8Length } from "./json.ts";
import type { Json } from "./json.ts";
import { checkForm, partsOf, rowText, stateForm, stateText } from "./state.ts";
import { cutState } from "./state-cut.ts";

/** A store of payloads, written by one run: it gives what each state costs, and every state back. */
function writer() {
  const texts = new Map<Digest, string>();
  let known: ReadonlySet<Digest> = new Set();
  return {
    texts,
    write(state: unknown) {
      const text = encode(state) ?? "";
      const { root, pieces, added } = cutState(sha256, text, known);
      // What is taken for known must be there, or nobody could read this state.
      for (const piece of added) {
        texts.set(piece.digest, piece.text);
        // Half a surrogate pair would not come back from a store.
        if (!piece.text.isWellFormed()) expect.fail("a pair was cut");
      }
      if (![...pieces].every((piece) => texts.has(piece))) expect.fail("a piece is known that is not there");
      known = pieces;
      const tree: StateTree = { tree: stateForm, digest: root, bytes: utf8Length(text) };
      return { tree, text, bytes: added.reduce((sum, piece) => sum + utf8Length(piece.text), 0), rows: added.length };
    },
    read: (tree: StateTree) => stateText(tree, (digest) => texts.get(digest) ?? expect.fail(`${digest} is not there`)),
  };
}

/** Pseudo-random text of a length, other for each number. */
function noise(n: number, chars: number): string {
  let text = "";
  for (let i = 0; text.length < chars; i += 1) text += sha256(`${n} ${i}`);
  return text.slice(0, chars);
}

const hostileKeys = fc.constantFrom("__proto__", "constructor", "toString", '"', "\\", ",", "]}", "\n", "", "é🧬");
const keys = fc.oneof(hostileKeys, fc.string({ maxLength: 8, unit: "grapheme" }));
const texts = fc.oneof(
  fc.string({ maxLength: 30, unit: "grapheme" }),
  fc.tuple(fc.nat(5000), fc.nat(9)).map(([chars, n]) => noise(n, chars)),
  fc
    .tuple(fc.constantFrom('"', "\\", '\\"', "🧬", "\u0001", "é", "]", "\ud7ff"), fc.nat(3000))
    .map(([unit, n]) => unit.repeat(n)),
);
const { value } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.oneof(fc.integer(), fc.boolean(), fc.constant(null), texts) as fc.Arbitrary<Json>,
    fc.array(tie("value"), { maxLength: 30 }) as fc.Arbitrary<Json>,
    fc.dictionary(keys, tie("value"), { maxKeys: 30, noNullPrototype: true }) as fc.Arbitrary<Json>,
  ),
}));

type Change = { at: number; what: "append" | "put" | "remove" | "replace"; key: string; value: Json };
const change: fc.Arbitrary<Change> = fc.record({
  at: fc.nat(),
  what: fc.constantFrom("append", "put", "remove", "replace"),
  key: keys,
  value,
});

/** Changes one place of a state, wherever it may be. */
function changed(state: Json, edit: Change): Json {
  const { at, what, key, value: put } = edit;
  if (what === "replace" || typeof state !== "object" || state === null) {
    return typeof state === "string" && what === "append" ? state + (typeof put === "string" ? put : "x") : put;
  }
  if (Array.isArray(state)) {
    if (what === "append" || state.length === 0) return [...state, put];
    const place = at % state.length;
    if (what === "remove") return state.toSpliced(place, 1);
    return state.with(place, changed(state[place] as Json, { ...edit, at: Math.floor(at / state.length) }));
  }
  const own = Object.entries(state);
  const place = own.length === 0 ? 0 : at % own.length;
  if (what === "remove") return Object.fromEntries(own.toSpliced(place, 1));
  // fromEntries makes own properties of all keys, "__proto__" too.
  if (what === "put" || own.length === 0) return Object.fromEntries([...own, [key, put]]);
  const [name, old] = own[place] as [string, Json];
  return Object.fromEntries(own.with(place, [name, changed(old, { ...edit, at: Math.floor(at / own.length) })]));
}

describe("a state", () => {
  it("is read back as it was given, from every checkpoint, whatever changed between them", () => {
    fc.assert(
      fc.property(value, fc.array(change, { maxLength: 12 }), (first, changes) => {
        const { write, read } = writer();
        const written = [write(first)];
        let state = first;
        for (const edit of changes) written.push(write((state = changed(state, edit))));
        for (const { tree, text } of written) expect(read(tree)).toBe(text);
      }),
      { numRuns: 400 },
    );
  });

  it("is cut the same whatever was stored before, so that it is found again", () => {
    fc.assert(
      fc.property(value, value, (before, state) => {
        const [used, fresh] = [writer(), writer()];
        used.write(before);
        expect(used.write(state).tree).toEqual(fresh.write(state).tree);
      }),
    );
  });

  it("holds texts that look like stored rows, and they stay texts", () => {
    const { write, read } = writer();
    const digest = sha256("elsewhere");
    const state = { a: rowText([noise(1, 3000), { digest, node: true }]), b: [rowText([{ digest, node: false }])] };
    const { tree, text } = write(state);
    expect(read(tree)).toBe(text);
    expect(JSON.parse(read(tree))).toEqual(state);
  });
});

describe("what is stored of states that only grow", () => {
  const kilobytes = Array.from({ length: 300 }, (_, n) => noise(n, 1000));

  it.each([
    ["a list", 300, (list: string[]) => ({ page: list.length, found: list })],
    ["a list in an object in an object", 300, (list: string[]) => ({ a: { b: { c: list, d: 1 }, e: [] }, z: "z" })],
    ["a list of objects", 300, (list: string[]) => ({ found: list.map((text, id) => ({ id, text, at: null })) })],
    ["a text", 300, (list: string[]) => ({ text: list.join("") })],
  ])("is at most twice what is useful: %s, 1 KB a checkpoint, %i checkpoints", (_, checkpoints, stateOf) => {
    const { write } = writer();
    let stored = 0;
    let useful = 0;
    for (let n = 1; n <= checkpoints; n += 1) {
      const { bytes, text } = write(stateOf(kilobytes.slice(0, n)));
      stored += bytes;
      useful = text.length;
    }
    expect(stored).toBeLessThanOrEqual(2 * useful);
  });

  it("is bounded for any appends: their own size, and little for each checkpoint", () => {
    const sizes = fc.array(fc.oneof(fc.nat(50), fc.nat(6000)), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(sizes, (appended) => {
        const { write } = writer();
        const found: string[] = [];
        let useful = 0;
        let stored = 0;
        for (const [n, chars] of appended.entries()) {
          found.push(noise(n, chars));
          useful += chars;
          stored += write({ page: n, found }).bytes;
        }
        // A checkpoint writes the tail that fills no group yet, and references.
        expect(stored).toBeLessThanOrEqual(1.5 * useful + 2500 * appended.length);
      }),
      { numRuns: 50 },
    );
  });
});

describe("what is stored of a change", () => {
  const entries = Array.from({ length: 10_000 }, (_, i): [string, Json] => [`key ${i}`, { n: i, text: noise(i, 50) }]);

  it("of one entry among 10,000 is a few kilobytes, in the event nothing but the root", () => {
    const { write } = writer();
    const whole = write(Object.fromEntries(entries));
    expect(whole.bytes).toBeGreaterThan(800_000);
    for (const place of [0, 5000, 9999]) {
      const { bytes, rows, tree } = write(Object.fromEntries(entries.with(place, [`key ${place}`, "changed"])));
      expect(bytes).toBeLessThan(6000);
      expect(rows).toBeLessThan(20);
      expect(Object.keys(tree)).toEqual(["tree", "digest", "bytes"]);
      write(Object.fromEntries(entries));
    }
  });

  it("at the front of a list is not the list: what follows is found again", () => {
    const { write } = writer();
    const list = entries.map(([, entry]) => entry);
    const whole = write(list).bytes;
    expect(write(list.slice(1)).bytes).toBeLessThan(whole / 50);
    expect(write(list.slice(21)).bytes).toBeLessThan(whole / 50);
    expect(write(["put before", ...list.slice(1)]).bytes).toBeLessThan(whole / 50);
  });
});

describe("what is read", () => {
  const state = Array.from({ length: 3000 }, (_, i) => noise(i, 100));

  it("lies a few levels deep, so that it is read in a few goes", () => {
    const { write, texts: stored } = writer();
    const { tree } = write(state);
    let level = [{ digest: tree.digest, node: true }];
    let levels = 0;
    while (level.length > 0) {
      levels += 1;
      level = level.flatMap(({ digest, node }) =>
        node ? partsOf(stored.get(digest) ?? "").filter((part) => typeof part !== "string") : [],
      );
    }
    expect(levels).toBeLessThan(12);
  });

  it("is refused when it is no row, larger or smaller than said, or in a form that is not known", () => {
    const { write, texts: stored } = writer();
    const { tree } = write(state);
    const read = (root: StateTree) => stateText(root, (digest) => stored.get(digest) ?? "");
    for (const text of ["", "3\nab", "3\nabcd", "x1\n", "t123\n", "1 \na", "-1\n", "no line feed"]) {
      expect(() => partsOf(text)).toThrow(expect.objectContaining({ code: "store.corrupt" }) as Error);
    }
    for (const bytes of [tree.bytes - 1, tree.bytes + 1]) {
      expect(() => read({ ...tree, bytes })).toThrow(expect.objectContaining({ code: "store.corrupt" }) as Error);
    }
    expect(() => checkForm({ ...tree, tree: 2 })).toThrow(expect.objectContaining({ code: "store.newer" }) as Error);
  });

  it("is bounded by what the event says, however often parts stand for each other", () => {
    const payloads = new Map<Digest, string>();
    const put = (text: string): Digest => (payloads.set(sha256(text), text), sha256(text));
    let digest = put(noise(1, 1000));
    for (let level = 0; level < 40; level += 1) {
      const part = { digest, node: level > 0 };
      digest = put(rowText([part, part]));
    }
    const bomb = { tree: stateForm, digest, bytes: 5000 };
    expect(() => stateText(bomb, (found) => payloads.get(found) ?? "")).toThrow("more than the 5000 bytes");
  });

  it("names every payload by a digest that comes back as it was", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.string({ minLength: 1 }), fc.string().map(sha256)), { minLength: 1 }),
        (list) => {
          const parts = list.map((text, i) =>
            /^[0-9a-f]{64}$/.test(text) ? { digest: text, node: i % 2 === 0 } : text.replaceAll("\n", " "),
          );
          expect(partsOf(rowText(parts))).toEqual(parts);
        },
      ),
    );
  });
});
