/**
 * Whatever is changed in what is stored is found, and said where and what it is; and nothing is said of what was not
 * changed. Each change is made in the tables themselves, past the store.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StoredEvent } from "../src/core/chain.ts";
import { genesis, seal } from "../src/core/chain.ts";
import type { EventType } from "../src/core/event.ts";
import { isEventType, outcomeOf } from "../src/core/event.ts";
import { sha256 } from "../src/engine/hash.ts";
import { Stemma } from "../src/index.ts";
import type { Verification } from "../src/index.ts";
import { errorOf, newPlace, onPostgres, silent } from "./stage.ts";
import { storeAt } from "./place.ts";
import { everyKindOfRun, tablesAt } from "./tamper.ts";
import type { Tables } from "./tamper.ts";

/** Tamperings of each kind; PostgreSQL sees the same code, and takes longer for each. */
const each = onPostgres ? 100 : 1000;
const minutes = 240_000;

type Raw = Omit<StoredEvent, "data"> & { data: string | Uint8Array };
/** What a tampering leaves, and where and how it is to be found. */
type Tampered = { events: Raw[]; places: number[]; kinds: string[] };
type Draw = { at: number; other: number; bit: number; part: number };

const folder = mkdtempSync(join(tmpdir(), "stemma-verify-"));
const where = newPlace(folder);
const store = storeAt(where);
const stemma = new Stemma({ store, log: silent });
let tables: Tables;
const runs = everyKindOfRun(Date.now());
const whole = runs.filter(({ events }) => events.length > 10);

beforeAll(async () => {
  await store.create(runs);
  tables = await tablesAt(where);
});
afterAll(async () => {
  await tables[Symbol.asyncDispose]();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

const draws = fc.record({ at: fc.nat(), other: fc.nat(), bit: fc.nat(), part: fc.nat() });

/** Makes a change to a random run, and holds what is found against what was done. Gives the types that it was done to. */
async function expectEachFound(
  change: (events: readonly StoredEvent[], draw: Draw) => Tampered | undefined,
): Promise<Set<string>> {
  const touched = new Set<string>();
  const originals = new Map<string, StoredEvent[]>();
  for (const { id } of whole) originals.set(id, await tables.events(id));
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), draws, async (which, draw) => {
      const id = whole[which]?.id ?? "";
      const events = originals.get(id) ?? [];
      const done = change(events, draw);
      fc.pre(done !== undefined);
      await tables.put(id, done.events);
      try {
        expectFound(await stemma.verify(id), id, done);
        for (const at of done.places) touched.add(events[at]?.type ?? "");
      } finally {
        await tables.put(id, events);
      }
    }),
    { numRuns: each },
  );
  expect((await stemma.verify()).flaws).toEqual([]);
  return touched;
}

function expectFound({ ok, flaws }: Verification, run: string, { places, kinds }: Tampered): void {
  expect(flaws.map((flaw) => flaw.run)).toEqual(flaws.map(() => run));
  expect(flaws.map(({ seq }) => seq)).toEqual(places);
  for (const { kind } of flaws) expect(kinds).toContain(kind);
  expect(ok).toBe(false);
}

const types = Object.keys(outcomeOf) as EventType[];

function replaced(events: readonly StoredEvent[], at: number, by: Raw): Raw[] {
  return events.map((event, i) => (i === at ? by : event));
}

/** One bit of the bytes flipped; on PostgreSQL, which refuses what is no text, one character made another. */
function flipped(text: string, { at, bit }: Draw): string | Uint8Array {
  const bytes = Buffer.from(text);
  const place = at % bytes.length;
  if (onPostgres) {
    const to = String.fromCharCode(32 + (((bytes[place] ?? 0) + 1 + (bit % 90)) % 94));
    return (
      text.slice(0, place % text.length) +
      (text[place % text.length] === to ? "~" : to) +
      text.slice((place % text.length) + 1)
    );
  }
  bytes[place] = (bytes[place] ?? 0) ^ (1 << (bit % 8));
  return bytes;
}

describe("what was written is found as it was", () => {
  it("has an event of every type in it", () => {
    const there = new Set(whole.flatMap(({ events }) => events.map(({ type }) => type)));
    expect([...there].filter(isEventType).toSorted()).toEqual(types.toSorted());
  });

  it("finds nothing, counts all, and gives the head of one run", async () => {
    const all = await stemma.verify();
    const events = runs.reduce((sum, run) => sum + run.events.length, 0);
    expect(all).toMatchObject({ ok: true, flaws: [], more: 0, runs: runs.length, events, payloads: 12 });
    const [first] = whole;
    const one = await stemma.verify(first?.id);
    expect(one.head).toEqual({ seq: first?.state.seq, hash: first?.events.at(-1)?.hash });
  });
});

describe(`of ${each} random tamperings of each kind every one is found where it is, and nothing else`, () => {
  it(
    "a byte of an event's data",
    async () => {
      const touched = await expectEachFound((events, draw) => {
        const at = draw.other % events.length;
        const event = events[at] as StoredEvent;
        return {
          events: replaced(events, at, { ...event, data: flipped(event.data, draw) }),
          places: [at],
          kinds: ["event altered"],
        };
      });
      if (!onPostgres) expect([...touched].toSorted()).toEqual(types.toSorted());
    },
    minutes,
  );

  it(
    "its time, type or causes",
    async () => {
      await expectEachFound((events, draw) => {
        const at = draw.other % events.length;
        const event = events[at] as StoredEvent;
        const type = types[draw.at % types.length] as EventType;
        const by =
          draw.part % 3 === 0
            ? { at: event.at + 1 + (draw.at % 1000) }
            : draw.part % 3 === 1
              ? { type }
              : { causes: `[${draw.at % 1000}]` };
        if (type === event.type || by.causes === event.causes) return undefined;
        return { events: replaced(events, at, { ...event, ...by }), places: [at], kinds: ["event altered"] };
      });
    },
    minutes,
  );

  it(
    "its hash",
    async () => {
      await expectEachFound((events, draw) => {
        const at = draw.other % events.length;
        const event = events[at] as StoredEvent;
        const digits = event.hash.split("");
        const place = draw.at % 64;
        digits[place] = ((Number.parseInt(digits[place] ?? "0", 16) + 1 + (draw.bit % 15)) % 16).toString(16);
        return {
          events: replaced(events, at, { ...event, hash: digits.join("") }),
          places: [at],
          kinds: ["hash altered"],
        };
      });
    },
    minutes,
  );

  it(
    "an event made anew with the right hash: the chain breaks behind it",
    async () => {
      await expectEachFound((events, draw) => {
        const at = draw.other % events.length;
        const event = events[at] as StoredEvent;
        const id = whole.find((run) => run.events[0]?.hash === events[0]?.hash)?.id ?? "";
        const before = events[at - 1]?.hash ?? genesis(sha256, id);
        const key = "key" in (JSON.parse(event.data) as object) ? { key: "made up" } : {};
        const forged = seal(sha256, before, {
          ...event,
          causes: at === 0 ? [] : [0],
          data: { ...key, forged: draw.at },
        } as never);
        const isLast = at === events.length - 1;
        const own = at === 0 || event.type === "child.started" ? [at] : [];
        return {
          events: replaced(events, at, forged),
          places: [...own, isLast ? at : at + 1],
          kinds: ["event impossible", isLast ? "row differs" : "event altered"],
        };
      });
    },
    minutes,
  );

  it(
    "an event that is removed",
    async () => {
      await expectEachFound((events, draw) => {
        const at = draw.other % events.length;
        return { events: events.filter((_, i) => i !== at), places: [at], kinds: ["event missing"] };
      });
    },
    minutes,
  );

  it(
    "an event that is removed, with those behind it moved up",
    async () => {
      await expectEachFound((events, draw) => {
        const at = draw.other % (events.length - 1);
        const left = events.filter((_, i) => i !== at).map((event, seq) => ({ ...event, seq }));
        return { events: left, places: [at], kinds: ["event missing"] };
      });
    },
    minutes,
  );

  it(
    "two events that changed places",
    async () => {
      await expectEachFound((events, draw) => {
        const [a, b] = [draw.at % events.length, draw.other % events.length].toSorted((x, y) => x - y) as [
          number,
          number,
        ];
        if (a === b) return undefined;
        const [one, other] = [events[a] as StoredEvent, events[b] as StoredEvent];
        const moved = replaced(replaced(events, a, { ...other, seq: a }) as StoredEvent[], b, { ...one, seq: b });
        return { events: moved, places: [a, b], kinds: ["event moved"] };
      });
    },
    minutes,
  );

  it(
    "an event of another run in its place",
    async () => {
      await expectEachFound((events, draw) => {
        const at = draw.other % events.length;
        const others = runs.filter((run) => run.events[0]?.hash !== events[0]?.hash);
        const from = others[draw.part % others.length]?.events ?? [];
        const foreign = from[draw.at % from.length] as StoredEvent;
        // What is written in it may be the same in both runs; then the hash alone is foreign.
        const original = events[at] as StoredEvent;
        const isSame = (["at", "type", "causes", "data"] as const).every((part) => original[part] === foreign[part]);
        const kinds = [isSame ? "hash altered" : "event replaced"];
        return { events: replaced(events, at, { ...foreign, seq: at }), places: [at], kinds };
      });
    },
    minutes,
  );

  it(
    "an event of another run put in, with those behind it moved down",
    async () => {
      await expectEachFound((events, draw) => {
        const at = draw.other % (events.length + 1);
        const others = runs.filter((run) => run.events[0]?.hash !== events[0]?.hash);
        const from = others[draw.part % others.length]?.events ?? [];
        const foreign = from[draw.at % from.length] as StoredEvent;
        const more = [...events.slice(0, at), foreign, ...events.slice(at)].map((event, seq) => ({ ...event, seq }));
        return { events: more, places: [at], kinds: ["event added"] };
      });
    },
    minutes,
  );

  it.each(["altered", "missing"])(
    "a payload that is %s",
    async (how) => {
      await fc.assert(
        fc.asyncProperty(fc.nat(whole.length - 1), draws, async (which, draw) => {
          const run = whole[which];
          const { digest = "", text = "" } = run?.payloads[draw.other % 3] ?? {};
          const at = draw.at % text.length;
          const changed = text.slice(0, at) + (text[at] === "!" ? "?" : "!") + text.slice(at + 1);
          await tables.putPayload(digest, how === "altered" ? changed : undefined);
          try {
            const { flaws } = await stemma.verify(run?.id);
            const naming = run?.events.find(({ data }) => data.includes(digest))?.seq;
            expect(flaws).toEqual([
              expect.objectContaining({ run: run?.id, seq: naming, digest, kind: `payload ${how}` }),
            ]);
          } finally {
            await tables.putPayload(digest, text);
          }
        }),
        { numRuns: each },
      );
      expect((await stemma.verify()).ok).toBe(true);
    },
    minutes,
  );
});

describe("the row of a run", () => {
  it.each([
    ["status", "'failed'"],
    ["tags", "'[\"paid\"]'"],
    ["version", "7"],
    ["created_at", "created_at - 1"],
    ["seq", "seq - 1"],
    ["hash", "(select hash from events limit 1)"],
  ])("is found to differ in its %s", async (column, to) => {
    const [run] = whole;
    await tables.exec("drop table if exists kept");
    await tables.exec(`create table kept as select * from runs where id = '${run?.id}'`);
    await tables.exec(`update runs set ${column} = ${to} where id = '${run?.id}'`);
    const { flaws } = await stemma.verify(run?.id);
    expect(flaws.map(({ kind }) => kind)).toEqual(column === "seq" ? ["event added"] : ["row differs"]);
    await tables.exec(`update runs set ${column} = (select ${column} from kept) where id = '${run?.id}'`);
    expect((await stemma.verify()).ok).toBe(true);
  });
});

describe("what is expected", () => {
  it("is refused where it is not of one run", async () => {
    const error = await errorOf(stemma.verify(undefined, { expect: { seq: 0, hash: "" } }));
    expect(error.code).toBe("usage.invalid");
  });
});
