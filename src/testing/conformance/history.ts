/** A run's events, in order and in pages, with its row and what waits for it. */
import assert from "node:assert/strict";
import { newRunId } from "../../engine/id.ts";
import type { RunRow } from "../../store/store.ts";
import type { Check, Step } from "./fixture.ts";
import { accept, message, started, succeeded } from "./fixture.ts";
import { pageOf, wholeFeed, wholeHistory } from "./read.ts";

export function historyGuarantees(check: Check): void {
  check("a run that is not there has no history", async ({ store, created }) => {
    await created();
    assert.equal(await store.history(newRunId(1), { after: -1, limit: 10 }), undefined);
  });

  check("every page size gives the same history", async ({ store, held, part }) => {
    const row = await held();
    const steps = Array.from({ length: 16 }, (_, i) => succeeded(`s${i}`));
    await accept(store, row, part(row, [started, ...steps]));
    await store.send([message(row.id, "a"), message(row.id, "b")]);
    const whole = await pageOf(store, row.id);
    assert.deepEqual(
      whole.events.map(({ seq }) => seq),
      Array.from({ length: 18 }, (_, i) => i),
    );
    assert.equal(whole.more, false);
    for (let limit = 1; limit <= 19; limit += 1) {
      const { events, inbox, row: now } = await wholeHistory(store, row.id, limit);
      assert.deepEqual([events, inbox, now], [whole.events, whole.inbox, whole.row], `pages of ${limit}`);
    }
  });

  check("a page begins behind the seq that it is asked for", async ({ store, held, part }) => {
    const row = await held();
    await accept(store, row, part(row, [started, succeeded("a"), succeeded("b")]));
    const { events } = await pageOf(store, row.id);
    const page = await store.history(row.id, { after: 1, limit: 1 });
    assert.deepEqual([page?.events, page?.more], [[events[2]], true]);
    const end = await store.history(row.id, { after: 3, limit: 10 });
    assert.deepEqual([end?.events, end?.more], [[], false]);
    const beyond = await store.history(row.id, { after: 1000, limit: 10 });
    assert.deepEqual([beyond?.events, beyond?.more], [[], false]);
  });

  check("messages come with the last page, also when it has no events left", async ({ store, held, part }) => {
    const row = await held();
    await accept(store, row, part(row, [started]));
    await store.send([message(row.id, "a")]);
    const first = await store.history(row.id, { after: -1, limit: 1 });
    assert.deepEqual([first?.more, first?.inbox], [true, []]);
    const last = await store.history(row.id, { after: 0, limit: 1 });
    assert.deepEqual([last?.more, last?.inbox.length], [false, 1]);
    const behind = await store.history(row.id, { after: 1, limit: 1 });
    assert.deepEqual([behind?.more, behind?.inbox.length], [false, 1]);
  });

  check("pages that are asked for at the same moment are each what was asked for", async ({ store, held, part }) => {
    const rows: RunRow[] = [];
    for (let i = 0; i < 12; i += 1) {
      const row = await held();
      rows.push(row);
      const steps = Array.from({ length: i }, (_, step) => succeeded(`s${step} of ${row.id}`));
      await accept(store, row, part(row, [started, ...steps]));
      if (i % 2 === 1) await store.send([message(row.id, `to ${i}`)]);
    }
    const asked = [
      ...rows.flatMap(({ id }, i) => [
        { run: id, page: { after: -1, limit: 1000 } },
        { run: id, page: { after: i - 4, limit: 3 } },
        { run: id, page: { after: i + 1, limit: 1 } },
      ]),
      { run: newRunId(1), page: { after: -1, limit: 10 } },
    ];
    const alone = [];
    for (const { run, page } of asked) alone.push(await store.history(run, page));
    const together = await Promise.all(asked.map(({ run, page }) => store.history(run, page)));
    assert.deepEqual(together, alone);
    assert.deepEqual([together.at(-1), together[33]?.events.length, together[33]?.inbox.length], [undefined, 13, 1]);
  });

  check("a history holds no events of another run", async ({ store, held, part }) => {
    const [a, b] = [await held(), await held()];
    await store.commit([part(a, [started, succeeded("of a")]), part(b, [started, succeeded("of b")])]);
    await store.send([message(a.id, "to a")]);
    const [ofA, ofB] = [await pageOf(store, a.id), await pageOf(store, b.id)];
    assert.ok(ofA.events.every(({ data }) => !data.includes("of b")));
    assert.ok(ofB.events.every(({ data }) => !data.includes("of a")));
    assert.deepEqual([ofA.inbox.length, ofB.inbox.length], [1, 0]);
  });

  check("a history of 10,000 events is read in pages, as it was written", async ({ store, held, part }) => {
    let row = await held();
    const written = [...(await pageOf(store, row.id)).events];
    for (let flush = 0; flush < 10; flush += 1) {
      const steps: Step[] = Array.from({ length: flush === 0 ? 999 : 1000 }, (_, i) => succeeded(`s${flush}-${i}`));
      const appended = part(row, steps);
      written.push(...appended.events);
      row = await accept(store, row, appended);
    }
    assert.equal(written.length, 10_000);
    const { events, row: now } = await wholeHistory(store, row.id);
    assert.deepEqual(events, written);
    assert.deepEqual(now.state, row.state);
    const { events: feed } = await wholeFeed(store, 10_000, { run: row.id });
    assert.deepEqual(
      feed.map(({ event }) => event),
      written,
    );
  });
}
