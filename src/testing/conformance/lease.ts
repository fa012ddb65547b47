/** How long a worker may hold its runs, and what happens when it is not heard of any more. */
import assert from "node:assert/strict";
import type { Check } from "./fixture.ts";
import { accept, claim, claimedIds, leaseMs, message, started, suspended } from "./fixture.ts";
import { rowOf, snapshot } from "./read.ts";

export function leaseGuarantees(check: Check): void {
  check("a run is not taken from a worker whose lease has not run out", async ({ store, clock, held }) => {
    const row = await held();
    clock.advance(leaseMs - 1);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    assert.equal((await rowOf(store, row.id)).worker, "worker-a");
  });

  check("runs of a worker whose lease has run out are given to others", async ({ store, clock, held }) => {
    const row = await held();
    clock.advance(leaseMs + 1);
    const [again] = (await claim(store, "worker-b")).runs;
    assert.ok(again, "worker-b is given the run");
    assert.equal(again.id, row.id);
    assert.ok(again.epoch > row.epoch, "the epoch has risen, so worker-a can no longer append");
    assert.equal(again.worker, "worker-b");
  });

  check("a lease is as long as its worker asked for", async ({ store, clock, created }) => {
    const run = await created();
    await claim(store, "worker-a", { leaseMs: 1000 });
    clock.advance(999);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    clock.advance(2);
    assert.deepEqual(await claimedIds(store, "worker-b"), [run.id]);
  });

  check("a stale lease cannot commit", async ({ store, clock, held, part }) => {
    const row = await held();
    clock.advance(leaseMs + 1);
    const [again] = (await claim(store, "worker-b")).runs;
    assert.ok(again);
    const before = await snapshot(store);
    for (const release of [{}, { release: { dueAt: null } }, { release: { dueAt: null, force: true } }]) {
      const [result] = await store.commit([part(row, [started], release)]);
      assert.ok(result?.ok === false && result.reason === "epoch", JSON.stringify(result));
      assert.equal(result.epoch, again.epoch);
    }
    assert.deepEqual(await snapshot(store), before, "nothing has changed, and worker-b still holds the run");
    await accept(store, again, part(again, [started]));
  });

  check("a heartbeat renews the lease of all runs of its worker", async ({ store, clock, held }) => {
    await held();
    await held();
    for (let i = 0; i < 5; i += 1) {
      clock.advance(leaseMs - 1);
      assert.deepEqual(await store.heartbeat({ worker: "worker-a", leaseMs }), {
        now: clock.now(),
        expired: false,
        news: [],
      });
    }
    clock.advance(leaseMs - 1);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
  });

  check("a heartbeat renews no lease but its worker's", async ({ store, clock, held }) => {
    const row = await held({ worker: "worker-a" });
    await held({ worker: "worker-b" });
    clock.advance(leaseMs - 1);
    await store.heartbeat({ worker: "worker-b", leaseMs });
    clock.advance(2);
    assert.deepEqual(await claimedIds(store, "worker-c"), [row.id]);
  });

  check("a claim renews the lease too, also when it gives nothing", async ({ store, clock, held }) => {
    await held();
    clock.advance(leaseMs - 1);
    assert.deepEqual(await claimedIds(store, "worker-a"), []);
    clock.advance(leaseMs - 1);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    assert.equal((await store.heartbeat({ worker: "worker-a", leaseMs })).expired, false);
  });

  check("a claim leaves its worker at least half of a lease", async ({ store, clock, held }) => {
    const row = await held();
    for (let i = 0; i < 10; i += 1) {
      clock.advance(leaseMs / 2 - 1);
      assert.deepEqual(await claimedIds(store, "worker-b"), []);
      assert.deepEqual(await claimedIds(store, "worker-a"), []);
    }
    assert.equal((await rowOf(store, row.id)).epoch, row.epoch);
  });

  check("a worker that was taken for dead learns it at its next heartbeat", async ({ store, clock, held }) => {
    await held();
    clock.advance(leaseMs + 1);
    assert.equal((await claimedIds(store, "worker-b")).length, 1);
    const beat = await store.heartbeat({ worker: "worker-a", leaseMs });
    assert.equal(beat.expired, true);
    assert.deepEqual(beat.news, [], "it holds nothing that there could be news of");
  });

  check("a worker that comes too late goes on with its runs as long as nobody took them", async (bench) => {
    const { store, clock, held, part } = bench;
    const row = await held();
    clock.advance(leaseMs * 10);
    assert.equal((await store.heartbeat({ worker: "worker-a", leaseMs })).expired, false);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    await accept(store, row, part(row, [started]));
  });

  check("runs that a worker drops because it was taken for dead are free for others, all of them", async (bench) => {
    const { store, clock, held } = bench;
    const rows = [await held(), await held()];
    clock.advance(leaseMs + 1);
    const taken = (await claim(store, "worker-b", { limit: 1 })).runs;
    assert.equal(taken.length, 1);
    assert.equal((await store.heartbeat({ worker: "worker-a", leaseMs })).expired, true);
    const rest = (await claim(store, "worker-c")).runs;
    assert.deepEqual([...taken, ...rest].map(({ id }) => id).sort(), rows.map(({ id }) => id).sort());
  });

  check("a worker that was taken for dead may begin anew, fenced off from what it began before", async (bench) => {
    const { store, clock, held, part } = bench;
    const row = await held();
    clock.advance(leaseMs + 1);
    assert.deepEqual(await claimedIds(store, "worker-b", []), []);
    assert.equal((await store.heartbeat({ worker: "worker-a", leaseMs })).expired, true);
    const [again] = (await claim(store, "worker-a")).runs;
    assert.equal(again?.id, row.id);
    assert.ok(again.epoch > row.epoch);
    clock.advance(leaseMs - 1);
    assert.equal((await store.heartbeat({ worker: "worker-a", leaseMs })).expired, false);
    const [late] = await store.commit([part(row, [started])]);
    assert.ok(late?.ok === false && late.reason === "epoch");
    await accept(store, again, part(again, [started]));
  });

  check("a worker that claims before it learns that it was taken for dead cannot go on as before", async (bench) => {
    const { store, clock, held, part } = bench;
    const row = await held();
    clock.advance(leaseMs + 1);
    await claimedIds(store, "worker-b", []);
    await claim(store, "worker-a");
    const before = await snapshot(store);
    const [late] = await store.commit([part(row, [started])]);
    assert.ok(late?.ok === false && late.reason === "epoch", JSON.stringify(late));
    assert.deepEqual(await snapshot(store), before);
    const { expired } = await store.heartbeat({ worker: "worker-a", leaseMs });
    const found = await claimedIds(store, "worker-c");
    assert.deepEqual(
      found,
      expired ? [row.id] : [],
      "what a worker is told to drop is free, what it is not told is not",
    );
  });

  check("a run that was given back outlives the lease of who gave it back", async ({ store, clock, held, part }) => {
    const row = await held();
    await accept(store, row, part(row, [started, suspended], { release: { dueAt: null } }));
    const before = await snapshot(store);
    clock.advance(leaseMs + 1);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    assert.deepEqual(await snapshot(store), before);
  });

  check("a heartbeat tells for which of its runs messages wait, and how far they go", async ({ store, held }) => {
    const [quiet, loud] = [await held(), await held()];
    const others = await held({ worker: "worker-b" });
    await store.send([message(loud.id, "a"), message(others.id, "b"), message(loud.id, "c")]);
    const { news } = await store.heartbeat({ worker: "worker-a", leaseMs });
    assert.deepEqual(news, [{ run: loud.id, inbox: (await rowOf(store, loud.id)).inbox }]);
    assert.equal((await rowOf(store, quiet.id)).inbox, 0);
  });

  check("messages that have become events are no news any more", async ({ store, held, part }) => {
    const row = await held();
    await store.send([message(row.id, "a"), message(row.id, "b")]);
    const { inbox } = await rowOf(store, row.id);
    await accept(store, row, part(row, [started], { inbox }));
    assert.deepEqual((await store.heartbeat({ worker: "worker-a", leaseMs })).news, []);
  });

  check("leases hold across a reopen", async ({ clock, held, reopen }) => {
    const row = await held();
    clock.advance(leaseMs - 1);
    const again = await reopen();
    assert.deepEqual(await claimedIds(again, "worker-b"), []);
    clock.advance(2);
    assert.deepEqual(await claimedIds(again, "worker-b"), [row.id]);
  });
}
