/**
 * Histories that are longer than what is read of them at a time: they are verified as a whole before anything is
 * delivered, and recalled page by page as if they were in memory. The pages here are so short that every place of a
 * history is at the edge of one.
 */
import { describe, expect, it } from "vitest";
import { StemmaError } from "../src/core/error.ts";
import type { StoredEvent } from "../src/core/chain.ts";
import { eventIn } from "../src/engine/recorded-outcomes.ts";
import { Stemma } from "../src/index.ts";
import type { Workflow } from "../src/index.ts";
import { altered, evening, loadFrom, long, morning, outcomesOf, shared } from "./evening.ts";
import { errorOf, outline } from "./stage.ts";

const pageSizes = [1, 2, 3, 5, 1000];

describe("a history of several pages", () => {
  it.each(pageSizes)("is recalled, read %i at a time, and nothing of it is carried out again", async (pageEvents) => {
    await using before = await evening();
    const { store, id, entered, pass } = before;
    const recorded = await outline(await new Stemma({ store }).get(id));
    expect(recorded.length).toBeGreaterThan(30);
    // The ask that came first has its record pages later.
    expect(recorded.indexOf("step.succeeded slow")).toBeGreaterThan(25);
    pass();
    const again: string[] = [];
    const { run } = await morning(store, id, long(again), pageEvents);
    expect(again).toEqual(["morning"]);
    expect((await outline(run)).slice(0, recorded.length)).toEqual(recorded);
    const seen = await run.result();
    expect(seen.slice(0, 6)).toEqual(["shared", "i1 a", "i2 a", "i3 a", "shared", "i5 a"]);
    expect(seen.slice(20)).toEqual(["Error: bad", "left", "item 1", "item 2", "item 3", "slow", "morning"]);
    expect(entered).toContain("slow");
  });

  it("leaves the same behind, whatever is read at a time", async () => {
    await using before = await evening();
    const seen = await Promise.all(
      pageSizes.map(async (pageEvents) => {
        const loaded = await loadFrom(before.store, before.id, pageEvents);
        const outcomes = await outcomesOf(loaded);
        const { created, start, lastAt, inbox, recall } = loaded;
        // Which texts come along with an outcome depends on its page; those that it names are among them.
        const named = outcomes.map((outcome) => {
          const [event, { texts }] = [eventIn(outcome), outcome];
          const output = "output" in event.data ? event.data.output : undefined;
          return output !== undefined && "digest" in output ? texts.get(output.digest)?.length : output;
        });
        const events = outcomes.map(eventIn);
        return {
          created,
          start,
          lastAt,
          inbox,
          asks: [...recall.unasked()],
          closed: [...recall.closed],
          events,
          named,
        };
      }),
    );
    expect(seen[0]?.events.length).toBeGreaterThan(25);
    expect(seen[0]?.named.filter((length) => length === shared.length + 2)).toHaveLength(5);
    for (const other of seen) expect(other).toEqual(seen[0]);
  });

  it("says where changed code differs, though what was declared is not in memory any more", async () => {
    await using before = await evening();
    before.pass();
    const again: string[] = [];
    const { run, state } = await morning(before.store, before.id, long(again, { of: 2 }), 2);
    expect(state.reason).toBe("divergence");
    expect(again).toEqual([]);
    const last = (await run.history()).at(-1);
    const { detail } = (last as { data: unknown }).data as { detail: { differences: unknown[] } };
    expect(detail.differences[0]).toEqual({ key: "fast#3", path: "$.n" });
  });
});

const damages: readonly ((stored: StoredEvent) => Partial<StoredEvent>)[] = [
  ({ data }) => ({ data: data.replace(/[a-z](?=[^a-z]*$)/, "Q") }),
  ({ causes }) => ({ causes: causes.replace(/\]|\}/, " $&") }),
  ({ at }) => ({ at: at + 1 }),
  ({ type }) => ({ type: type === "step.failed" ? "step.succeeded" : "step.failed" }),
];

describe("damage in a history of several pages", () => {
  it("is found in every place and every part of an event before there is anything to recall", async () => {
    await using before = await evening();
    const { store, id } = before;
    const { runs } = await store.list({ ids: [id] });
    const last = runs[0]?.state.seq ?? 0;
    for (let seq = 0; seq <= last; seq += 1) {
      for (const damage of damages) {
        const broken = altered(store, (stored) => (stored.seq === seq ? { ...stored, ...damage(stored) } : stored));
        expect(await errorOf(loadFrom(broken, id, 3))).toMatchObject({ code: "store.corrupt" });
      }
      const gapped = altered(store, (stored) => (stored.seq === seq ? { ...stored, seq: seq + 1 } : stored));
      expect(await errorOf(loadFrom(gapped, id, 3))).toMatchObject({ code: "store.corrupt" });
    }
    const payload = altered(
      store,
      (stored) => stored,
      (text) => text.replace("i19", "i91"),
    );
    expect(await errorOf(loadFrom(payload, id, 3))).toMatchObject({ code: "store.corrupt" });
  });

  it("stops the run before its body begins", async () => {
    await using before = await evening();
    before.pass();
    const again: string[] = [];
    const broken = altered(before.store, (stored) => ({ ...stored, data: stored.data.replace('"left"', '"best"') }));
    const begun: string[] = [];
    const code = {
      ...long(again),
      body: (...args: Parameters<Workflow["body"]>) => (begun.push("body"), long([]).body(...args)),
    };
    await morning(broken, before.id, code, 3);
    expect([begun, again]).toEqual([[], []]);
    expect((await new Stemma({ store: before.store }).row(before.id)).state.reason).toBe("corrupt");
  });

  it("is found as well when it comes between the two readings, and does not reach the body", async () => {
    await using before = await evening();
    const { store, id } = before;
    let late = false;
    const when = (damage: (stored: StoredEvent) => Partial<StoredEvent>) => (stored: StoredEvent) =>
      late && stored.data.includes('"left"') ? { ...stored, ...damage(stored) } : stored;
    const broken = [
      altered(
        store,
        when(({ data }) => ({ data: data.replace('"left"', '"best"') })),
      ),
      altered(
        store,
        when(({ at }) => ({ at: at + 1 })),
      ),
      altered(
        store,
        when(() => ({ type: "step.failed" })),
      ),
      altered(store, (stored) => (late && stored.data.includes('"left"') ? { ...stored, seq: 999 } : stored)),
      altered(
        store,
        (stored) => stored,
        (text) => (late ? text.replace("i19", "i91") : text),
      ),
    ];
    for (const one of broken) {
      late = false;
      const loaded = await loadFrom(one, id, 2);
      late = true;
      expect(await errorOf(outcomesOf(loaded))).toMatchObject({ code: "store.corrupt" });
    }
  });
});

describe("a store that fails for a while in the second reading", () => {
  it("gets its run back, which goes on later as if nothing had been", async () => {
    await using before = await evening();
    before.pass();
    let readings = 0;
    const failing = altered(before.store, (stored) => {
      if (stored.seq === 20 && (readings += 1) === 2) throw new StemmaError("store.busy", "Busy, once.");
      return stored;
    });
    const again: string[] = [];
    const { state } = await morning(failing, before.id, long(again), 2);
    expect(readings).toBe(4);
    expect(again).toEqual(["morning"]);
    expect(state.status).toBe("succeeded");
  });
});
