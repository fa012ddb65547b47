/**
 * Packs: parts of histories that are kept a second time. A store that keeps none takes commits that bring some, and is
 * not asked for them.
 */
import assert from "node:assert/strict";
import type { RunId } from "../../core/event.ts";
import type { Pack, Store } from "../../store/store.ts";
import type { Check } from "./fixture.ts";
import { accept, ended, message, payloadOf, started, succeeded } from "./fixture.ts";

/** Every byte there is, so many times, behind one that says which pack it is. */
function packOf(first: number, times: number = 1): Pack {
  const bytes = Uint8Array.from({ length: 2 + 256 * times }, (_, i) => (i < 2 ? first : (i - 2) % 256));
  // A view of a part of its buffer, as what comes out of other libraries may be.
  return { first, body: bytes.subarray(1) };
}

/** What is there of a run, as plain values; nothing of a store that keeps none. */
async function packsOf(store: Store, run: RunId, page: { from?: number; limit?: number } = {}): Promise<unknown[]> {
  const packs = await store.packs?.(run, { from: 0, limit: 100, ...page });
  for (const { body } of packs ?? []) assert.ok(body instanceof Uint8Array, "bytes come back as bytes");
  return (packs ?? []).map(plain);
}

function plain({ first, body }: Pack): unknown {
  return [first, Buffer.from(body).toString("hex")];
}

/** What a store that keeps packs is expected to have. */
function kept(store: Store, ...packs: readonly Pack[]): unknown[] {
  return store.packs === undefined ? [] : packs.map(plain);
}

export function packGuarantees(check: Check): void {
  check(
    "packs come back byte for byte, of one run, from a seq on, in order, as many as are asked for",
    async (bench) => {
      const { store, held, part, second, reopen } = bench;
      const [a, b] = [await held(), await held({ workflow: "other" })];
      const [p2, p5, p9, large] = [packOf(2), packOf(5), packOf(9), packOf(12, 2000)];
      const { payload, value } = payloadOf("a large value");
      const emit = [{ stream: "s", step: "", attempt: 1, text: "1" }];
      const next = await accept(store, a, part(a, [started], { packs: [p9, p5] }));
      const results = await store.commit([
        part(next, [succeeded("a", value)], { packs: [large, p2], payloads: [payload], emit }),
        part(b, [started], { packs: [packOf(7)] }),
      ]);
      assert.deepEqual(
        results.map(({ ok }) => ok),
        [true, true],
      );
      const page = await store.history(a.id, { after: -1, limit: 10 });
      assert.equal(page?.events.length, 3, "the history is as it is without them");
      for (const open of [async () => store, second, reopen]) {
        const some = await open();
        assert.deepEqual(await packsOf(some, a.id), kept(store, p2, p5, p9, large));
        assert.deepEqual(await packsOf(some, a.id, { from: 5 }), kept(store, p5, p9, large));
        assert.deepEqual(await packsOf(some, a.id, { from: 6, limit: 1 }), kept(store, p9));
        assert.deepEqual(await packsOf(some, a.id, { limit: 2 }), kept(store, p2, p5));
        assert.deepEqual(await packsOf(some, a.id, { from: 13 }), []);
        assert.deepEqual(await packsOf(some, b.id), kept(store, packOf(7)));
        assert.deepEqual(await packsOf(some, "run_0"), []);
      }
    },
  );

  check("a refused part leaves no pack, and those of the others of its flush stay", async ({ store, held, part }) => {
    const [a, b, c] = [await held(), await held(), await held()];
    await store.send([message(c.id, "k")]);
    const results = await store.commit([
      { ...part(a, [started], { packs: [packOf(1)] }), epoch: a.epoch + 1 },
      part(b, [started], { packs: [packOf(2)] }),
      part(c, [started], { packs: [packOf(3)], release: { dueAt: null } }),
    ]);
    assert.deepEqual(
      results.map((result) => (result.ok ? "ok" : result.reason)),
      ["epoch", "ok", "inbox"],
    );
    // Behind what is on record already.
    const late = { ...part(b, [started], { packs: [packOf(2, 2), packOf(4)] }) };
    assert.deepEqual(
      (await store.commit([late])).map(({ ok }) => ok),
      [false],
    );
    assert.deepEqual(await packsOf(store, a.id), []);
    assert.deepEqual(await packsOf(store, b.id), kept(store, packOf(2)));
    assert.deepEqual(await packsOf(store, c.id), []);
  });

  check("of a pack that is written again the last one counts", async ({ store, held, part }) => {
    const row = await held();
    const first = part(row, [started], { packs: [packOf(1), packOf(2), packOf(2, 2)] });
    const next = await accept(store, row, first);
    assert.deepEqual(await packsOf(store, row.id), kept(store, packOf(1), packOf(2, 2)));
    const second = part(next, [succeeded("a")], { packs: [packOf(2, 3), packOf(3)] });
    const after = await accept(store, next, second);
    assert.deepEqual(await packsOf(store, row.id), kept(store, packOf(1), packOf(2, 3), packOf(3)));
    // Two parts of a run in one flush, and a part that has nothing but a pack.
    const third = part(after, [succeeded("b")], { packs: [packOf(1, 2)] });
    const last = { ...after, state: third.state, hash: third.events.at(-1)?.hash ?? "" };
    const results = await store.commit([third, part(last, [], { packs: [packOf(1, 3)] })]);
    assert.deepEqual(
      results.map(({ ok }) => ok),
      [true, true],
    );
    assert.deepEqual(await packsOf(store, row.id), kept(store, packOf(1, 3), packOf(2, 3), packOf(3)));
  });

  check("packs go with their run and not before, and a new run has none", async (bench) => {
    const { store, clock, created, held, part } = bench;
    const other = await held({ workflow: "other" });
    await accept(store, other, part(other, [started], { packs: [packOf(2)] }));
    const run = await held({ workflow: "short" });
    const end = { packs: [packOf(1), packOf(3)], release: { dueAt: null, force: true } };
    await accept(store, run, part(run, [started, ended], end));
    clock.advance(1000);
    const request = { endedBefore: clock.now(), limit: 10 };
    assert.deepEqual((await store.prune({ ...request, dryRun: true })).runs, [run.id]);
    assert.deepEqual(await packsOf(store, run.id), kept(store, packOf(1), packOf(3)));
    assert.deepEqual((await store.prune(request)).runs, [run.id]);
    assert.deepEqual(await packsOf(store, run.id), []);
    // Whatever a store calls its runs inside: what takes the place of one that is gone has nothing of it.
    await created({ workflow: "short", id: run.id });
    assert.deepEqual(await packsOf(store, run.id), []);
    assert.deepEqual(await packsOf(store, (await created()).id), []);
    assert.deepEqual(await packsOf(store, other.id), kept(store, packOf(2)));
  });
}
