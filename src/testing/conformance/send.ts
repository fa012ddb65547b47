/** Messages to runs: accepted once, kept in order, and never without waking their run. */
import assert from "node:assert/strict";
import { limits } from "../../core/limits.ts";
import { newRunId } from "../../engine/id.ts";
import type { Check } from "./fixture.ts";
import { accept, claimedIds, ended, message, offer, started, suspended } from "./fixture.ts";
import { pageOf, rowOf, snapshot } from "./read.ts";

export function sendGuarantees(check: Check): void {
  check("messages are there, in the order in which they came", async ({ store, clock, created }) => {
    const run = await created();
    const sent = [message(run.id, "b", 1), message(run.id, "a", { x: [2] }), message(run.id, "c", null)];
    const results = [...(await store.send(sent.slice(0, 2)))];
    const first = clock.now();
    clock.advance(1000);
    results.push(...(await store.send(sent.slice(2))));
    assert.deepEqual(
      results,
      sent.map(({ key }) => ({ run: run.id, key, accepted: true })),
    );
    const { inbox, row } = await pageOf(store, run.id);
    assert.deepEqual(
      inbox.map(({ key, kind, body }) => ({ run: run.id, key, kind, body })),
      sent,
    );
    assert.deepEqual(
      inbox.map(({ at }) => at),
      [first, first, clock.now()],
    );
    const numbers = inbox.map(({ number }) => number);
    assert.ok(
      numbers.every((number, i) => number > (numbers[i - 1] ?? 0)),
      `numbers rise from 1: ${numbers.join()}`,
    );
    assert.deepEqual([row.inbox, row.inboxDone], [numbers.at(-1), 0]);
  });

  check(
    "a message to a run that is being taken in waits with it until it is whole, and then makes it due",
    async (bench) => {
      const { store, clock, created, part } = bench;
      const dueAt = clock.now() + limits.takingInMs * 2;
      const half = await created({ dueAt });
      assert.deepEqual(await store.send([message(half.id, "early")]), [{ run: half.id, key: "early", accepted: true }]);
      assert.equal((await rowOf(store, half.id)).dueAt, dueAt);
      assert.deepEqual(await claimedIds(store, "other"), []);
      const row = await rowOf(store, half.id);
      const release = { dueAt: null, force: true, rests: true };
      await accept(store, row, part(row, [started], { release }));
      assert.equal((await rowOf(store, half.id)).dueAt, clock.now());
      assert.deepEqual(await claimedIds(store, "other"), [half.id]);
      const { inbox } = await pageOf(store, half.id);
      assert.deepEqual(
        inbox.map(({ key }) => key),
        ["early"],
      );
      // One that somebody had is whole, however long it rests.
      const resting = await bench.held({ workflow: "resting" });
      await accept(store, resting, part(resting, [started, suspended], { release: { dueAt } }));
      await store.send([message(resting.id, "late")]);
      assert.equal((await rowOf(store, resting.id)).dueAt, clock.now());
    },
  );

  check("a message that wakes nobody waits with its run until something else makes that due", async (bench) => {
    const { store, created, held, part } = bench;
    const resting = await held({ workflow: "resting" });
    const release = { dueAt: null };
    await accept(store, resting, part(resting, [started, suspended], { release }));
    const quiet = { ...message(resting.id, "quiet"), wakes: false as const };
    assert.deepEqual(await store.send([quiet]), [{ run: resting.id, key: "quiet", accepted: true }]);
    assert.deepEqual(await store.send([quiet]), [
      { run: resting.id, key: "quiet", accepted: false, reason: "repeated" },
    ]);
    assert.equal((await rowOf(store, resting.id)).dueAt, null);
    const offers = [{ workflow: "resting", version: 1, fingerprint: offer.fingerprint }];
    assert.deepEqual(await claimedIds(store, "other", offers), []);
    const due = await created();
    await store.send([{ ...message(due.id, "quiet"), wakes: false }]);
    assert.deepEqual(await claimedIds(store, "other"), [due.id], "a run that is due stays so");
    await store.send([{ ...message(resting.id, "quieter"), wakes: false }, message(resting.id, "loud")]);
    assert.deepEqual(await claimedIds(store, "other", offers), [resting.id]);
    const { inbox } = await pageOf(store, resting.id);
    assert.deepEqual(
      inbox.map(({ key }) => key),
      ["quiet", "quieter", "loud"],
    );
  });

  check("a message writes no event and changes no state", async ({ store, created }) => {
    const run = await created();
    const { events, row } = await pageOf(store, run.id);
    await store.send([message(run.id, "a")]);
    const now = await pageOf(store, run.id);
    assert.deepEqual([now.events, now.row.state, now.row.epoch], [events, row.state, row.epoch]);
  });

  check("a message is accepted once per key", async ({ store, created }) => {
    const run = await created();
    await store.send([message(run.id, "k", "first")]);
    const before = await snapshot(store);
    const again = message(run.id, "k", "second");
    const repeated = { run: run.id, key: "k", accepted: false, reason: "repeated" };
    assert.deepEqual(await store.send([again]), [repeated]);
    assert.deepEqual(await store.send([again, again]), [repeated, repeated]);
    assert.deepEqual(await snapshot(store), before);
  });

  check("of two equal keys in one call the first is accepted", async ({ store, created }) => {
    const run = await created();
    const results = await store.send([message(run.id, "k", "first"), message(run.id, "k", "second")]);
    assert.deepEqual(
      results.map(({ accepted }) => accepted),
      [true, false],
    );
    assert.deepEqual(
      (await pageOf(store, run.id)).inbox.map(({ body }) => body),
      ['"first"'],
    );
  });

  check("a key is of its run: another run may be sent the same", async ({ store, created }) => {
    const [a, b] = [await created(), await created()];
    const results = await store.send([message(a.id, "k"), message(b.id, "k")]);
    assert.deepEqual(
      results.map(({ accepted }) => accepted),
      [true, true],
    );
  });

  check("a key stays taken when its message has become an event, and after a reopen", async (bench) => {
    const { store, held, part, reopen } = bench;
    const row = await held();
    await store.send([message(row.id, "k")]);
    const { inbox } = await rowOf(store, row.id);
    await accept(store, row, part(row, [started, suspended], { inbox, release: { dueAt: null } }));
    const again = await reopen();
    const before = await snapshot(again);
    assert.deepEqual(await again.send([message(row.id, "k")]), [
      { run: row.id, key: "k", accepted: false, reason: "repeated" },
    ]);
    assert.deepEqual(await snapshot(again), before, "and it wakes nobody");
    assert.deepEqual(await claimedIds(again, "worker-b"), []);
  });

  check("a message to a run that is not there is not accepted", async ({ store, created }) => {
    const [run, missing] = [await created(), newRunId(1)];
    assert.deepEqual(await store.send([message(missing, "k"), message(run.id, "k")]), [
      { run: missing, key: "k", accepted: false, reason: "missing" },
      { run: run.id, key: "k", accepted: true },
    ]);
  });

  check("a message to a run that has ended is not accepted", async ({ store, held, part }) => {
    const row = await held();
    await accept(store, row, part(row, [started, ended], { release: { dueAt: null } }));
    const before = await snapshot(store);
    assert.deepEqual(await store.send([message(row.id, "k")]), [
      { run: row.id, key: "k", accepted: false, reason: "ended" },
    ]);
    assert.deepEqual(await snapshot(store), before);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
  });

  check("a message makes a run due at once, whatever it waits for", async ({ store, clock, created, held, part }) => {
    const later = await created({ dueAt: clock.now() + 1_000_000 });
    const timer = await held();
    await accept(store, timer, part(timer, [started, suspended], { release: { dueAt: clock.now() + 2_000_000 } }));
    const never = await held();
    await accept(store, never, part(never, [started, suspended], { release: { dueAt: null } }));
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    for (const { id } of [later, timer, never]) {
      await store.send([message(id, "wake")]);
      assert.ok(((await rowOf(store, id)).dueAt ?? Number.POSITIVE_INFINITY) <= clock.now());
      assert.deepEqual(await claimedIds(store, "worker-b"), [id]);
    }
  });

  check("a message that is not accepted wakes nobody", async ({ store, clock, held, part }) => {
    const row = await held();
    await store.send([message(row.id, "k")]);
    const { inbox } = await rowOf(store, row.id);
    await accept(store, row, part(row, [started, suspended], { inbox, release: { dueAt: clock.now() + 1000 } }));
    await store.send([message(row.id, "k")]);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
  });

  check("a message to a run that somebody holds does not take it from them", async ({ store, held, part }) => {
    const row = await held();
    await store.send([message(row.id, "k")]);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    await accept(store, row, part(row, [started]));
  });

  check("an inbox that is full accepts nothing more until messages have become events", async (bench) => {
    const { store, held, part } = bench;
    const row = await held();
    const many = Array.from({ length: limits.inboxMessagesMax }, (_, i) => message(row.id, `k${i}`, i));
    const results = await store.send(many);
    assert.ok(results.every(({ accepted }) => accepted));
    const { inbox } = await rowOf(store, row.id);
    assert.deepEqual(await store.send([message(row.id, "one more"), message(row.id, "k0")]), [
      { run: row.id, key: "one more", accepted: false, reason: "full" },
      { run: row.id, key: "k0", accepted: false, reason: "repeated" },
    ]);
    assert.equal((await pageOf(store, row.id)).inbox.length, limits.inboxMessagesMax);
    await accept(store, row, part(row, [started], { inbox }));
    assert.deepEqual(await store.send([message(row.id, "one more")]), [
      { run: row.id, key: "one more", accepted: true },
    ]);
  });

  check("sending nothing is fine, and does nothing", async ({ store }) => {
    assert.deepEqual(await store.send([]), []);
  });

  check("two that send the same message at once send it once", async ({ store, created, second }) => {
    const other = await second();
    const run = await created();
    for (let i = 0; i < 20; i += 1) {
      const results = await Promise.all([
        store.send([message(run.id, `k${i}`)]),
        other.send([message(run.id, `k${i}`)]),
      ]);
      assert.deepEqual(
        results
          .flat()
          .map(({ accepted }) => accepted)
          .sort(),
        [false, true],
      );
    }
    assert.equal((await pageOf(store, run.id)).inbox.length, 20);
  });
}
