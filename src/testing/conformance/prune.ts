/** What is removed when it is old enough, and what must stay. */
import assert from "node:assert/strict";
import { utf8Length } from "../../core/json.ts";
import { sha256 } from "../../engine/hash.ts";
import type { NewRun, RunRow } from "../../store/store.ts";
import type { Bench, Check, RunOptions } from "./fixture.ts";
import { accept, claim, ended, message, payloadOf, started, succeeded } from "./fixture.ts";
import { listedIds, snapshot, wholeFeed } from "./read.ts";

export function pruneGuarantees(check: Check): void {
  check("a run that ended before the time is removed, with all that is its own", async (bench) => {
    const { store, clock } = bench;
    const { payload, value } = payloadOf("its own: é and 🧬");
    const run = await endedRun(bench, { input: value, payloads: [payload], tags: ["old"] });
    clock.advance(1000);
    const pruned = await store.prune({ endedBefore: clock.now(), limit: 10 });
    assert.deepEqual(pruned, { runs: [run.id], events: 4, payloadBytes: utf8Length(payload.text) });
    assert.equal(await store.history(run.id, { after: -1, limit: 10 }), undefined);
    assert.deepEqual(await listedIds(store), []);
    assert.deepEqual(await listedIds(store, { tag: "old" }), []);
    assert.equal((await store.payloads([payload.digest])).size, 0);
    assert.deepEqual([...(await store.reusable(run.id, [reuseKey])).values()].flat(), []);
    assert.deepEqual((await wholeFeed(store, 0)).events, []);
    assert.deepEqual(await store.send([message(run.id, "k")]), [
      { run: run.id, key: "k", accepted: false, reason: "missing" },
    ]);
  });

  check("the feed has gone as far as before when what stood at its end is removed", async (bench) => {
    const { store, clock } = bench;
    await endedRun(bench);
    await endedRun(bench);
    const { position } = await wholeFeed(store, 8);
    clock.advance(1000);
    await store.prune({ endedBefore: clock.now(), limit: 10 });
    const nobody = `run_${"0".repeat(26)}`;
    assert.equal((await store.feed({ run: nobody, after: 0, limit: 1 })).position, position);
    await bench.created();
    const { events } = await wholeFeed(store, 1, { after: position });
    assert.equal(events.length, 1, "what comes later stands behind it");
  });

  check("what has not ended, or ended later, stays as it is", async (bench) => {
    const { store, clock, created, held, part } = bench;
    await created();
    const row = await held({ workflow: "busy" });
    await accept(store, row, part(row, [started, succeeded("a")]));
    await endedRun(bench);
    const before = await snapshot(store);
    const long = clock.now() - 1;
    assert.deepEqual(await store.prune({ endedBefore: long, limit: 10 }), { runs: [], events: 0, payloadBytes: 0 });
    assert.deepEqual(await snapshot(store), before);
    clock.advance(1000);
    assert.equal((await store.prune({ endedBefore: clock.now(), limit: 10 })).runs.length, 1);
    const after = await snapshot(store);
    assert.deepEqual(after.runs, before.runs.slice(1));
  });

  check("a dry run counts what a real one removes, and changes nothing", async (bench) => {
    const { store, clock } = bench;
    const shared = payloadOf("shared by all");
    for (let i = 0; i < 3; i += 1) {
      const { payload, value } = payloadOf(`own ${i}`);
      await endedRun(bench, { input: value, payloads: [payload, shared.payload] });
    }
    clock.advance(1000);
    const known = { digests: [shared.payload.digest] };
    const before = await snapshot(store, known);
    const counted = await store.prune({ endedBefore: clock.now(), limit: 10, dryRun: true });
    assert.deepEqual(await snapshot(store, known), before);
    assert.deepEqual([counted.runs.length, counted.events], [3, 12]);
    assert.deepEqual(await store.prune({ endedBefore: clock.now(), limit: 10 }), counted);
    assert.deepEqual(await store.prune({ endedBefore: clock.now(), limit: 10 }), {
      runs: [],
      events: 0,
      payloadBytes: 0,
    });
  });

  check("no call removes more runs than it was asked to", async (bench) => {
    const { store, clock } = bench;
    const all: string[] = [];
    for (let i = 0; i < 5; i += 1) all.push((await endedRun(bench)).id);
    clock.advance(1000);
    const removed: string[] = [];
    for (const expected of [2, 2, 1, 0]) {
      const { runs } = await store.prune({ endedBefore: clock.now(), limit: 2 });
      assert.equal(runs.length, expected);
      removed.push(...runs);
    }
    assert.deepEqual(removed.sort(), all.sort());
  });

  check("of units those go that nothing else comes from, each as a whole, and no other run", async (bench) => {
    const { store, clock, created } = bench;
    const [root, other] = [await endedRun(bench), await endedRun(bench)];
    const origin = { kind: "restart", run: root.id, seq: 0, hash: root.events[0]?.hash ?? "" } as const;
    const leaf = await endedRun(bench, { family: root.id, origin });
    const called = await endedRun(bench, {
      family: root.id,
      origin: { kind: "child", run: leaf.id, seq: 0, key: "c" },
    });
    const open = await created({ workflow: "later" });
    clock.advance(1000);
    const prune = async (units: string[][]): Promise<readonly string[]> => {
      const request = { endedBefore: clock.now(), units };
      const counted = await store.prune({ ...request, dryRun: true });
      const pruned = await store.prune(request);
      assert.deepEqual(counted, pruned);
      return pruned.runs;
    };
    assert.deepEqual(await prune([]), []);
    assert.deepEqual(await prune([[root.id], [leaf.id]]), [], "another comes from it");
    assert.deepEqual(await prune([[leaf.id, called.id, open.id]]), [], "one has not ended");
    assert.deepEqual(await prune([[leaf.id, called.id, "run_0"]]), [], "one is not there");
    assert.deepEqual(
      await prune([[root.id], [leaf.id, called.id]]),
      [leaf.id, called.id],
      "each behind what comes from it",
    );
    assert.deepEqual(await prune([[root.id]]), [root.id]);
    assert.deepEqual((await listedIds(store)).sort(), [other.id, open.id].sort());
  });

  check(
    "of units a dry run counts payloads that several of them share, and none that another run has",
    async (bench) => {
      const { store, clock } = bench;
      const [shared, elsewhere] = [payloadOf("shared by two: é"), payloadOf("another has it too")];
      const payloads = [shared.payload, elsewhere.payload];
      const a = await endedRun(bench, { input: shared.value, payloads });
      const b = await endedRun(bench, { input: shared.value, payloads });
      await endedRun(bench, { input: elsewhere.value, payloads: [elsewhere.payload] });
      clock.advance(1000);
      const request = { endedBefore: clock.now(), units: [[a.id], [b.id]] };
      const before = await snapshot(store);
      const counted = await store.prune({ ...request, dryRun: true });
      assert.deepEqual(await snapshot(store), before);
      assert.deepEqual(counted, { runs: [a.id, b.id], events: 8, payloadBytes: utf8Length(shared.payload.text) });
      assert.deepEqual(await store.prune(request), counted);
    },
  );

  check("a payload that another run names stays until that run goes too", async (bench) => {
    const { store, clock } = bench;
    const { payload, value } = payloadOf("named by two");
    await endedRun(bench, { input: value, payloads: [payload] });
    clock.advance(1000);
    const between = clock.now();
    clock.advance(1000);
    await endedRun(bench, { input: value, payloads: [payload] });
    clock.advance(1000);
    const first = await store.prune({ endedBefore: between, limit: 10 });
    assert.deepEqual([first.runs.length, first.payloadBytes], [1, 0]);
    assert.equal((await store.payloads([payload.digest])).get(payload.digest), payload.text);
    const second = await store.prune({ endedBefore: clock.now(), limit: 10 });
    assert.deepEqual([second.runs.length, second.payloadBytes], [1, payload.text.length]);
    assert.equal((await store.payloads([payload.digest])).size, 0);
  });

  check("a payload stays for a run that names it without having brought it", async (bench) => {
    const { store, clock, held, part } = bench;
    const { payload, value } = payloadOf("brought by one, named by another");
    await endedRun(bench, { payloads: [payload], input: value });
    const row = await held({ workflow: "reuses" });
    await accept(store, row, part(row, [started, succeeded("a", value)]));
    clock.advance(1000);
    assert.equal((await store.prune({ endedBefore: clock.now(), limit: 10 })).runs.length, 1);
    assert.equal((await store.payloads([payload.digest])).get(payload.digest), payload.text);
  });

  check("a payload that no event names stays with every run that brought it, and goes with the last", async (bench) => {
    const { store, clock, held, part } = bench;
    const parts = payloadOf("a part that only another payload names").payload;
    const whole = payloadOf({ of: parts.digest });
    await endedRun(bench, { input: whole.value, payloads: [whole.payload, parts] });
    const row = await held({ workflow: "brings it later" });
    const steps = [
      started,
      succeeded("a", whole.value),
      { type: "run.succeeded" as const, data: { output: whole.value } },
    ];
    await accept(store, row, part(row, steps, { payloads: [parts], release: { dueAt: null, force: true } }));
    clock.advance(1000);
    assert.equal((await store.prune({ endedBefore: clock.now(), limit: 1 })).payloadBytes, 0);
    assert.equal((await store.payloads([parts.digest, whole.payload.digest])).size, 2);
    const { payloadBytes } = await store.prune({ endedBefore: clock.now(), limit: 1 });
    assert.equal(payloadBytes, utf8Length(parts.text) + utf8Length(whole.payload.text));
    assert.equal((await store.payloads([parts.digest, whole.payload.digest])).size, 0);
  });

  for (const kind of ["child", "restart", "fork"] as const) {
    check(`pruning keeps a run that another comes from: a ${kind}`, async (bench) => {
      const { store, clock, created } = bench;
      const source = await endedRun(bench);
      const last = source.events[0];
      const from = kind === "child" ? { key: "call" } : { hash: last?.hash ?? "" };
      const origin = { kind, run: source.id, seq: 0, ...from } as NonNullable<RunOptions["origin"]>;
      await created({ workflow: "later", family: source.id, origin });
      clock.advance(1000);
      const before = await snapshot(store);
      assert.deepEqual(await store.prune({ endedBefore: clock.now(), limit: 10 }), {
        runs: [],
        events: 0,
        payloadBytes: 0,
      });
      assert.deepEqual(await snapshot(store), before);
    });
  }

  check("a whole line of runs goes when nothing that remains comes from it", async (bench) => {
    const { store, clock } = bench;
    const root = await endedRun(bench);
    const ids = [root.id];
    for (let i = 0; i < 3; i += 1) {
      const run = ids.at(-1) as string;
      const origin = { kind: "restart", run, seq: 0, hash: root.events[0]?.hash ?? "" } as const;
      ids.push((await endedRun(bench, { family: root.id, origin })).id);
    }
    clock.advance(1000);
    const removed: string[] = [];
    for (let calls = 0; calls < 10; calls += 1) {
      const { runs } = await store.prune({ endedBefore: clock.now(), limit: 1 });
      assert.ok(runs.length <= 1);
      removed.push(...runs);
    }
    assert.deepEqual(removed, [...ids].reverse(), "latest first, so that no run ever comes from one that is gone");
  });

  check("pruning leaves the rest of the feed as it was, and readers in the midst of it", async (bench) => {
    const { store, clock, created } = bench;
    const [first, old] = [await created({ workflow: "a" }), await endedRun(bench)];
    const last = await created({ workflow: "b" });
    const before = await wholeFeed(store, 6);
    const cursor = before.events[2]?.position ?? 0;
    clock.advance(1000);
    assert.deepEqual((await store.prune({ endedBefore: clock.now(), limit: 10 })).runs, [old.id]);
    const after = await wholeFeed(store, 2);
    assert.deepEqual(
      after.events,
      before.events.filter(({ run }) => run !== old.id),
    );
    assert.deepEqual(
      after.events.map(({ run }) => run),
      [first.id, last.id],
    );
    assert.deepEqual(
      (await wholeFeed(store, 1, { after: cursor })).events.map(({ run }) => run),
      [last.id],
    );
  });
}

const reuseKey = sha256("a reuse key");

/** A run of four events that has ended, with messages in its inbox and a reuse key to its name. */
async function endedRun(bench: Bench, options: RunOptions = {}): Promise<NewRun> {
  const { store, newRun, part } = bench;
  const run = newRun({ ...options, workflow: "short" });
  await store.create([run]);
  await store.send([message(run.id, "seen"), message(run.id, "not seen")]);
  const offers = [{ workflow: "short", version: 1, fingerprint: reuseKey }];
  const row: RunRow | undefined = (await claim(store, "worker-p", { offers })).runs[0];
  assert.equal(row?.id, run.id);
  const reuse = [{ seq: 2, key: reuseKey }];
  const end = part(row, [started, succeeded("a"), ended], { reuse, inbox: 1, release: { dueAt: null, force: true } });
  await accept(store, row, end);
  return run;
}
