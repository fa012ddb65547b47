/** Who is given which run, and who is not. */
import assert from "node:assert/strict";
import { sha256 } from "../../engine/hash.ts";
import type { Offer } from "../../store/store.ts";
import type { Check, Step } from "./fixture.ts";
import { accept, claim, claimedIds, ended, message, offer, started, succeeded, suspended } from "./fixture.ts";
import { rowOf, snapshot } from "./read.ts";

export function claimGuarantees(check: Check): void {
  check("a claimed run names its holder, one epoch more and one claim more", async ({ store, clock, created }) => {
    const run = await created();
    const before = await rowOf(store, run.id);
    const { runs, now } = await claim(store, "worker-a");
    assert.equal(now, clock.now());
    assert.equal(runs.length, 1);
    const [row] = runs;
    assert.ok(row);
    assert.equal(row.epoch, before.epoch + 1);
    assert.deepEqual([row.worker, row.claims], ["worker-a", 1]);
    assert.deepEqual([row.state, row.hash], [run.state, run.events[0]?.hash]);
    const { dueAt: _, ...shown } = await rowOf(store, run.id);
    const { dueAt: __, ...given } = row;
    assert.deepEqual(given, shown, "what the worker is given is what the store shows");
  });

  check("claiming writes no event", async ({ store, created }) => {
    await created();
    const before = await snapshot(store);
    await claim(store, "worker-a");
    const after = await snapshot(store);
    assert.deepEqual([after.feed, after.runs[0]?.events], [before.feed, before.runs[0]?.events]);
  });

  check("a run that somebody holds is given to nobody else, nor to its holder again", async ({ store, created }) => {
    const run = await created();
    assert.deepEqual(await claimedIds(store, "worker-a"), [run.id]);
    const before = await snapshot(store);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    assert.deepEqual(await claimedIds(store, "worker-a"), []);
    assert.deepEqual(await snapshot(store), before);
  });

  check("of two workers only one gets a run", async ({ store, created, second }) => {
    const other = await second();
    const all = await Promise.all(Array.from({ length: 40 }, () => created()));
    const claims = Array.from({ length: 20 }, (_, i) =>
      claim(i % 2 === 0 ? store : other, `worker-${i}`, { limit: 3 }),
    );
    const given = (await Promise.all(claims)).flatMap(({ runs }) => runs.map(({ id }) => id));
    assert.equal(new Set(given).size, given.length, "no run was given twice");
    assert.deepEqual(given.sort(), all.map(({ id }) => id).sort());
  });

  check("a claim gives no more than was asked for", async ({ store, created }) => {
    for (let i = 0; i < 5; i += 1) await created();
    assert.equal((await claim(store, "worker-a", { limit: 0 })).runs.length, 0);
    assert.equal((await claim(store, "worker-a", { limit: 2 })).runs.length, 2);
    assert.equal((await claim(store, "worker-b", { limit: 9 })).runs.length, 3);
  });

  check("the most urgent run comes first, however long others are due", async ({ store, clock, created }) => {
    const last = await created({ priority: 9 });
    clock.advance(1000);
    const middle = await created();
    clock.advance(1000);
    const first = await created({ priority: -9 });
    assert.deepEqual(await claimedIds(store, "worker-a"), [first.id, middle.id, last.id]);
  });

  check("with a limit it is the most urgent ones that are given", async ({ store, clock, created }) => {
    for (let i = 0; i < 4; i += 1) await created({ priority: 5 });
    clock.advance(1000);
    const urgent = [await created({ priority: -1 }), await created({ priority: 1 })];
    const { runs } = await claim(store, "worker-a", { limit: 2 });
    assert.deepEqual(
      runs.map(({ id }) => id),
      urgent.map(({ id }) => id),
    );
  });

  check("the most urgent run comes first, also when it has to be taken from a dead worker", async (bench) => {
    const { store, clock, created, held } = bench;
    const urgent = await held({ priority: -1 });
    clock.advance(100_000);
    const other = await created();
    for (const expected of [urgent.id, other.id]) {
      const { runs } = await claim(store, "worker-b", { limit: 1 });
      assert.deepEqual(
        runs.map(({ id }) => id),
        [expected],
      );
    }
  });

  check("limit and urgency go over all workflows that the worker has code for", async ({ store, clock, created }) => {
    const ids: string[] = [];
    for (let priority = 6; priority > 0; priority -= 1) {
      ids.unshift((await created({ workflow: `w${priority % 3}`, priority })).id);
      clock.advance(1);
    }
    const offers = [0, 1, 2].map((i) => ({ ...offer, workflow: `w${i}` }));
    for (const expected of [ids.slice(0, 4), ids.slice(4)]) {
      const { runs } = await claim(store, "worker-a", { offers, limit: 4 });
      assert.deepEqual(
        runs.map(({ id }) => id),
        expected,
      );
    }
  });

  check(
    "of runs that are equally urgent the one that is due longest comes first",
    async ({ store, clock, created }) => {
      const later = await created({ dueAt: clock.now() + 2000 });
      const sooner = await created({ dueAt: clock.now() + 1000 });
      clock.advance(5000);
      assert.deepEqual(await claimedIds(store, "worker-a"), [sooner.id, later.id]);
    },
  );

  check("a run that is not due is not given, and is when its time has come", async ({ store, clock, created }) => {
    const run = await created({ dueAt: clock.now() + 60_000 });
    clock.advance(59_999);
    assert.deepEqual(await claimedIds(store, "worker-a"), []);
    clock.advance(1);
    assert.deepEqual(await claimedIds(store, "worker-a"), [run.id]);
  });

  check("only runs that the worker has code for are given", async ({ store, created }) => {
    const fits = await created({ workflow: "pay", version: 2 });
    await created({ workflow: "pay", version: 1 });
    await created({ workflow: "pay2", version: 2 });
    await created({ workflow: "PAY", version: 2 });
    const offers: Offer[] = [{ workflow: "pay", version: 2, fingerprint: offer.fingerprint }];
    assert.deepEqual(await claimedIds(store, "worker-a", []), []);
    assert.deepEqual(await claimedIds(store, "worker-a", offers), [fits.id]);
  });

  check("a worker may have code for many workflows, each in several versions", async ({ store, created }) => {
    const offers: Offer[] = [];
    for (let i = 0; i < 40; i += 1)
      offers.push({ workflow: `w${i % 20}`, version: i, fingerprint: sha256(`code ${i}`) });
    await created({ workflow: "w0", version: 1 });
    const [a, b, c] = [
      await created({ workflow: "w0", version: 0 }),
      await created({ workflow: "w0", version: 20 }),
      await created({ workflow: "w19", version: 39 }),
    ];
    assert.deepEqual((await claimedIds(store, "worker-a", offers)).sort(), [a.id, b.id, c.id].sort());
  });

  check("a terminal run is claimed by nobody", async ({ store, clock, held, part }) => {
    const row = await held();
    await accept(store, row, part(row, [started, ended], { release: { dueAt: clock.now(), force: true } }));
    clock.advance(1_000_000);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
  });

  check("a terminal run is claimed by nobody, also when it was created so", async ({ store, clock, created }) => {
    await created({ steps: [{ type: "run.cancelled", data: {} }] });
    await created({ steps: [{ type: "run.cancelled", data: {} }], dueAt: clock.now() + 5 });
    for (let i = 0; i < 2; i += 1) {
      const { runs, nextDueAt } = await claim(store, "worker-a");
      assert.deepEqual([runs, nextDueAt], [[], undefined]);
      clock.advance(1000);
    }
  });

  check("a terminal run is claimed by nobody, also when its holder died before giving it back", async (bench) => {
    const { store, clock, held, part } = bench;
    const row = await held();
    await accept(store, row, part(row, [started, ended]));
    clock.advance(1_000_000);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    assert.equal((await claim(store, "worker-b")).nextDueAt, undefined);
  });

  check("a paused run that nobody wakes is claimed by nobody", async ({ store, clock, held, part }) => {
    const row = await held();
    await accept(store, row, part(row, [{ type: "run.paused", data: {} }], { release: { dueAt: null } }));
    clock.advance(1_000_000);
    assert.deepEqual(await claimedIds(store, "worker-b"), []);
    await store.send([message(row.id, "wake")]);
    assert.deepEqual(await claimedIds(store, "worker-b"), [row.id]);
  });

  check("code that could not recall a run is not given that run again, other code is", async (bench) => {
    const { store, clock, held, part } = bench;
    const row = await held();
    await accept(store, row, part(row, [started, refusedBy(offer)], { release: { dueAt: clock.now() } }));
    clock.advance(1);
    assert.deepEqual(await claimedIds(store, "worker-a"), []);
    assert.deepEqual(await claimedIds(store, "worker-b"), [], "the code counts, not the worker");
    const edited: Offer = { ...offer, fingerprint: sha256("edited code of audit") };
    assert.deepEqual(await claimedIds(store, "worker-b", [offer, edited]), [row.id]);
  });

  check("code that could not recall one run is given the others", async ({ store, clock, held, created, part }) => {
    const row = await held();
    await accept(store, row, part(row, [started, refusedBy(offer)], { release: { dueAt: clock.now() } }));
    const other = await created();
    assert.deepEqual(await claimedIds(store, "worker-a"), [other.id]);
  });

  check("when other code has moved a run on, the first code may have it again", async (bench) => {
    const { store, clock, held, part } = bench;
    const row = await held();
    await accept(store, row, part(row, [started, refusedBy(offer)], { release: { dueAt: clock.now() } }));
    const edited: Offer = { ...offer, fingerprint: sha256("edited code of audit") };
    const [again] = (await claim(store, "worker-b", { offers: [edited] })).runs;
    assert.ok(again);
    await accept(store, again, part(again, [started, suspended], { release: { dueAt: clock.now() } }));
    assert.deepEqual(await claimedIds(store, "worker-a"), [row.id]);
  });

  check("a worker that is given nothing is told when the next run falls due", async ({ store, clock, created }) => {
    assert.equal((await claim(store, "worker-a")).nextDueAt, undefined);
    await created({ dueAt: clock.now() + 9000 });
    await created({ dueAt: clock.now() + 5000 });
    assert.equal((await claim(store, "worker-a")).nextDueAt, clock.now() + 5000);
    clock.advance(5000);
    assert.equal((await claim(store, "worker-a", { limit: 1 })).nextDueAt, clock.now() + 4000);
  });

  check(
    "claims without progress are counted, and only progress ends the count",
    async ({ store, clock, held, part }) => {
      let row = await held();
      for (const expected of [2, 3]) {
        clock.advance(100_000);
        const [again] = (await claim(store, `worker-${expected}`)).runs;
        assert.ok(again);
        assert.equal(again.claims, expected);
        row = again;
      }
      // That a worker began is no progress: it may die of what comes next.
      row = await accept(store, row, part(row, [started]));
      assert.equal((await rowOf(store, row.id)).claims, 3);
      await accept(store, row, part(row, [succeeded("a")], { progress: true }));
      assert.equal((await rowOf(store, row.id)).claims, 0);
      clock.advance(100_000);
      assert.equal((await claim(store, "worker-z")).runs[0]?.claims, 1);
    },
  );

  check(
    "a run that is given back has its claims forgotten; untried, only the last",
    async ({ store, clock, held, part }) => {
      await held();
      clock.advance(100_000);
      for (const untried of [true, true, false]) {
        const [again] = (await claim(store, "worker-b")).runs;
        assert.ok(again);
        assert.equal(again.claims, 2);
        await accept(store, again, part(again, [], { release: { dueAt: clock.now(), force: true, untried } }));
        assert.equal((await rowOf(store, again.id)).claims, untried ? 1 : 0);
      }
    },
  );
}

function refusedBy({ fingerprint }: Offer): Step {
  return { type: "run.suspended", data: { reason: "divergence", fingerprint } };
}
