/** What may be appended: by the holder of the current epoch, behind the last event, whole or not at all. */
import assert from "node:assert/strict";
import { newRunId } from "../../engine/id.ts";
import type { Commit, NewRun } from "../../store/store.ts";
import type { Check } from "./fixture.ts";
import { accept, claimedIds, message, payloadOf, started, succeeded } from "./fixture.ts";
import { listedIds, pageOf, rowOf, snapshot, wholeHistory } from "./read.ts";

export function commitGuarantees(check: Check): void {
  check("what a holder appends is there, behind what was there", async ({ store, created, held, part }) => {
    const row = await held();
    const first = part(row, [started]);
    const next = await accept(store, row, first);
    const second = part(next, [succeeded("a"), succeeded("b")]);
    await accept(store, next, second);
    const { row: now, events } = await wholeHistory(store, row.id);
    assert.deepEqual(events.slice(1), [...first.events, ...second.events]);
    assert.deepEqual([now.state, now.hash], [second.state, second.events.at(-1)?.hash]);
    assert.deepEqual([now.epoch, now.worker], [row.epoch, "worker-a"]);
    await created();
  });

  check("parts of many runs go through together, answered in their order", async ({ store, held, part }) => {
    const rows = [await held(), await held(), await held()];
    const parts = rows.map((row) => part(row, [started, succeeded("a")]));
    const results = await store.commit([...parts].reverse());
    assert.deepEqual(
      results,
      [...rows].reverse().map(({ id }) => ({ run: id, ok: true, inbox: 0 })),
    );
    for (const { run, state } of parts) assert.deepEqual((await rowOf(store, run)).state, state);
  });

  check("a refused part leaves the others of its flush committed", async ({ store, held, part }) => {
    const [a, b, c] = [await held(), await held(), await held()];
    const before = await pageOf(store, b.id);
    const parts = [part(a, [started]), { ...part(b, [started]), epoch: b.epoch - 1 }, part(c, [started])];
    const results = await store.commit(parts);
    assert.deepEqual(
      results.map(({ run, ok }) => [run, ok]),
      [
        [a.id, true],
        [b.id, false],
        [c.id, true],
      ],
    );
    assert.deepEqual(await pageOf(store, b.id), before);
    assert.equal((await rowOf(store, a.id)).state.seq, 1);
    assert.equal((await rowOf(store, c.id)).state.seq, 1);
  });

  check("a part of another epoch is refused, of an older one and of one that was never given", async (bench) => {
    const { store, held, part } = bench;
    const row = await held();
    const before = await snapshot(store);
    for (const epoch of [row.epoch - 1, row.epoch + 1]) {
      const [result] = await store.commit([{ ...part(row, [started]), epoch }]);
      assert.ok(result?.ok === false && result.reason === "epoch", JSON.stringify(result));
      assert.deepEqual([result.run, result.epoch], [row.id, row.epoch]);
    }
    assert.deepEqual(await snapshot(store), before);
  });

  check("a part that does not begin behind the last event is refused, too early and too late", async (bench) => {
    const { store, held, part } = bench;
    const row = await held();
    const known = await accept(store, row, part(row, [started]));
    const later = part(known, [succeeded("a"), succeeded("b")]);
    const gap: Commit = { ...later, seq: later.seq + 1, events: later.events.slice(1) };
    const before = await snapshot(store);
    for (const wrong of [part(row, [succeeded("again")]), gap]) {
      const [result] = await store.commit([wrong]);
      assert.ok(result?.ok === false && result.reason === "seq", JSON.stringify(result));
      assert.deepEqual([result.run, result.epoch], [row.id, row.epoch]);
    }
    assert.deepEqual(await snapshot(store), before);
    await accept(store, known, later);
  });

  check("a part that was accepted is refused when it comes again", async ({ store, held, part }) => {
    const row = await held();
    const twice = part(row, [started], { send: [message(row.id, "once")] });
    await accept(store, row, twice);
    const before = await snapshot(store);
    const [result] = await store.commit([twice]);
    assert.ok(result?.ok === false && result.reason === "seq", JSON.stringify(result));
    assert.deepEqual(await snapshot(store), before);
  });

  check("a refusal says where the history is, so that its holder can tell what became of a commit", async (bench) => {
    const { store, held, part } = bench;
    const row = await held();
    await accept(store, row, part(row, [started, succeeded("a")]));
    const [result] = await store.commit([part(row, [started])]);
    assert.ok(result?.ok === false);
    assert.equal(result.seq, 2, "the seq of the last event that the store has");
    assert.equal(result.inbox, 0);
  });

  check("a part of a run that is not there is refused as missing", async ({ store, held, part }) => {
    const row = await held();
    const before = await snapshot(store);
    const [result] = await store.commit([{ ...part(row, [started]), run: newRunId(1) }]);
    assert.ok(result?.ok === false && result.reason === "missing", JSON.stringify(result));
    assert.deepEqual(await snapshot(store), before);
  });

  check("a part without events may bring what else it has", async ({ store, clock, held, part }) => {
    const row = await held();
    await accept(store, row, part(row, [], { release: { dueAt: clock.now() + 500 } }));
    const now = await rowOf(store, row.id);
    assert.deepEqual([now.state, now.hash], [row.state, row.hash]);
    assert.deepEqual([now.worker, now.dueAt], [undefined, clock.now() + 500]);
  });

  check("committing nothing is fine, and does nothing", async ({ store }) => {
    assert.deepEqual(await store.commit([]), []);
  });

  check("a refused part leaves none of its payloads, runs, messages or reuse keys", async (bench) => {
    const { store, held, created, part, newRun } = bench;
    const [row, target] = [await held(), await created({ workflow: "other" })];
    const { payload, value } = payloadOf("nobody has this");
    const child = newRun();
    const known = { digests: [payload.digest], reuse: [{ family: row.id, key: payload.digest }] };
    const before = await snapshot(store, known);
    const refused: Partial<Commit> = {
      payloads: [payload],
      create: [child],
      send: [message(target.id, "from a stale holder")],
      reuse: [{ seq: 1, key: payload.digest }],
      release: { dueAt: null, force: true },
    };
    const steps = [succeeded("a", value)];
    await store.commit([{ ...part(row, steps, refused), epoch: row.epoch - 1 }]);
    await store.commit([{ ...part(row, steps, refused), seq: row.state.seq }]);
    await store.commit([{ ...part(row, steps, refused), run: newRunId(1) }]);
    assert.deepEqual(await snapshot(store, known), before);
    assert.equal(await store.history(child.id, { after: -1, limit: 1 }), undefined);
  });

  check("an accepted part brings its payloads, runs and messages with it", async (bench) => {
    const { store, held, created, part, newRun } = bench;
    const [row, target] = [await held(), await created({ workflow: "other" })];
    const { payload, value } = payloadOf({ large: "value" });
    const childPayload = payloadOf("input of the child");
    const child = newRun({
      origin: { kind: "child", run: row.id, key: "call", seq: 1 },
      family: row.id,
      input: childPayload.value,
      payloads: [childPayload.payload],
    });
    const part1 = part(row, [started, succeeded("a", value)], {
      payloads: [payload],
      create: [child],
      send: [message(target.id, "hello", { from: "parent" })],
    });
    await accept(store, row, part1);
    const texts = await store.payloads([payload.digest, childPayload.payload.digest]);
    assert.deepEqual([...texts.values()].sort(), [payload.text, childPayload.payload.text].sort());
    assert.deepEqual((await wholeHistory(store, child.id)).events, child.events);
    assert.deepEqual(await claimedIds(store, "worker-b"), [child.id]);
    const { inbox } = await pageOf(store, target.id);
    assert.deepEqual(
      inbox.map(({ key, body }) => [key, body]),
      [["hello", '{"from":"parent"}']],
    );
  });

  check("a part whose child is there already goes through, and the child stays as it is", async (bench) => {
    const { store, held, part, newRun } = bench;
    const [row, child] = [await held(), newRun()];
    await store.create([child]);
    const before = await pageOf(store, child.id);
    const again: NewRun = newRun({ id: child.id, input: { inline: "other" } });
    await accept(store, row, part(row, [started], { create: [again] }));
    assert.deepEqual(await pageOf(store, child.id), before);
  });

  check("a part whose message came before goes through, and the message is there once", async (bench) => {
    const { store, held, created, part } = bench;
    const [row, target] = [await held(), await created({ workflow: "other" })];
    await store.send([message(target.id, "k", "first")]);
    const before = await pageOf(store, target.id);
    await accept(store, row, part(row, [started], { send: [message(target.id, "k", "second")] }));
    assert.deepEqual(await pageOf(store, target.id), before);
  });

  check("a part whose message finds no run goes through", async ({ store, held, part }) => {
    const row = await held();
    await accept(store, row, part(row, [started], { send: [message(newRunId(1), "k")] }));
    assert.deepEqual(await listedIds(store), [row.id]);
  });

  check("a commit that fails midway leaves nothing behind, and the store goes on", async (bench) => {
    const { store, held, part } = bench;
    const [a, b] = [await held(), await held()];
    const before = await snapshot(store);
    const bad = part(b, [started]);
    const unreadable = Object.defineProperty({ ...bad.state }, "error", {
      enumerable: true,
      get: () => {
        throw new RangeError("planted by the conformance suite");
      },
    });
    await assert.rejects(store.commit([part(a, [started]), { ...bad, state: unreadable }]));
    assert.deepEqual(await snapshot(store), before);
    const results = await store.commit([part(a, [started]), bad]);
    assert.deepEqual(
      results.map(({ ok }) => ok),
      [true, true],
    );
  });

  check("of two that append at the same place only one does", async ({ store, held, part, second }) => {
    const other = await second();
    let row = await held();
    for (let i = 0; i < 20; i += 1) {
      const parts = [part(row, [succeeded(`a${i}`)]), part(row, [succeeded(`b${i}`)])] as const;
      const results = (await Promise.all([store.commit([parts[0]]), other.commit([parts[1]])])).flat();
      assert.deepEqual(results.map(({ ok }) => ok).sort(), [false, true]);
      row = await rowOf(store, row.id);
      assert.equal(row.state.seq, i + 1);
    }
    assert.equal((await snapshot(store)).feed.length, 21);
  });
}
