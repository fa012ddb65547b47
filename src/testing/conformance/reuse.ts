/** Finding recorded successes of a family by reuse key. */
import assert from "node:assert/strict";
import { sha256 } from "../../engine/hash.ts";
import type { Check } from "./fixture.ts";
import { accept, started, succeeded } from "./fixture.ts";
import { wholeFeed } from "./read.ts";

const [keyA, keyB, keyC] = [sha256("reuse key a"), sha256("reuse key b"), sha256("reuse key c")];

export function reuseGuarantees(check: Check): void {
  check("successes are found by reuse key, each with its run and seq", async ({ store, held, part }) => {
    const row = await held();
    const reuse = [
      { seq: 2, key: keyA },
      { seq: 3, key: keyB },
    ];
    await accept(store, row, part(row, [started, succeeded("a"), succeeded("b")], { reuse }));
    const found = await store.reusable(row.id, [keyA, keyB, keyC]);
    assert.deepEqual(found.get(keyA), [{ run: row.id, seq: 2 }]);
    assert.deepEqual(found.get(keyB), [{ run: row.id, seq: 3 }]);
    assert.deepEqual(found.get(keyC) ?? [], []);
    assert.equal((await store.reusable(row.id, [])).size, 0);
  });

  check("a success without a reuse key is not found", async ({ store, held, part }) => {
    const row = await held();
    await accept(store, row, part(row, [started, succeeded("a"), succeeded("b")], { reuse: [{ seq: 3, key: keyA }] }));
    assert.deepEqual((await store.reusable(row.id, [keyA])).get(keyA), [{ run: row.id, seq: 3 }]);
  });

  check("only successes of the family that asks are found", async ({ store, held, part }) => {
    const [a, b] = [await held(), await held()];
    await accept(store, a, part(a, [started, succeeded("x")], { reuse: [{ seq: 2, key: keyA }] }));
    await accept(store, b, part(b, [started, succeeded("x")], { reuse: [{ seq: 2, key: keyA }] }));
    assert.deepEqual((await store.reusable(a.id, [keyA])).get(keyA), [{ run: a.id, seq: 2 }]);
    assert.deepEqual((await store.reusable(b.id, [keyA])).get(keyA), [{ run: b.id, seq: 2 }]);
  });

  check("producers of one key come in the order of the feed, over all runs of the family", async (bench) => {
    const { store, held, part } = bench;
    const root = await held();
    const origin = { kind: "restart", run: root.id, seq: 0, hash: root.hash } as const;
    let [a, b] = [root, await held({ family: root.id, origin })];
    for (let i = 0; i < 4; i += 1) {
      const [first, second] = [part(b, [succeeded(`s${i}`)]), part(a, [succeeded(`s${i}`)])];
      b = await accept(store, b, { ...first, reuse: [{ seq: first.seq, key: keyA }] });
      a = await accept(store, a, { ...second, reuse: [{ seq: second.seq, key: keyA }] });
    }
    const { events } = await wholeFeed(store, 10);
    const order = events.filter(({ event }) => event.seq > 0).map(({ run, event }) => ({ run, seq: event.seq }));
    assert.equal(order.length, 8);
    assert.deepEqual((await store.reusable(root.id, [keyA])).get(keyA), order);
  });

  check("a family finds many keys at once, and again after a reopen", async ({ store, held, part, reopen }) => {
    const row = await held();
    const keys = Array.from({ length: 1500 }, (_, i) => sha256(`key ${i}`));
    const reuse = keys.map((key, i) => ({ seq: i + 1, key }));
    await accept(
      store,
      row,
      part(
        row,
        keys.map((_, i) => succeeded(`s${i}`)),
        { reuse },
      ),
    );
    const found = await (await reopen()).reusable(row.id, [...keys, keyA]);
    for (const { seq, key } of reuse) assert.deepEqual(found.get(key), [{ run: row.id, seq }]);
  });
}
