/** How runs come to be: once, whole, and with what they were given. */
import assert from "node:assert/strict";
import { newRunId } from "../../engine/id.ts";
import type { NewRun } from "../../store/store.ts";
import type { Check } from "./fixture.ts";
import { claimedIds, offer, payloadOf, started } from "./fixture.ts";
import { listedIds, rowOf, snapshot, wholeHistory } from "./read.ts";

export function createGuarantees(check: Check): void {
  check("a created run is there with its first event, its state and its row", async ({ store, newRun }) => {
    const run = newRun({ queue: "slow", priority: 3, tags: ["a", "b"] });
    assert.deepEqual(await store.create([run]), [{ id: run.id, created: true }]);
    const { row, events, inbox } = await wholeHistory(store, run.id);
    assert.deepEqual(events, run.events);
    assert.deepEqual(row.state, run.state);
    assert.equal(row.id, run.id);
    assert.equal(row.hash, run.events[0]?.hash);
    assert.deepEqual([row.queue, row.priority], ["slow", 3]);
    assert.deepEqual([row.inbox, row.inboxDone, row.claims], [0, 0, 0]);
    assert.equal(row.worker, undefined);
    assert.deepEqual(inbox, []);
  });

  check("a run is due at once unless it says when", async ({ store, clock, created }) => {
    const now = await created();
    const later = await created({ dueAt: clock.now() + 60_000 });
    assert.equal((await rowOf(store, now.id)).dueAt, clock.now());
    assert.equal((await rowOf(store, later.id)).dueAt, clock.now() + 60_000);
  });

  check("a run that does not say how urgent it is has priority 0", async ({ store, created }) => {
    assert.equal((await rowOf(store, (await created()).id)).priority, 0);
  });

  check("a run may be created with several events", async ({ store, newRun }) => {
    const run = newRun({ steps: [started, { type: "run.set", data: { tags: ["x"] } }] });
    await store.create([run]);
    const { row, events } = await wholeHistory(store, run.id);
    assert.deepEqual(events, run.events);
    assert.deepEqual([row.state, row.hash], [run.state, run.events.at(-1)?.hash]);
  });

  check("a run created twice with one id exists once, as it was first", async ({ store, newRun }) => {
    const first = newRun({ input: { inline: "first" } });
    await store.create([first]);
    const before = await snapshot(store);
    const again = newRun({ id: first.id, input: { inline: "second" } });
    assert.deepEqual(await store.create([again]), [{ id: first.id, created: false }]);
    assert.deepEqual(await snapshot(store), before);
  });

  check("a run created twice with one idempotency key exists once", async ({ store, newRun }) => {
    const first = newRun({ idempotencyKey: "order-17" });
    await store.create([first]);
    const before = await snapshot(store);
    const again = newRun({ idempotencyKey: "order-17", input: { inline: "other" } });
    assert.deepEqual(await store.create([again]), [{ id: first.id, created: false }]);
    assert.deepEqual(await snapshot(store), before);
  });

  check("a run is found by its workflow and idempotency key, and its row says the key", async ({ store, newRun }) => {
    const runs = [newRun({ idempotencyKey: "k" }), newRun({ idempotencyKey: "k", workflow: "other" }), newRun()];
    await store.create(runs);
    const found = await store.list({ workflow: "other", idempotencyKey: "k" });
    assert.deepEqual(
      found.runs.map(({ id, idempotencyKey }) => [id, idempotencyKey]),
      [[runs[1]?.id, "k"]],
    );
    assert.deepEqual((await store.list({ workflow: "other", idempotencyKey: "K" })).runs, []);
    const page = await store.history(runs[2]?.id ?? "", { after: -1, limit: 1 });
    assert.equal(page !== undefined && "idempotencyKey" in page.row, false);
  });

  check("an idempotency key is of its workflow: another workflow may use the same", async ({ store, newRun }) => {
    const runs = [newRun({ idempotencyKey: "k" }), newRun({ idempotencyKey: "k", workflow: "other" })];
    assert.deepEqual(
      await store.create(runs),
      runs.map(({ id }) => ({ id, created: true })),
    );
  });

  check("runs without an idempotency key are never taken for each other", async ({ store, newRun }) => {
    const runs = [newRun(), newRun(), newRun()];
    assert.deepEqual(
      await store.create(runs),
      runs.map(({ id }) => ({ id, created: true })),
    );
  });

  check("a run that comes from one that is not there is refused, and nothing of the call is created", async (bench) => {
    const { store, newRun } = bench;
    const [gone, family] = [newRun(), newRun()];
    await store.create([family]);
    const before = await snapshot(store);
    const origin = { kind: "restart", run: gone.id, seq: 0, hash: gone.events[0]?.hash ?? "" } as const;
    const orphan = newRun({ family: family.id, origin });
    const refused = { code: "run.not_found", data: { run: gone.id } };
    await assert.rejects(store.create([newRun(), orphan]), refused);
    await assert.rejects(store.create([orphan]), refused);
    // Asked for at the same time as others, which are created.
    const beside = newRun();
    const [others, alone] = await Promise.allSettled([store.create([beside]), store.create([orphan])]);
    assert.deepEqual([others.status, alone.status], ["fulfilled", "rejected"]);
    assert.deepEqual(await listedIds(store), [beside.id, family.id]);
    assert.equal((await snapshot(store)).runs.length, before.runs.length + 1);
    // A run and what comes from it may be created together.
    const child = newRun({ family: beside.id, origin: { kind: "child", run: gone.id, key: "call", seq: 0 } });
    assert.equal(
      (await store.create([gone, child])).every(({ created }) => created),
      true,
    );
  });

  check("an idempotency key holds when its run has ended, and after a reopen", async ({ store, newRun, reopen }) => {
    const first = newRun({ idempotencyKey: "k", steps: [{ type: "run.cancelled", data: {} }] });
    await store.create([first]);
    const again = await reopen();
    assert.deepEqual(await again.create([newRun({ idempotencyKey: "k" })]), [{ id: first.id, created: false }]);
  });

  check("runs of one call that are the same run are created once", async ({ store, newRun }) => {
    const first = newRun({ idempotencyKey: "k" });
    const sameKey = newRun({ idempotencyKey: "k" });
    const sameId = newRun({ id: first.id });
    assert.deepEqual(await store.create([first, sameKey, sameId]), [
      { id: first.id, created: true },
      { id: first.id, created: false },
      { id: first.id, created: false },
    ]);
    assert.deepEqual(await listedIds(store), [first.id]);
  });

  check("answers come in the order of what was asked, old and new mixed", async ({ store, newRun }) => {
    const old = newRun();
    await store.create([old]);
    const [a, b] = [newRun(), newRun()];
    const answers = await store.create([a, old, b]);
    assert.deepEqual(
      answers,
      [a, old, b].map((run) => ({ id: run.id, created: run !== old })),
    );
  });

  check("creating nothing is fine, and does nothing", async ({ store }) => {
    assert.deepEqual(await store.create([]), []);
    assert.deepEqual(await listedIds(store), []);
  });

  check("a run that is not created leaves none of its payloads", async ({ store, newRun }) => {
    const first = newRun();
    await store.create([first]);
    const { payload, value } = payloadOf("only the refused run has this");
    await store.create([newRun({ id: first.id, input: value, payloads: [payload] })]);
    const { payloadBytes } = await store.prune({ endedBefore: Number.MAX_SAFE_INTEGER, limit: 10, dryRun: true });
    assert.equal(payloadBytes, 0);
    assert.deepEqual((await store.payloads([payload.digest])).size, 0);
  });

  check("a create that fails midway leaves nothing behind, and the store goes on", async ({ store, newRun }) => {
    const { payload, value } = payloadOf("payload of the first");
    const good = newRun({ idempotencyKey: "k", input: value, payloads: [payload] });
    const bad = newRun();
    await assert.rejects(store.create([good, unreadable(bad)]));
    assert.deepEqual(await listedIds(store), []);
    assert.equal(await store.history(good.id, { after: -1, limit: 10 }), undefined);
    assert.equal((await store.payloads([payload.digest])).size, 0);
    assert.deepEqual(
      await store.create([good, bad]),
      [good, bad].map(({ id }) => ({ id, created: true })),
    );
    assert.deepEqual((await snapshot(store)).feed.length, 2);
  });

  check("two that create the same run at once get one run", async ({ store, newRun, second }) => {
    const other = await second();
    for (let i = 0; i < 20; i += 1) {
      const id = newRunId(1);
      const make = (): NewRun => newRun({ id, idempotencyKey: `k${i}` });
      const answers = (await Promise.all([store.create([make()]), other.create([make()])])).flat();
      assert.deepEqual(
        answers.map((answer) => answer.id),
        [id, id],
      );
      assert.deepEqual(answers.map((answer) => answer.created).sort(), [false, true]);
    }
    assert.equal((await claimedIds(other, "worker-b", [offer])).length, 20);
  });
}

/** The same run with a state that cannot be read to its end: whatever a store does with it, it fails there. */
function unreadable(run: NewRun): NewRun {
  const state = { ...run.state };
  Object.defineProperty(state, "error", {
    enumerable: true,
    get: () => {
      throw new RangeError("planted by the conformance suite");
    },
  });
  return { ...run, state };
}
