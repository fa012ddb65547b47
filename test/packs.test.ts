/**
 * Long histories are kept a second time, in packs, which are read in the place of rows. Whoever takes up a run from them
 * must come to what the rows say; where anything is wrong with a pack, it must cost time and nothing else.
 */
import { describe, expect, it } from "vitest";
import { genesis, seal, unseal } from "../src/core/chain.ts";
import type { StoredEvent } from "../src/core/chain.ts";
import type { Seq } from "../src/core/event.ts";
import { sha256 } from "../src/engine/hash.ts";
import { contentOf } from "../src/engine/pack.ts";
import { Packer, packOf } from "../src/engine/packer.ts";
import { eventIn } from "../src/engine/recorded-outcomes.ts";
import { Stemma, workflow } from "../src/index.ts";
import type { Store } from "../src/index.ts";
import type { Pack } from "../src/store/store.ts";
import { altered, evening, loadFrom, long, morning, outcomesOf } from "./evening.ts";
import { errorOf, fresh, outline, silent, until } from "./stage.ts";

const asIs = (stored: StoredEvent): StoredEvent => stored;
const sizes = [1, 2, 3, 7];

async function packsOf(store: Store, run: string): Promise<readonly Pack[]> {
  return (await store.packs?.(run, { from: 0, limit: 1000 })) ?? [];
}

/** What a worker makes of a history. */
async function found(store: Store, id: string, packEvents: number): Promise<unknown> {
  const loaded = await loadFrom(store, id, 4, { packEvents });
  const { created, start, lastAt, recall } = loaded;
  const asks = [...recall.unasked()];
  const outcomes = (await outcomesOf(loaded)).map((outcome) => {
    const { data, ...event } = eventIn(outcome);
    const output = "output" in data ? data.output : undefined;
    const text = output !== undefined && "digest" in output ? outcome.texts.get(output.digest) : undefined;
    // The hash was compared when it was read, and nobody needs it any more.
    return { ...event, hash: "", data, text, short: outcome.output, seen: [outcome.seq, outcome.at] };
  });
  return { created, start, lastAt, asks, noted: [...recall.noted()], closed: [...recall.closed], outcomes };
}

/** The store, noting which events are read as rows. */
function watched(store: Store): { store: Store; rows: Set<Seq> } {
  const rows = new Set<Seq>();
  const note = (stored: StoredEvent): StoredEvent => {
    rows.add(stored.seq);
    return stored;
  };
  return { store: altered(store, note, undefined, (pack) => pack), rows };
}

describe.each(sizes)("a history in packs of %i events", (packEvents) => {
  it("leaves the same behind as its rows, and they are not read", async () => {
    await using before = await evening(packEvents);
    const { store, id } = before;
    const packs = await packsOf(store, id);
    const { store: seen, rows } = watched(store);
    const fromRows = await found(altered(store, asIs), id, packEvents);
    expect(await found(seen, id, packEvents)).toEqual(fromRows);
    const { state } = await new Stemma({ store }).row(id);
    expect(packs.map(({ first }) => first)).toEqual(
      Array.from({ length: Math.floor((state.seq + 1) / packEvents) - 1 }, (_, i) => (i + 1) * packEvents),
    );
    for (const { first } of packs) for (let i = 0; i < packEvents; i += 1) expect(rows).not.toContain(first + i);
  });

  it("is gone on with, and nothing of it is carried out again", async () => {
    await using before = await evening(packEvents);
    const { store, id, pass } = before;
    const recorded = await outline(await new Stemma({ store }).get(id));
    pass();
    const again: string[] = [];
    const { run } = await morning(store, id, long(again), 2, packEvents);
    expect(again).toEqual(["morning"]);
    expect((await outline(run)).slice(0, recorded.length)).toEqual(recorded);
    expect((await run.result()).slice(20)).toEqual([
      "Error: bad",
      "left",
      "item 1",
      "item 2",
      "item 3",
      "slow",
      "morning",
    ]);
    expect(await new Stemma({ store }).verify(id)).toMatchObject({ ok: true });
  });

  it("is read from its rows where a pack is damaged, gone or another one's", async () => {
    await using before = await evening(packEvents);
    const { store, id } = before;
    const expected = await found(store, id, packEvents);
    const packs = await packsOf(store, id);
    const middle = packs[Math.floor(packs.length / 2)]?.first ?? 0;
    const changes: ((pack: Pack) => Pack | undefined)[] = [
      ({ first, body }) => ({ first, body: body.map((byte, i) => (i === body.length - 1 ? byte ^ 1 : byte)) }),
      ({ first }) => ({ first, body: new Uint8Array() }),
      ({ first }) => ({ first, body: packs[0]?.body ?? new Uint8Array() }),
      () => undefined,
      // Made as one should be, of nothing: it must not be waited for.
      (pack) => emptied(id, pack),
    ];
    for (const change of changes) {
      const broken = altered(store, asIs, undefined, (pack) => (pack.first === middle ? change(pack) : pack));
      expect(await found(broken, id, packEvents)).toEqual(expected);
    }
  });
});

/** The pack, with no events in it: no packer makes such a one. */
function emptied(id: string, pack: Pack): Pack {
  const content = contentOf(id, pack);
  if (content === undefined) throw new Error("It cannot be read.");
  const { before } = content.columns;
  return packOf(id, pack.first, { columns: { ...content.columns, kinds: "", hash: before }, texts: "" });
}

/** A pack of events that a run does not have, made as it should be. */
async function forged(store: Store, id: string, packEvents: number): Promise<Pack> {
  const page = await store.history(id, { after: -1, limit: 1000 });
  const packer = new Packer(id, packEvents);
  let before = genesis(sha256, id);
  for (const stored of page?.events ?? []) {
    const { type, data, ...event } = unseal(stored);
    const other = seal(sha256, before, {
      ...event,
      type,
      data,
      at: event.at + (stored.seq > packEvents ? 1 : 0),
    });
    packer.add(other, unseal(other), before);
    before = stored.hash;
  }
  // The last, for the first of them are not read twice.
  const pack = packer.take().at(-1);
  if (pack === undefined) throw new Error("There is no pack.");
  return pack;
}

describe("what was changed in the file", () => {
  it("does not reach a body that is given what is in a pack, and is found by verify", async () => {
    await using before = await evening(4);
    const { store, id } = before;
    const expected = await found(store, id, 4);
    const [pack] = await packsOf(store, id);
    const seq = pack?.first ?? 0;
    const changed = altered(
      store,
      (stored) => (stored.seq === seq ? { ...stored, data: stored.data.replace("e", "E") } : stored),
      undefined,
      (one) => one,
    );
    expect(await found(changed, id, 4)).toEqual(expected);
    expect((await new Stemma({ store: changed }).verify(id)).flaws).toMatchObject([{ seq, kind: "event altered" }]);
  });

  it("is found at once where there is no pack", async () => {
    await using before = await evening(4);
    const { store, id } = before;
    const { state } = await new Stemma({ store }).row(id);
    const behind = ((await packsOf(store, id)).at(-1)?.first ?? 0) + 4;
    const unpacked = [0, 1, 2, 3, ...Array.from({ length: state.seq + 1 - behind }, (_, i) => behind + i)];
    for (const seq of unpacked) {
      const change = (stored: StoredEvent): StoredEvent =>
        stored.seq === seq ? { ...stored, at: stored.at + 1 } : stored;
      const changed = altered(store, change, undefined, (one) => one);
      expect(await errorOf(loadFrom(changed, id, 4, { packEvents: 4 }))).toMatchObject({ code: "store.corrupt" });
    }
  });

  it("is found in a pack that changes between the two readings", async () => {
    await using before = await evening(4);
    const { store, id } = before;
    const other = await forged(store, id, 4);
    let late = false;
    const change = (pack: Pack): Pack => (late && pack.first === other.first ? other : pack);
    const loaded = await loadFrom(altered(store, asIs, undefined, change), id, 1, { packEvents: 4 });
    late = true;
    expect(await errorOf(outcomesOf(loaded))).toMatchObject({
      code: "store.corrupt",
      message: expect.stringContaining("has changed since it was verified") as string,
    });
  });
});

describe("a run that begins again from a checkpoint", () => {
  it.each([1, 2, 3, 4, 5])("is read from the packs of %i events behind that", async (packEvents) => {
    await using store = fresh();
    const definition = workflow({ name: "in parts" }, async (ctx) => {
      for (let i = (ctx.restored as number | undefined) ?? 0; i < 24; i += 1) {
        await ctx.step("work", { input: i }, () => i);
        if (i === 11) await ctx.checkpoint(12);
      }
      return ctx.signal("go");
    });
    const stemma = new Stemma({ store, workflows: [definition], log: silent }, { packEvents, lingerMs: 10 });
    await stemma.start();
    const { id } = await stemma.run(definition, undefined);
    await until(async () => (await stemma.row(id)).state.status === "suspended");
    await stemma.stop();
    const expected = await found(altered(store, asIs), id, packEvents);
    const { store: seen, rows } = watched(store);
    expect(await found(seen, id, packEvents)).toEqual(expected);
    const from = (await stemma.row(id)).state.checkpoint?.seq ?? 0;
    expect(from).toBeGreaterThan(10);
    const packs = (await packsOf(store, id)).filter(({ first }) => first > from);
    expect(packs.length).toBeGreaterThan(0);
    for (const { first } of packs) for (let i = 0; i < packEvents; i += 1) expect(rows).not.toContain(first + i);
  });
});

describe("a run whose history is not in packs", () => {
  it("has them when it has gone on", async () => {
    await using before = await evening();
    const { store, id, pass } = before;
    expect(await packsOf(store, id)).toEqual([]);
    pass();
    await morning(store, id, long([]), 1000, 4);
    const packs = await packsOf(store, id);
    const { state } = await new Stemma({ store }).row(id);
    expect(packs).toHaveLength(Math.floor((state.seq + 1) / 4) - 1);
    expect(await new Stemma({ store }).verify(id)).toMatchObject({ ok: true });
  });
});

describe("verify", () => {
  it("finds packs that do not say what the rows say, and packs that are damaged", async () => {
    await using before = await evening(4);
    const { store, id } = before;
    expect(await new Stemma({ store }).verify(id)).toMatchObject({ ok: true });
    const other = await forged(store, id, 4);
    const cases: [(pack: Pack) => Pack, string][] = [
      [(pack) => (pack.first === other.first ? other : pack), "it does not say what they say"],
      [
        ({ first, body }) => ({ first, body: first === other.first ? body.subarray(1) : body }),
        "it is not what was written",
      ],
      [(pack) => (pack.first === other.first ? emptied(id, pack) : pack), "it is not what was written"],
    ];
    for (const [change, text] of cases) {
      const stemma = new Stemma({ store: altered(store, asIs, undefined, change) });
      const { ok, flaws } = await stemma.verify(id);
      expect(ok).toBe(false);
      expect(flaws).toMatchObject([{ run: id, seq: other.first, kind: "pack differs" }]);
      expect(flaws[0]?.message).toContain(text);
    }
  });
});
