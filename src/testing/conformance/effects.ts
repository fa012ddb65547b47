/** The ledger of effects: of each line, only one run has each. */
import assert from "node:assert/strict";
import type { RunId } from "../../core/event.ts";
import type { Effect, Holding, RunRow, Store } from "../../store/store.ts";
import type { Bench, Check } from "./fixture.ts";
import { ended, started, succeeded } from "./fixture.ts";

/** Asks for effects on behalf of a run, and gives who has them. */
async function take(
  store: Store,
  part: Bench["part"],
  row: RunRow,
  ...effects: Effect[]
): Promise<readonly (readonly Holding[])[]> {
  const [result] = await store.commit([part(row, [], { effects })]);
  assert.ok(result?.ok === true && result.effects !== undefined, "expected the part to go through, with who has what");
  return result.effects;
}

const ofStep = (line: RunId, input: string, from?: RunId): Effect => {
  const effect = { line, place: "a step", input };
  return from === undefined ? effect : { ...effect, from };
};

export function effectsGuarantees(check: Check): void {
  check("an effect that nobody has is given to the run that asks first, and everybody is told so", async (bench) => {
    const { store, held, part, reopen } = bench;
    const [a, b] = [await held(), await held()];
    const line = a.id;
    assert.deepEqual(await take(store, part, a, ofStep(line, "x")), [[{ input: "x", run: a.id }]]);
    assert.deepEqual(await take(store, part, b, ofStep(line, "x")), [[{ input: "x", run: a.id }]]);
    assert.deepEqual(await take(store, part, a, ofStep(line, "x")), [[{ input: "x", run: a.id }]]);
    const again = await reopen();
    assert.deepEqual(await take(again, part, b, ofStep(line, "x")), [[{ input: "x", run: a.id }]]);
  });

  check(
    "effects of another line, place or input are others, and who has a place with which input is told",
    async (bench) => {
      const { store, held, part } = bench;
      const [a, b] = [await held(), await held()];
      await take(store, part, a, ofStep(a.id, "x"));
      const others = [ofStep(b.id, "x"), { ...ofStep(a.id, "x"), place: "another" }, ofStep(a.id, "y")];
      assert.deepEqual(await take(store, part, b, ...others), [
        [{ input: "x", run: b.id }],
        [{ input: "x", run: b.id }],
        [
          { input: "x", run: a.id },
          { input: "y", run: b.id },
        ],
      ]);
    },
  );

  check("an effect is taken over from the run that has it, and from no other", async ({ store, held, part }) => {
    const [a, b, c] = [await held(), await held(), await held()];
    const line = a.id;
    await take(store, part, a, ofStep(line, "x"));
    assert.deepEqual(await take(store, part, b, ofStep(line, "x", c.id)), [[{ input: "x", run: a.id }]]);
    assert.deepEqual(await take(store, part, b, ofStep(line, "x", a.id)), [[{ input: "x", run: b.id }]]);
    assert.deepEqual(await take(store, part, c, ofStep(line, "x", a.id)), [[{ input: "x", run: b.id }]]);
  });

  check("of many runs that ask at once one has it, and all are told which", async ({ store, second, held, part }) => {
    const rows = [await held(), await held(), await held(), await held()];
    const line = rows[0]?.id ?? "";
    const stores = [store, await second()];
    const answers = await Promise.all(rows.map((row, i) => take(stores[i % 2] as Store, part, row, ofStep(line, "x"))));
    const holders = new Set(answers.map(([holdings]) => holdings?.[0]?.run));
    assert.equal(holders.size, 1);
    assert.ok(rows.some(({ id }) => holders.has(id)));
    const own = rows.map((row) => ofStep(line, `of ${row.id}`));
    await Promise.all(rows.map((row, i) => take(stores[i % 2] as Store, part, row, own[i] as Effect)));
    const [all] = await take(store, part, rows[0] as RunRow, ofStep(line, "x"));
    assert.equal(all?.length, 1 + rows.length);
  });

  check("effects go with the events of their part, and a refused part takes none", async ({ store, held, part }) => {
    const [a, b] = [await held(), await held()];
    const refused = { ...part(a, [started], { effects: [ofStep(a.id, "x")] }), epoch: a.epoch + 1 };
    const other = part(b, [started, succeeded("s")], { effects: [ofStep(b.id, "y")] });
    const [one, two] = await store.commit([refused, other]);
    assert.equal(one?.ok, false);
    assert.deepEqual(two, { run: b.id, ok: true, inbox: 0, effects: [[{ input: "y", run: b.id }]] });
    assert.deepEqual(await take(store, part, a, { ...ofStep(a.id, "z") }), [[{ input: "z", run: a.id }]]);
  });

  check("what a line did is known for as long as its first run is there", async ({ store, clock, held, part }) => {
    const first = await held();
    const later = await held({
      family: first.id,
      origin: { kind: "restart", run: first.id, seq: 0, hash: first.hash },
    });
    await take(store, part, later, ofStep(first.id, "x"));
    for (const row of [later, first]) {
      await store.commit([part(row, [started, ended], { release: { dueAt: null, force: true } })]);
    }
    clock.advance(1000);
    const witness = await held();
    assert.deepEqual((await store.prune({ endedBefore: clock.now(), limit: 1 })).runs, [later.id]);
    assert.deepEqual((await take(store, part, witness, ofStep(first.id, "y")))[0]?.[0], { input: "x", run: later.id });
    assert.deepEqual((await store.prune({ endedBefore: clock.now(), limit: 10 })).runs, [first.id]);
    assert.deepEqual(await take(store, part, witness, ofStep(first.id, "z")), [[{ input: "z", run: witness.id }]]);
  });
}
