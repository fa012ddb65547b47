import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seal, unseal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import type { Digest, EventType } from "../core/event.ts";
import type { Json } from "../core/json.ts";
import type { Pack } from "../store/store.ts";
import { sha256 } from "./hash.ts";
import { indexed, outputIn } from "./index-text.ts";
import { unpack } from "./pack.ts";
import { Packer } from "./packer.ts";

const run = "run_1";
const json = fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.parse(JSON.stringify(value)) as Json);
const option = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: of });
const texts = fc.oneof(fc.constantFrom("work", "items/3/resize", "\t\n", "Grüße 🌳", '","key":"x"}'), fc.string());
const inputs = fc.constantFrom(sha256("an input"), sha256("another"));
const value = fc.oneof(
  fc.record({ inline: fc.oneof(json, texts) }),
  fc.constant({ bytes: 70_000, digest: sha256("large") }),
);
const ref = {
  key: texts,
  input: option(inputs),
  n: option(fc.nat(3)),
  across: option(fc.nat(3)),
  after: option(fc.nat(9)),
};

/** What a history has most of, in all its forms, and a few others. */
const written = fc.oneof(
  fc.record({
    type: fc.constant("step.started"),
    data: fc.record({
      ...ref,
      attempt: fc.constantFrom(1, 1, 1, 2),
      effect: option(fc.constant("once")),
      given: option(value),
    }),
  }),
  fc.record({
    type: fc.constant("step.succeeded"),
    data: fc.record({ ...ref, output: value, ms: option(fc.nat(900)), compensate: option(fc.constant(true)) }),
  }),
  fc.record({
    type: fc.constant("step.failed"),
    data: fc.record({ ...ref, attempt: fc.nat(3), error: fc.record({ name: texts, message: texts }) }),
  }),
  fc.record({ type: fc.constant("scope.closed"), data: fc.record({ scope: texts, kind: fc.constant("map") }) }),
);
type Written = { type: string; data: unknown };
const causes = fc.oneof(
  fc.constant([1]),
  fc.uniqueArray(fc.nat(9), { maxLength: 12 }).map((seqs) => seqs.toSorted((a, b) => a - b)),
  fc.record({ same: fc.nat(9) }),
);

/** A chain of events from seq 10 on. */
function chainOf(
  all: readonly (Written & { causes: readonly number[] | { same: number }; ms: number })[],
): StoredEvent[] {
  const events: StoredEvent[] = [];
  let at = 1_700_000_000_000;
  for (const [i, { type, data, causes: from, ms }] of all.entries()) {
    at += ms;
    const before = events.at(-1)?.hash ?? sha256("before");
    events.push(seal(sha256, before, { seq: 10 + i, at, type: type as EventType, causes: from, data }));
  }
  return events;
}

/** The events of a run packed ten at a time. */
function packed(events: readonly StoredEvent[]): Pack {
  const packer = new Packer(run, 10);
  let before = sha256("before");
  for (const stored of events) {
    packer.add(stored, unseal(stored), before);
    before = stored.hash;
  }
  const [pack] = packer.take();
  if (pack === undefined) throw new Error("There is no pack.");
  expect(packer.take()).toEqual([]);
  return pack;
}

/** What a recall goes by: of a success or a first start not what is in it besides. */
function ofIndex(stored: StoredEvent): unknown {
  const { seq, at, type, causes: from, data } = indexed(stored);
  if (type !== "step.started" && type !== "step.succeeded") return { seq, at, type, causes: from, data };
  const { key, input, n, across, after } = data;
  const attempt = type === "step.started" ? data.attempt : undefined;
  const flags = [type === "step.started" ? data.effect : data.compensate];
  return { seq, at, type, causes: from, key, input, n, across, after, attempt, flags };
}

const stretch = fc.array(fc.record({ what: written, causes, ms: fc.oneof(fc.nat(3), fc.constant(3_000_000_000)) }), {
  minLength: 10,
  maxLength: 10,
});

describe("a pack", () => {
  test("says of its events what their rows say: all that a recall goes by, all outcomes, and when they were", () => {
    let [columns, whole] = [0, 0];
    fc.assert(
      fc.property(stretch, (all) => {
        const events = chainOf(all.map(({ what, ...rest }) => ({ ...what, ...rest })));
        const pack = packed(events);
        expect(pack.first).toBe(10);
        const found = unpack(run, pack, sha256("before"));
        if (found === undefined) throw new Error("It cannot be unpacked.");
        expect(found.packed).toMatchObject({ first: 10, last: 19, hash: events[9]?.hash });
        const restored = found.index().map((event, i) => {
          expect(event.causes).toEqual(unseal(events[i] as StoredEvent).causes);
          return ofIndex({ ...(events[i] as StoredEvent), ...rewritten(event) });
        });
        expect(restored).toEqual(events.map(ofIndex));
        const digests = new Set<Digest>();
        for (const stored of events) {
          expect(found.packed.at(stored.seq)).toBe(stored.at);
          expect(found.packed.output(stored.seq)).toBe(outputIn(stored));
          const copy = found.packed.stored(stored.seq);
          if (copy.type === "") {
            expect(stored.type).toBe("step.started");
            columns += 1;
            continue;
          }
          whole += 1;
          expect({ ...copy, hash: stored.hash }).toEqual(stored);
          const output = (unseal(stored).data as { output?: { digest?: Digest } }).output;
          if (output?.digest !== undefined) digests.add(output.digest);
        }
        expect(found.packed.payloads()).toEqual([...digests]);
      }),
      { numRuns: 300 },
    );
    expect(Math.min(columns, whole)).toBeGreaterThan(100);
  });

  test("that was changed in any byte, or belongs to another run or place, or stands behind another event, is none", () => {
    const data = { key: "work", attempt: 1, input: sha256("an input") };
    const events = chainOf(Array.from({ length: 10 }, () => ({ type: "step.started", data, causes: [1], ms: 1 })));
    const pack = packed(events);
    expect(unpack(run, pack)?.packed.hash).toBe(events[9]?.hash);
    for (let at = 0; at < pack.body.length; at += 1) {
      const body = Uint8Array.from(pack.body);
      body[at] = (body[at] ?? 0) ^ 1;
      expect(unpack(run, { ...pack, body })).toBeUndefined();
    }
    for (const cut of [0, 5, 32, 40]) expect(unpack(run, { ...pack, body: pack.body.slice(0, cut) })).toBeUndefined();
    expect(unpack("run_2", pack)).toBeUndefined();
    expect(unpack(run, { ...pack, first: 20 })).toBeUndefined();
    expect(unpack(run, pack, sha256("another"))).toBeUndefined();
  });
});

/** An event of an index as a row would have it. */
function rewritten({
  type,
  causes: from,
  data,
}: {
  type: string;
  causes: unknown;
  data: unknown;
}): Partial<StoredEvent> {
  return { type, causes: JSON.stringify(from), data: JSON.stringify(data) };
}

describe("packs are made", () => {
  const events = chainOf(
    Array.from({ length: 40 }, (_, i) => ({
      type: "scope.closed",
      data: { scope: `${i}`, kind: "map" },
      causes: [1],
      ms: 1,
    })),
  );
  const addAll = (packer: Packer, some: readonly StoredEvent[]): void => {
    for (const stored of some) packer.add(stored, unseal(stored), events[stored.seq - 11]?.hash ?? sha256("before"));
  };

  test("from one multiple of their size to the next, and none from the midst of one on", () => {
    const packer = new Packer(run, 10);
    addAll(packer, events.slice(3));
    expect(packer.take().map(({ first }) => first)).toEqual([20, 30, 40]);
  });

  test("of no events that were taken back, nor around them", () => {
    const packer = new Packer(run, 10);
    addAll(packer, events.slice(0, 15));
    packer.forget();
    addAll(packer, events.slice(15));
    expect(packer.take().map(({ first }) => first)).toEqual([30, 40]);
  });

  test("of no events whose texts, or the values that they name, are long", () => {
    const long = { inline: "x".repeat(300_000) };
    const named = { bytes: 300_000, digest: sha256("large") };
    for (const output of [long, named]) {
      const some = chainOf(
        Array.from({ length: 20 }, (_, i) => ({
          type: "step.succeeded",
          data: { key: `${i}`, output: i < 10 ? output : { inline: 1 } },
          causes: [1],
          ms: 1,
        })),
      );
      const packer = new Packer(run, 10);
      for (const [i, stored] of some.entries())
        packer.add(stored, unseal(stored), some[i - 1]?.hash ?? sha256("before"));
      expect(packer.take().map(({ first }) => first)).toEqual([20]);
    }
  });
});
