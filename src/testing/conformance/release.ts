/** How a run is given back, and why no wake-up is ever lost on the way. */
import assert from "node:assert/strict";
import type { Commit } from "../../store/store.ts";
import type { Check } from "./fixture.ts";
import { accept, claim, claimedIds, ended, leaseMs, message, started, suspended } from "./fixture.ts";
import { pageOf, rowOf, snapshot } from "./read.ts";

export function releaseGuarantees(check: Check): void {
  check("a run that was given back is held by nobody, and due when it said", async ({ store, clock, held, part }) => {
    const row = await held();
    const dueAt = clock.now() + 5000;
    await accept(store, row, part(row, [started, suspended], { release: { dueAt } }));
    const now = await rowOf(store, row.id);
    assert.deepEqual([now.worker, now.dueAt, now.state.status], [undefined, dueAt, "suspended"]);
    clock.advance(4999);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    clock.advance(1);
    assert.deepEqual(await claimedIds(store, "worker-b"), [row.id]);
  });

  check("a run that waits for a message only is not due by itself", async ({ store, clock, held, part }) => {
    const row = await held();
    await accept(store, row, part(row, [started, suspended], { release: { dueAt: null } }));
    assert.equal((await rowOf(store, row.id)).dueAt, null);
    clock.advance(10 * 365 * 86_400_000);
    const { runs, nextDueAt } = await claim(store, "worker-b");
    assert.deepEqual([runs, nextDueAt], [[], undefined]);
  });

  check("a run that was in the midst of something is due when it is given back, unless it is to rest", async (at) => {
    const { store, clock, held, part } = at;
    const [stopped, resting] = [await held(), await held()];
    await accept(store, stopped, part(stopped, [started], { release: { dueAt: null, force: true } }));
    await accept(store, resting, part(resting, [started], { release: { dueAt: null, force: true, rests: true } }));
    assert.equal((await rowOf(store, resting.id)).dueAt, null);
    clock.advance(10 * 365 * 86_400_000);
    assert.deepEqual(await claimedIds(store, "worker-b"), [stopped.id]);
    await store.send([message(resting.id, "answer")]);
    assert.deepEqual(await claimedIds(store, "worker-b"), [resting.id]);
  });

  check("a part that gives nothing back leaves the run with its holder", async ({ store, held, part }) => {
    const row = await held();
    await accept(store, row, part(row, [started]));
    assert.equal((await rowOf(store, row.id)).worker, "worker-a");
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
  });

  check("who gave a run back and claims it again has another epoch", async ({ store, clock, held, part }) => {
    const row = await held();
    const part1 = part(row, [started, suspended], { release: { dueAt: clock.now() } });
    await accept(store, row, part1);
    const [again] = (await claim(store, "worker-a")).runs;
    assert.equal(again?.epoch, row.epoch + 1);
    const [late] = await store.commit([{ ...part(again, [started]), epoch: row.epoch }]);
    assert.ok(late?.ok === false && late.reason === "epoch");
  });

  check("a suspend is refused when a message came that its holder has not seen", async ({ store, held, part }) => {
    const row = await held();
    await store.send([message(row.id, "answer")]);
    const before = await snapshot(store);
    for (const dueAt of [null, 5]) {
      const [result] = await store.commit([part(row, [started, suspended], { release: { dueAt } })]);
      assert.ok(result?.ok === false && result.reason === "inbox", JSON.stringify(result));
      assert.deepEqual([result.epoch, result.inbox], [row.epoch, (await rowOf(store, row.id)).inbox]);
    }
    assert.deepEqual(await snapshot(store), before, "no event, no release: the holder goes on");
  });

  check("a suspend that has taken in one of two messages is refused", async ({ store, held, part }) => {
    const row = await held();
    await store.send([message(row.id, "a"), message(row.id, "b")]);
    const [first, second] = (await pageOf(store, row.id)).inbox;
    assert.ok(first && second);
    const wait: Partial<Commit> = { release: { dueAt: null } };
    const [refused] = await store.commit([part(row, [started, suspended], { ...wait, inbox: first.number })]);
    assert.ok(refused?.ok === false && refused.reason === "inbox");
    const [accepted] = await store.commit([part(row, [started, suspended], { ...wait, inbox: second.number })]);
    assert.equal(accepted?.ok, true);
  });

  check("a refused suspend leaves the others of its flush committed", async ({ store, held, part }) => {
    const [a, b] = [await held(), await held()];
    await store.send([message(a.id, "answer")]);
    const wait: Partial<Commit> = { release: { dueAt: null } };
    const results = await store.commit([part(a, [started, suspended], wait), part(b, [started, suspended], wait)]);
    assert.deepEqual(
      results.map(({ ok }) => ok),
      [false, true],
    );
    assert.equal((await rowOf(store, a.id)).worker, "worker-a");
    assert.equal((await rowOf(store, b.id)).worker, undefined);
  });

  check("an append that keeps the run goes through and tells of the message", async ({ store, held, part }) => {
    const row = await held();
    await store.send([message(row.id, "a"), message(row.id, "b")]);
    const { inbox } = await rowOf(store, row.id);
    assert.deepEqual(await store.commit([part(row, [started])]), [{ run: row.id, ok: true, inbox }]);
  });

  check("an end that is forced goes through although messages wait", async ({ store, held, part }) => {
    const row = await held();
    await store.send([message(row.id, "too late")]);
    await accept(store, row, part(row, [started, ended], { release: { dueAt: null, force: true } }));
    const now = await rowOf(store, row.id);
    assert.deepEqual([now.state.status, now.worker], ["succeeded", undefined]);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
  });

  check("a drain that is forced leaves its messages to whoever claims next", async ({ store, clock, held, part }) => {
    const row = await held();
    await store.send([message(row.id, "answer")]);
    await accept(store, row, part(row, [started], { release: { dueAt: clock.now(), force: true } }));
    const [again] = (await claim(store, "worker-b")).runs;
    assert.equal(again?.id, row.id);
    assert.ok(again.inbox > again.inboxDone);
    assert.deepEqual(
      (await pageOf(store, row.id)).inbox.map(({ key }) => key),
      ["answer"],
    );
  });

  check("a forced release that names no time loses no message that waits", async ({ store, held, part }) => {
    const row = await held();
    await store.send([message(row.id, "answer")]);
    await accept(store, row, part(row, [started, suspended], { release: { dueAt: null, force: true } }));
    assert.deepEqual(await claimedIds(store, "worker-b"), [row.id]);
  });

  check("an end or drain that is forced is still refused by epoch and seq", async ({ store, held, part }) => {
    const row = await held();
    const before = await snapshot(store);
    const end = part(row, [started, ended], { release: { dueAt: null, force: true } });
    const results = await store.commit([{ ...end, epoch: row.epoch - 1 }]);
    const others = await store.commit([{ ...end, seq: end.seq + 1 }]);
    assert.deepEqual(
      [...results, ...others].map((r) => (r.ok ? "ok" : r.reason)),
      ["epoch", "seq"],
    );
    assert.deepEqual(await snapshot(store), before);
  });

  check("messages that were taken in are gone from the inbox, later ones are not", async ({ store, held, part }) => {
    const row = await held();
    await store.send([message(row.id, "a"), message(row.id, "b"), message(row.id, "c")]);
    const [, second, third] = (await pageOf(store, row.id)).inbox;
    assert.ok(second && third);
    await accept(store, row, part(row, [started], { inbox: second.number }));
    const page = await pageOf(store, row.id);
    assert.deepEqual(page.inbox, [third]);
    assert.deepEqual([page.row.inbox, page.row.inboxDone], [third.number, second.number]);
  });

  check("a message of the same flush wakes the run that the flush gives back", async ({ store, clock, held, part }) => {
    for (const order of ["message first", "release first"]) {
      const [sender, sleeper] = [await held(), await held()];
      const parts = [
        part(sender, [started], { send: [message(sleeper.id, "wake")] }),
        part(sleeper, [started, suspended], { release: { dueAt: null } }),
      ];
      const results = await store.commit(order === "message first" ? parts : parts.toReversed());
      const result = results.find(({ run }) => run === sleeper.id);
      // Either is right: the suspend learns of the message, or the message finds a run that it can wake.
      if (result?.ok) assert.deepEqual(await claimedIds(store, "worker-b"), [sleeper.id], order);
      else assert.equal(result?.reason, "inbox", order);
      clock.advance(1);
    }
  });

  check("however a message and a suspend meet, the run is woken", async ({ store, held, part, second }) => {
    const other = await second();
    for (let i = 0; i < 20; i += 1) {
      const row = await held();
      const wait = part(row, [started, suspended], { release: { dueAt: null } });
      const send = (): Promise<unknown> => other.send([message(row.id, `m${i}`)]);
      const commit = (): Promise<unknown> => store.commit([wait]);
      await Promise.all(i % 2 === 0 ? [send(), commit()] : [commit(), send()]);
      const { worker, state } = await rowOf(store, row.id);
      if (worker === undefined) assert.deepEqual(await claimedIds(other, "worker-b"), [row.id]);
      else assert.equal(state.seq, 0, "the suspend was refused, so its holder still has the run and reads the message");
    }
  });

  check("a worker that just found nothing finds what comes then, whichever way it comes", async (bench) => {
    const { store, clock, created, held, part, second } = bench;
    const other = await second();
    const finds = async (id: string, what: string): Promise<void> => {
      const [row] = (await claim(store, "worker-b")).runs;
      assert.equal(row?.id, id, `expected to find a run that was ${what}`);
      await accept(store, row, part(row, [started, ended], { release: { dueAt: null, force: true } }));
      assert.deepEqual(await claimedIds(store, "worker-b"), []);
    };
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    await finds((await created()).id, "created");
    const elsewhere = bench.newRun();
    await other.create([elsewhere]);
    await finds(elsewhere.id, "created by another process");
    const back = await held();
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    await accept(store, back, part(back, [started], { release: { dueAt: clock.now() } }));
    await finds(back.id, "given back");
    const woken = await created({ dueAt: clock.now() + 1_000_000 });
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    await other.send([message(woken.id, "wake")]);
    await finds(woken.id, "woken by a message");
    const parent = await held();
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    const child = bench.newRun();
    await accept(store, parent, part(parent, [started], { create: [child] }));
    await finds(child.id, "created by a commit");
    clock.advance(leaseMs + 1);
    await finds(parent.id, "left behind by a dead worker");
  });
}
