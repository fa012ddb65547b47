import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { sha256 } from "../engine/hash.ts";
import type { StoredEvent } from "./chain.ts";
import { genesis as genesisOf, seal, unseal } from "./chain.ts";
import { isStemmaError } from "./error.ts";
import type { Draft, Event, EventType, Value } from "./event.ts";
import { causesOf } from "./event.ts";
import type { Json } from "./json.ts";
import { canonical, utf8Length } from "./json.ts";

const genesis = genesisOf(sha256, "run_x");

type Step = { [T in EventType]: { type: T; data: Extract<Draft, { type: T }>["data"] } }[EventType];

const json = fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as Json);
/** Nothing that JSON.stringify would make another value of; `__proto__` among the keys. */
const values: fc.Arbitrary<Value> = fc.oneof(
  json.map((inline) => ({ inline: JSON.parse(canonical(inline)) as Json })),
  fc.constantFrom<Value>({ undefined: true }, byDigest(["large"]), {
    inline: JSON.parse('{"__proto__":{"a":1}}') as Json,
  }),
);
const key = fc.constantFrom("a", "b#2", "x/größe", "😀");
const record = fc.record({ name: fc.constantFrom("Error", "TypeError"), message: fc.string({ unit: "grapheme" }) });

const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ key, output: values }).map((data): Step => ({ type: "step.succeeded", data })),
  fc.record({ key, error: record }).map((data): Step => ({ type: "step.failed", data })),
  fc.record({ key, given: values, attempt: fc.nat() }).map((data): Step => ({ type: "step.started", data })),
  fc.record({ key, value: values }).map((data): Step => ({ type: "wait.answered", data })),
  fc.record({ name: key, payload: values }).map((data): Step => ({ type: "signal.received", data })),
  fc
    .record({ detail: json })
    .map(({ detail }): Step => ({ type: "run.suspended", data: { reason: "waiting", detail } })),
  fc.record({ state: values }).map(({ state }): Step => ({ type: "checkpoint", data: { state, parent: null } })),
);

/** A chain of events as a store has them; some name their causes by `same`. */
function chained(all: readonly Step[]): StoredEvent[] {
  const stored: StoredEvent[] = [];
  for (const [seq, step] of all.entries()) {
    const causes = seq % 3 === 2 ? { same: seq - 1 } : seq === 0 ? [] : [seq - 1];
    stored.push(seal(sha256, stored.at(-1)?.hash ?? genesis, { ...step, seq, at: 1000 + seq, causes }));
  }
  return stored;
}

const chains = fc.array(steps, { minLength: 1, maxLength: 8 }).map(chained);

/** Recomputes a chain from what is stored. Where it is not what it must be: the seq; undefined if it is sound. */
function broken(stored: readonly StoredEvent[]): number | undefined {
  let previous = genesis;
  for (const [seq, event] of stored.entries()) {
    let again: StoredEvent;
    try {
      again = seal(sha256, previous, unseal(event));
    } catch (error) {
      if (isStemmaError(error)) return seq;
      throw error;
    }
    if (event.seq !== seq || canonical(again) !== canonical(event)) return seq;
    previous = event.hash;
  }
  return undefined;
}

function byDigest(value: Json): Value {
  const text = canonical(value);
  return { digest: sha256(text), bytes: utf8Length(text) };
}

const hashOf = (step: Step, causes: Event["causes"] = [0]): string =>
  seal(sha256, genesis, { ...step, seq: 1, at: 5, causes }).hash;

describe("seal and unseal", () => {
  test("property: what is unsealed is what was sealed, and the chain is sound", () => {
    fc.assert(
      fc.property(fc.array(steps, { minLength: 1, maxLength: 8 }), (all) => {
        const stored = chained(all);
        const events = stored.map(unseal);
        expect(events.map(({ type, data }) => ({ type, data }))).toEqual(all);
        expect(events.map(({ seq, at, hash }) => ({ seq, at, hash }))).toEqual(
          stored.map(({ seq, at, hash }) => ({ seq, at, hash })),
        );
        for (const event of events.slice(1)) {
          expect(causesOf(event, (seq) => events[seq])).toEqual([event.seq % 3 === 2 ? event.seq - 2 : event.seq - 1]);
        }
        expect(broken(stored)).toBeUndefined();
      }),
    );
  });

  test("the order in which data was put together does not matter", () => {
    const data = { key: "a", output: { inline: { b: 1, a: [2] } }, attempt: 2 };
    const other = { attempt: 2, output: { inline: { a: [2], b: 1 } }, key: "a" };
    const place = { seq: 1, at: 5, type: "step.succeeded" as const, causes: [0] };
    expect(seal(sha256, genesis, { ...place, data })).toEqual(seal(sha256, genesis, { ...place, data: other }));
  });

  test("the hash is of the hash before and the canonical event, and is the same for ever", () => {
    const stored = seal(sha256, genesis, { seq: 1, at: 5, type: "run.paused", causes: [0], data: { by: "ann" } });
    const text = '{"at":5,"causes":[0],"data":{"by":"ann"},"seq":1,"type":"run.paused"}';
    expect(stored).toEqual({
      seq: 1,
      at: 5,
      type: "run.paused",
      causes: "[0]",
      data: '{"by":"ann"}',
      hash: sha256(sha256("stemma run_x") + text),
    });
  });

  test.each(["step.vanished", "", "toString", "__proto__"])("an event of type %j is refused, never skipped", (type) => {
    const stored = { seq: 4, at: 5, type, causes: "[3]", data: "{}", hash: genesis };
    expect(() => unseal(stored)).toThrow(expect.objectContaining({ code: "store.newer", data: { seq: 4, type } }));
  });
});

describe("it is detected when somebody", () => {
  /** Another character in the place of one; of text, a digit for a digit, so that JSON often stays JSON. */
  const tampered = (text: string, at: number, by: number): string => {
    const i = at % text.length;
    const was = text.charCodeAt(i);
    const now = was >= 48 && was < 58 ? 48 + ((was - 48 + 1 + (by % 9)) % 10) : 33 + ((was - 33 + 1 + (by % 92)) % 93);
    return text.slice(0, i) + String.fromCharCode(now) + text.slice(i + 1);
  };

  test("property: changes any character of any text of any event", () => {
    const field = fc.constantFrom("data", "causes", "hash", "type");
    fc.assert(
      fc.property(chains, fc.nat(), field, fc.nat(), fc.nat(), (stored, which, name, at, by) => {
        const seq = which % stored.length;
        const changed = stored.map((event, i) =>
          i === seq ? { ...event, [name]: tampered(event[name as "data"], at, by) } : event,
        );
        expect(broken(changed)).toBe(seq);
      }),
      { numRuns: 1000 },
    );
  });

  test("property: changes a time or a place", () => {
    fc.assert(
      fc.property(
        chains,
        fc.nat(),
        fc.constantFrom("seq", "at"),
        fc.integer({ min: 1, max: 9 }),
        (stored, which, name, by) => {
          const seq = which % stored.length;
          const changed = stored.map((event, i) =>
            i === seq ? { ...event, [name]: event[name as "at"] + by } : event,
          );
          expect(broken(changed)).toBe(seq);
        },
      ),
    );
  });

  test("property: changes an event and makes its own hash fit: then the next one gives it away", () => {
    fc.assert(
      fc.property(chains, steps, fc.nat(), (stored, forged, which) => {
        fc.pre(stored.length > 1);
        const seq = which % (stored.length - 1);
        const before = unseal(stored[seq] as StoredEvent);
        const changed = stored.with(seq, seal(sha256, stored[seq - 1]?.hash ?? genesis, { ...before, ...forged }));
        expect(broken(changed)).toBe(changed[seq]?.hash === stored[seq]?.hash ? undefined : seq + 1);
      }),
    );
  });

  test("property: removes, repeats, exchanges or adds events", () => {
    fc.assert(
      fc.property(chains, steps, fc.nat(), (stored, added, which) => {
        const seq = which % stored.length;
        // The last may be missing: where a chain must end is said by the row of its run.
        if (seq < stored.length - 1) {
          expect(broken(stored.toSpliced(seq, 1))).toBe(seq);
          const next = [stored[seq + 1], stored[seq]] as StoredEvent[];
          expect(broken(stored.toSpliced(seq, 2, ...next))).toBe(seq);
        }
        expect(broken(stored.toSpliced(seq, 0, stored[seq] as StoredEvent))).toBe(seq + 1);
        const forged = seal(sha256, stored[seq - 1]?.hash ?? genesis, { ...added, seq, at: 1, causes: [] });
        expect(broken(stored.toSpliced(seq, 0, forged))).toBe(seq + 1);
        const renumbered = stored.toSpliced(seq, 1).map((event, i) => ({ ...event, seq: i }));
        expect(broken(renumbered)).toBe(seq < stored.length - 1 ? seq : undefined);
      }),
    );
  });

  test("adds something to an event that its own JSON could hide", () => {
    const step: Step = { type: "step.succeeded", data: { key: "a", output: { inline: 1 } } };
    const hash = hashOf(step);
    for (const data of [
      '{"__proto__":{"key":"b"},"key":"a","output":{"inline":1}}',
      '{"key":"a","output":{"inline":1,"undefined":true}}',
      '{"key":"a","output":{"bytes":1,"inline":1}}',
      '{"key":"a","output":{"__proto__":{"undefined":true},"inline":1}}',
      '{"key":"a","output":{"inline":"1"}}',
      '{"key":"a","output":[{"inline":1}]}',
    ]) {
      expect(hashOf({ ...step, data: JSON.parse(data) as typeof step.data }), data).not.toBe(hash);
    }
  });

  test("changes a value that is kept apart: its digest, its size, or that it is one", () => {
    const output = byDigest([1]) as { digest: string; bytes: number };
    const of = (value: unknown): string =>
      hashOf({ type: "step.succeeded", data: { key: "a", output: value as Value } });
    for (const other of [
      { ...output, digest: sha256("[2]") },
      { ...output, bytes: output.bytes + 1 },
      { ...output, undefined: true },
      { undefined: true },
      { inline: output },
      { inline: [2] },
    ]) {
      expect(of(other), JSON.stringify(other)).not.toBe(of(output));
    }
  });
});

describe("where a value is kept", () => {
  test("property: moving it out of its event, or into it, changes no hash", () => {
    const places = fc.constantFrom(
      "input",
      "given",
      "output",
      "context",
      "value",
      "default",
      "payload",
      "state",
      "kept",
    );
    fc.assert(
      fc.property(places, json, (place, value) => {
        const of = (held: Value): string =>
          hashOf({ type: "step.succeeded", data: { key: "a", [place]: held } as never });
        const kept = JSON.parse(canonical(value)) as Json;
        expect(of(byDigest(kept))).toBe(of({ inline: kept }));
      }),
    );
  });

  test("matters where it is a user's own JSON that merely looks like a value", () => {
    const of = (detail: Json): string => hashOf({ type: "run.suspended", data: { reason: "waiting", detail } });
    expect(of({ inline: 1 })).not.toBe(of(byDigest(1) as unknown as Json));
  });
});

test("an event without data of its own, or with data that is none, is hashed as it is", () => {
  for (const data of [null, 7, "x", [1]]) {
    expect(hashOf({ type: "run.paused", data: data as never })).toBe(
      sha256(genesis + canonical({ seq: 1, at: 5, type: "run.paused", causes: [0], data: data as Json })),
    );
  }
});
