/** The feed: every event has one position, for ever, and no reader ever misses one. */
import assert from "node:assert/strict";
import type { Store } from "../../store/store.ts";
import type { Bench, Check } from "./fixture.ts";
import { accept, ended, pageLimit, started, succeeded } from "./fixture.ts";
import type { FeedItem } from "./read.ts";
import { pageOf, wholeFeed } from "./read.ts";

export function feedGuarantees(check: Check): void {
  check("an empty feed has nothing behind its beginning", async ({ store }) => {
    const page = await store.feed({ after: 0, limit: 10 });
    assert.deepEqual(page, { events: [], position: 0 });
  });

  check("every event is in the feed once, as the history has it", async (bench) => {
    const ids = await busy(bench);
    const { events } = await wholeFeed(bench.store, 24);
    for (const id of ids) {
      const ofRun = events.filter(({ run }) => run === id).map(({ event }) => event);
      assert.deepEqual(ofRun, (await pageOf(bench.store, id)).events, "within a run positions ascend with seq");
    }
    assert.ok(events.every(({ position }) => Number.isSafeInteger(position) && position > 0));
  });

  check(
    "who reads a run and is told of nothing pending has all of it, and so has who reads everything",
    async (bench) => {
      const { store } = bench;
      for (const filter of [true, false]) {
        let row = await bench.held();
        row = await accept(store, row, bench.part(row, [started, succeeded("a")]));
        await accept(store, row, bench.part(row, [ended], { release: { dueAt: null, force: true } }));
        const events: FeedItem[] = [];
        for (let page = { position: 0, pending: true }; page.pending;) {
          const query = { after: page.position, limit: pageLimit, ...(filter ? { run: row.id } : {}) };
          const { position, pending = false, ...found } = await store.feed(query);
          page = { position, pending };
          events.push(...found.events.filter(({ run }) => run === row.id));
        }
        assert.deepEqual(
          events.map(({ event }) => event),
          (await pageOf(store, row.id)).events,
        );
      }
    },
  );

  check("every page size gives the same feed", async (bench) => {
    await busy(bench);
    const { events, position } = await wholeFeed(bench.store, 24);
    for (let limit = 1; limit <= 25; limit += 1) {
      const pages = await wholeFeed(bench.store, 24, { limit });
      assert.deepEqual(pages.events, events, `pages of ${limit}`);
      assert.ok(pages.position >= (events.at(-1)?.position ?? 0) && pages.position <= position);
    }
  });

  check("from every position the feed goes on exactly behind it", async (bench) => {
    await busy(bench);
    const { events } = await wholeFeed(bench.store, 24);
    for (const [i, { position }] of events.entries()) {
      const rest = await wholeFeed(bench.store, 23 - i, { after: position });
      assert.deepEqual(rest.events, events.slice(i + 1));
    }
  });

  check("a reader at the end stays there until something comes, and then gets it", async (bench) => {
    await busy(bench);
    const end = await wholeFeed(bench.store, 24);
    assert.deepEqual(await bench.store.feed({ after: end.position, limit: 10 }), {
      events: [],
      position: end.position,
    });
    const run = await bench.created();
    const next = await wholeFeed(bench.store, 1, { after: end.position });
    assert.deepEqual(
      next.events.map(({ run: id, event }) => [id, event]),
      [[run.id, run.events[0]]],
    );
  });

  check("a cursor given before a reopen goes on exactly behind what was read", async (bench) => {
    await busy(bench);
    const { events } = await wholeFeed(bench.store, 24);
    const page = await bench.store.feed({ after: 0, limit: 7 });
    const again = await bench.reopen();
    assert.deepEqual((await wholeFeed(again, 24)).events, events);
    const rest = await wholeFeed(again, 24 - page.events.length, { after: page.position });
    assert.deepEqual([...page.events, ...rest.events], events);
  });

  check("the feed of a run, a family or a workflow has its events and no others", async (bench) => {
    const { store, created } = bench;
    const [id] = await busy(bench);
    const root = await created({ workflow: "other" });
    const child = await created({
      workflow: "third",
      family: root.id,
      origin: { kind: "child", run: root.id, key: "call", seq: 0 },
    });
    const { events } = await wholeFeed(store, 26);
    const expectFeed = async (filter: object, belongs: (item: FeedItem) => boolean): Promise<void> => {
      const expected = events.filter(belongs);
      assert.ok(expected.length > 0);
      for (const limit of [1, 2, 5, 100]) {
        const found = await wholeFeed(store, expected.length, { ...filter, limit });
        assert.deepEqual(found.events, expected, `${JSON.stringify(filter)} in pages of ${limit}`);
      }
    };
    await expectFeed({ run: id }, ({ run }) => run === id);
    await expectFeed({ family: root.id }, ({ run }) => run === root.id || run === child.id);
    await expectFeed({ workflow: "third" }, ({ run }) => run === child.id);
    await expectFeed({ workflow: "audit" }, ({ run }) => run !== root.id && run !== child.id);
    assert.deepEqual((await wholeFeed(store, 0, { family: child.id })).events, [], "a child is no family");
    assert.deepEqual((await wholeFeed(store, 0, { workflow: "third", run: root.id })).events, []);
  });

  check("a reader with a filter moves on behind what does not match", async (bench) => {
    const { store, created } = bench;
    await busy(bench);
    const end = await wholeFeed(store, 24);
    const filtered = await wholeFeed(store, 0, { workflow: "nobody" });
    assert.deepEqual([filtered.events, filtered.position], [[], end.position]);
    const { id } = await created({ workflow: "nobody" });
    const next = await wholeFeed(store, 1, { workflow: "nobody", after: filtered.position });
    assert.deepEqual(
      next.events.map(({ run }) => run),
      [id],
    );
  });

  check("the feed gives every event one position and has no gaps, whatever two writers do", async (bench) => {
    const { store, second, held, part } = bench;
    const other = await second();
    const reader = await second();
    let [a, b] = [await held(), await held()];
    const seen: FeedItem[] = [];
    let position = 0;
    for (let i = 0; i < 25; i += 1) {
      const [pa, pb] = [part(a, [succeeded(`a${i}`), succeeded(`b${i}`)]), part(b, [succeeded(`a${i}`)])];
      const [, , page] = await Promise.all([
        store.commit([pa]),
        other.commit([pb]),
        reader.feed({ after: position, limit: 3 }),
      ]);
      [a, b] = [
        { ...a, state: pa.state, hash: hashOf(pa) },
        { ...b, state: pb.state, hash: hashOf(pb) },
      ];
      seen.push(...page.events);
      position = page.position;
    }
    const whole = await wholeFeed(store, 2 + 75);
    const rest = await wholeFeed(reader, 2 + 75 - seen.length, { after: position });
    assert.deepEqual([...seen, ...rest.events], whole.events, "what came page by page is what is there");
    await expectSame([store, other, reader], whole.events);
  });

  check("positions are never given twice, also after the newest were pruned and the store reopened", async (bench) => {
    const { store, clock, created, held, part } = bench;
    await created();
    const row = await held({ workflow: "short" });
    await accept(store, row, part(row, [started, ended], { release: { dueAt: null } }));
    const before = await wholeFeed(store, 4);
    clock.advance(1000);
    const { runs } = await store.prune({ endedBefore: clock.now(), limit: 10 });
    assert.deepEqual(runs, [row.id]);
    const again = await bench.reopen();
    const fresh = bench.newRun();
    await again.create([fresh]);
    const next = await wholeFeed(again, 1, { after: before.position });
    assert.deepEqual(
      next.events.map(({ run }) => run),
      [fresh.id],
    );
  });
}

/** Three runs whose events come in turns: 24 events. */
async function busy({ store, held, part }: Bench): Promise<string[]> {
  let rows = [await held(), await held(), await held()];
  for (let i = 0; i < 3; i += 1) {
    const parts = rows.map((row, r) =>
      part(
        row,
        Array.from({ length: r + 1 }, (_, s) => succeeded(`s${i}-${s}`)),
      ),
    );
    await store.commit(parts);
    rows = rows.map((row, r) => {
      const appended = parts[r];
      assert.ok(appended);
      return { ...row, state: appended.state, hash: hashOf(appended) };
    });
  }
  for (const row of rows) await accept(store, row, part(row, [started]));
  return rows.map(({ id }) => id);
}

async function expectSame(stores: readonly Store[], events: readonly FeedItem[]): Promise<void> {
  for (const store of stores) assert.deepEqual((await wholeFeed(store, events.length)).events, events);
}

function hashOf({ events }: { events: readonly { hash: string }[] }): string {
  const last = events.at(-1);
  assert.ok(last);
  return last.hash;
}
