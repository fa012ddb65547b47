import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { sha256 } from "../engine/hash.ts";
import { genesis, seal, unseal } from "./chain.ts";
import type { StoredEvent } from "./chain.ts";
import { storedHash } from "./chain-text.ts";
import type { EventType } from "./event.ts";
import { canonical } from "./json.ts";
import type { Json } from "./json.ts";

const previous = genesis(sha256, "run_x");

/** Strings with all that a scanner of JSON may trip over. */
const text = fc.string({ unit: fc.constantFrom("a", '"', "\\", "{", "}", "[", "]", ",", ":", "\n", "ö", "😀") });
const member = fc.constantFrom("inline", "output", "given", "digest", "x", "10", "9", '"', "__proto__");
const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    text,
    fc.constantFrom<Json>(null, true, 0, -1.5e300, "", {}, []),
    fc.array(tie("json"), { maxLength: 3 }),
    fc
      .array(fc.tuple(member, tie("json")), { maxLength: 3 })
      .map(
        (entries) =>
          JSON.parse(`{${entries.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join()}}`) as Json,
      ),
  ),
}));
const value = fc.oneof(
  json,
  json.map((inline): Json => ({ inline })),
  json.map((more): Json => ({ inline: 1, more })),
  fc.constant<Json>({ undefined: true }),
);
const data = fc.dictionary(
  fc.constantFrom("key", "output", "given", "input", "kept", "detail", "error", "tags"),
  value,
  { maxKeys: 5 },
);
const causes = fc.oneof(
  fc.array(fc.nat(), { maxLength: 3 }),
  fc.nat().map((same) => ({ same })),
);

const stored: fc.Arbitrary<StoredEvent> = fc
  .tuple(data, causes, fc.nat(), fc.nat(), fc.constantFrom<EventType>("step.succeeded", "run.suspended"))
  .map(([some, because, seq, at, type]) => {
    const clean = JSON.parse(canonical(some)) as Json;
    return seal(sha256, previous, { seq, at, type, causes: because, data: clean });
  });

describe("the hash of a stored event's texts", () => {
  test("is that of the event, whatever its data hold", () => {
    fc.assert(
      fc.property(stored, (event) => {
        expect(storedHash(sha256, previous, event)).toBe(event.hash);
        expect(seal(sha256, previous, unseal(event)).hash).toBe(event.hash);
      }),
      { numRuns: 3000 },
    );
  });

  test("is another one as soon as any character is another one, is missing, or is added", () => {
    fc.assert(
      fc.property(
        stored,
        fc.constantFrom("data" as const, "causes" as const),
        fc.nat(),
        text,
        fc.nat(2),
        (event, field, at, put, cut) => {
          const before = event[field];
          const i = at % (before.length + 1);
          const after = before.slice(0, i) + put + before.slice(i + cut);
          fc.pre(after !== before && after.isWellFormed());
          expect(storedHash(sha256, previous, { ...event, [field]: after })).not.toBe(event.hash);
        },
      ),
      { numRuns: 3000 },
    );
  });

  test("covers place, time, type and the hash before", () => {
    const event = seal(sha256, previous, { seq: 3, at: 5, type: "run.set", causes: [2], data: { tags: [] } });
    expect(storedHash(sha256, previous, event)).toBe(event.hash);
    for (const change of [{ seq: 4 }, { at: 6 }, { type: "run.paused" }, { causes: "[1]" }]) {
      expect(storedHash(sha256, previous, { ...event, ...change })).not.toBe(event.hash);
    }
    expect(storedHash(sha256, genesis(sha256, "run_y"), event)).not.toBe(event.hash);
  });

  test("stays the same when an inline value is kept apart, as when it is removed from the store", () => {
    const output = { inline: { a: ['"}', 1] } };
    const event = seal(sha256, previous, {
      seq: 1,
      at: 1,
      type: "step.succeeded",
      causes: [0],
      data: { key: "x", output },
    });
    const apart = canonical(output.inline);
    const reference = { bytes: apart.length, digest: sha256(apart) };
    const moved = { ...event, data: canonical({ key: "x", output: reference }) };
    expect(storedHash(sha256, previous, moved)).toBe(event.hash);
  });

  test("is another one when what ends an inline value is another bracket", () => {
    const ended = { key: "x", output: { inline: { a: 1 } }, reuse: "r" };
    const event = seal(sha256, previous, { seq: 1, at: 1, type: "step.succeeded", causes: [0], data: ended });
    const changed = event.data.replace("1}}", "1}]");
    expect(changed).not.toBe(event.data);
    expect(storedHash(sha256, previous, { ...event, data: changed })).not.toBe(event.hash);
  });
});
