/** From the opening of a store to its end: what outlives it, and what it answers when it is closed. */
import assert from "node:assert/strict";
import { isStemmaError } from "../../core/error.ts";
import { newRunId } from "../../engine/id.ts";
import type { Check } from "./fixture.ts";
import { accept, claim, leaseMs, message, offer, payloadOf, started, succeeded, suspended } from "./fixture.ts";
import { snapshot } from "./read.ts";

export function lifeGuarantees(check: Check): void {
  check("what was committed is there, byte for byte, after a reopen", async (bench) => {
    const { store, clock, created, held, part } = bench;
    const { payload, value } = payloadOf({ text: "kept apart", n: [1, 2.5, -3e-7] });
    await created({ tags: ["x"], idempotencyKey: "k", queue: "q", priority: 4, dueAt: clock.now() + 9_000_000 });
    const row = await held({ workflow: "pay", input: value, payloads: [payload] });
    const reuse = [{ seq: 2, key: payload.digest }];
    const known = await accept(store, row, part(row, [started, succeeded("a", value)], { reuse }));
    const waiting = await held({ workflow: "wait", worker: "worker-b" });
    await accept(store, waiting, part(waiting, [started, suspended], { release: { dueAt: null } }));
    await store.send([message(waiting.id, "answer", { yes: true }), message(row.id, "news")]);
    const all = { digests: [payload.digest], reuse: [{ family: row.id, key: payload.digest }] };
    const before = await snapshot(store, all);
    const again = await bench.reopen();
    assert.deepEqual(await snapshot(again, all), before);
    await accept(again, known, part(known, [succeeded("b")]));
  });

  check("what one connection has committed, another sees", async (bench) => {
    const { store, created, held, part } = bench;
    const other = await bench.second();
    await created();
    const row = await held({ workflow: "pay" });
    const known = await accept(store, row, part(row, [started]));
    await store.send([message(row.id, "k")]);
    assert.deepEqual(await snapshot(other), await snapshot(store));
    await accept(other, known, part(known, [succeeded("a")]));
    assert.deepEqual(await snapshot(other), await snapshot(store));
  });

  check("time is the store's own clock, in every answer", async ({ store, clock, created }) => {
    await created();
    for (let i = 0; i < 3; i += 1) {
      clock.advance(777);
      assert.equal((await claim(store, "worker-a")).now, clock.now());
      assert.equal((await store.heartbeat({ worker: "worker-a", leaseMs })).now, clock.now());
    }
  });

  check("a store says what it is", async ({ store }) => {
    assert.equal(typeof store.name, "string");
    assert.notEqual(store.name.trim(), "");
  });

  check("closing again is the same as closing once", async ({ store, created }) => {
    await created();
    await store.close();
    await store.close();
    await Promise.all([store.close(), store.close()]);
  });

  check("a closed store answers every call with store.closed", async ({ store, held, newRun, part }) => {
    const row = await held();
    await store.close();
    const calls: Record<string, () => Promise<unknown>> = {
      create: () => store.create([newRun()]),
      claim: () => store.claim({ worker: "worker-a", offers: [offer], limit: 1, leaseMs }),
      heartbeat: () => store.heartbeat({ worker: "worker-a", leaseMs }),
      commit: () => store.commit([part(row, [started])]),
      history: () => store.history(row.id, { after: -1, limit: 1 }),
      payloads: () => store.payloads([row.hash]),
      send: () => store.send([message(row.id, "k")]),
      list: () => store.list({}),
      reusable: () => store.reusable(row.id, [row.hash]),
      feed: () => store.feed({ after: 0, limit: 1 }),
      prune: () => store.prune({ endedBefore: 0, limit: 1 }),
    };
    const packs = store.packs?.bind(store);
    if (packs !== undefined) calls["packs"] = () => packs(row.id, { from: 0, limit: 1 });
    for (const [name, call] of Object.entries(calls)) {
      await assert.rejects(call, (error) => isStemmaError(error, "store.closed"), name);
    }
  });

  check("closing one connection leaves the others open", async ({ store, second, created }) => {
    const other = await second();
    const run = await created();
    if (other !== store) await other.close();
    assert.equal((await store.history(run.id, { after: -1, limit: 1 }))?.row.id, run.id);
    assert.equal(await store.history(newRunId(1), { after: -1, limit: 1 }), undefined);
  });
}
