/** Whether anybody has code for a run: what workers claimed with last counts, for as long as they have their lease. */
import assert from "node:assert/strict";
import { sha256 } from "../../engine/hash.ts";
import type { RunId } from "../../core/event.ts";
import type { Offer, Store } from "../../store/store.ts";
import type { Check } from "./fixture.ts";
import { accept, claim, claimedIds, ended, leaseMs, offer, started } from "./fixture.ts";
import { rowOf, wholeList } from "./read.ts";

export function offeredGuarantees(check: Check): void {
  check("a run is offered while a worker with code for it has its lease, and not before or after", async (bench) => {
    const { store, clock, created } = bench;
    const run = await created();
    assert.equal(await isOffered(store, run.id), false);
    await claim(store, "worker-a");
    assert.equal(await isOffered(store, run.id), true);
    clock.advance(leaseMs - 1);
    assert.equal(await isOffered(store, run.id), true);
    clock.advance(2);
    assert.equal(await isOffered(store, run.id), false);
  });

  check("a worker that holds a run is told that it is offered", async ({ held }) => {
    assert.equal((await held()).offered, true);
  });

  check("a run that nobody holds is offered too, and one that nobody may claim yet", async (bench) => {
    const { store, clock, created, held, part } = bench;
    const given = await held();
    await accept(store, given, part(given, [started], { release: { dueAt: null } }));
    const later = await created({ dueAt: clock.now() + 60_000 });
    for (const { id } of [given, later]) assert.equal(await isOffered(store, id), true);
  });

  check("other versions and other workflows are not offered", async ({ store, created }) => {
    const runs = [
      await created({ version: 2 }),
      await created({ workflow: "audit2" }),
      await created({ workflow: "AUDIT" }),
      await created({ workflow: "audit@1", version: 1 }),
    ];
    await claim(store, "worker-a");
    for (const { id } of runs) assert.equal(await isOffered(store, id), false);
    assert.deepEqual(await offeredRuns(store), []);
  });

  check("the code behind an offer does not count, nor that it could not recall the run", async (bench) => {
    const { store, clock, created, held, part } = bench;
    const row = await held();
    const refused = { type: "run.suspended", data: { reason: "divergence", fingerprint: offer.fingerprint } } as const;
    await accept(store, row, part(row, [started, refused], { release: { dueAt: clock.now() } }));
    const other = await created();
    await claim(store, "worker-a", { offers: [{ ...offer, fingerprint: sha256("other code") }], limit: 0 });
    for (const { id } of [row, other]) assert.equal(await isOffered(store, id), true);
  });

  check("what a worker offers is what it claimed with last, also when there is nothing to claim", async (bench) => {
    const { store, created } = bench;
    const [one, two] = [await created({ version: 1 }), await created({ version: 2 })];
    const offers: Offer[] = [1, 2].map((version) => ({ ...offer, version }));
    await claim(store, "worker-a", { offers, limit: 0 });
    assert.deepEqual(await offeredRuns(store), [two.id, one.id]);
    await claim(store, "worker-a", { offers: offers.slice(1), limit: 0 });
    assert.deepEqual(await offeredRuns(store), [two.id]);
    await claim(store, "worker-a", { offers: [], limit: 0 });
    assert.deepEqual(await offeredRuns(store), []);
    await claim(store, "worker-a", { offers: offers.slice(0, 1) });
    assert.deepEqual(await offeredRuns(store), [one.id]);
  });

  check("a run is offered as long as one of several workers has code for it", async ({ store, clock, created }) => {
    const run = await created();
    await claim(store, "worker-a", { limit: 0 });
    clock.advance(leaseMs / 2);
    await claim(store, "worker-b", { limit: 0 });
    await claim(store, "worker-c", { offers: [{ ...offer, version: 9 }] });
    clock.advance(leaseMs - 1);
    assert.equal(await isOffered(store, run.id), true);
    clock.advance(2);
    assert.equal(await isOffered(store, run.id), false);
  });

  check("a heartbeat keeps what its worker offers, also of one that comes too late but lost nothing", async (bench) => {
    const { store, clock, created } = bench;
    const run = await created();
    await claim(store, "worker-a");
    for (const ms of [leaseMs - 1, leaseMs - 1, leaseMs * 3]) {
      clock.advance(ms);
      assert.equal((await store.heartbeat({ worker: "worker-a", leaseMs })).expired, false);
      assert.equal(await isOffered(store, run.id), true);
    }
  });

  check("a worker that was taken for dead offers again with its next claim", async ({ store, clock, created }) => {
    const run = await created();
    await claim(store, "worker-a", { limit: 0 });
    clock.advance(leaseMs + 1);
    await claimedIds(store, "worker-b", []);
    assert.equal(await isOffered(store, run.id), false);
    assert.equal((await store.heartbeat({ worker: "worker-a", leaseMs })).expired, true);
    await claim(store, "worker-a", { limit: 0 });
    assert.equal(await isOffered(store, run.id), true);
  });

  check("of a run that has ended the same is said", async ({ store, clock, held, part }) => {
    const row = await held();
    await accept(store, row, part(row, [started, ended], { release: { dueAt: null } }));
    assert.equal(await isOffered(store, row.id), true);
    clock.advance(leaseMs + 1);
    assert.equal(await isOffered(store, row.id), false);
  });

  check("offers are there for every connection, and across a reopen", async ({ store, created, second, reopen }) => {
    const run = await created();
    const other = await second();
    await claim(store, "worker-a");
    assert.equal(await isOffered(other, run.id), true);
    assert.equal(await isOffered(await reopen(), run.id), true);
  });
}

/** What the list and the history say, which must be the same. */
async function isOffered(store: Store, run: RunId): Promise<boolean> {
  const { offered } = await rowOf(store, run);
  const [listed] = (await store.list({ ids: [run] })).runs;
  assert.equal(listed?.offered, offered, "the list and the history say the same");
  return offered;
}

async function offeredRuns(store: Store): Promise<RunId[]> {
  return (await wholeList(store)).flatMap(({ id, offered }) => (offered ? [id] : []));
}
