/** Values that a run emits beside its history: with positions of their own, bounded, and as fenced as its events. */
import assert from "node:assert/strict";
import { limits } from "../../core/limits.ts";
import { newRunId } from "../../engine/id.ts";
import type { RunId } from "../../core/event.ts";
import type { Commit, Emitted, FeedPage, Store } from "../../store/store.ts";
import type { Check } from "./fixture.ts";
import { accept, ended, pageLimit, started } from "./fixture.ts";
import { rowOf, wholeFeed } from "./read.ts";

type Values = NonNullable<FeedPage["values"]>;

export function streamGuarantees(check: Check): void {
  check("values of a stream have positions of their own, and are no events", async ({ store, held, part }) => {
    const row = await held();
    const head = await accept(store, row, part(row, [started], { emit: [1, 2, 3].map(emitted) }));
    await accept(store, head, part(head, [], { emit: [emitted(4)] }));
    assert.deepEqual(await texts(store, row.id), ["1", "2", "3", "4"]);
    assert.deepEqual((await rowOf(store, row.id)).state.seq, 1, "no value has taken a seq");
    await wholeFeed(store, 2);
  });

  check("every page size gives the same stream, also after a reopen", async ({ store, held, part, reopen }) => {
    let row = await held();
    for (let i = 0; i < 3; i += 1) {
      row = await accept(store, row, part(row, [], { emit: [1, 2, 3].map((n) => emitted(`${i}-${n}`)) }));
    }
    const whole = await wholeStream(store, row.id);
    assert.deepEqual(
      whole.map(({ text }) => JSON.parse(text) as unknown),
      ["0-1", "0-2", "0-3", "1-1", "1-2", "1-3", "2-1", "2-2", "2-3"],
    );
    const again = await reopen();
    for (let limit = 1; limit <= 10; limit += 1) {
      assert.deepEqual(await wholeStream(again, row.id, { limit }), whole, `pages of ${limit}`);
    }
    for (const [i, { position }] of whole.entries()) {
      assert.deepEqual(await wholeStream(again, row.id, { after: position }), whole.slice(i + 1));
    }
  });

  check("a value says which attempt of which step it comes from, and its text is unchanged", async (bench) => {
    const { store, held, part } = bench;
    const row = await held();
    const values: Emitted[] = [
      { stream: "tokens", step: "items/3/ask#2", attempt: 2, text: '{"a":"\\u0000 é 🧬 \\" \'"}' },
      { stream: "tokens", step: "", attempt: 1, text: "null" },
      { stream: "tokens", step: "ask", attempt: 3, text: "" },
      { stream: "tokens", step: "'; drop table runs; --", attempt: 1, text: '"\\ud800"' },
    ];
    await accept(store, row, part(row, [], { emit: values }));
    const found = await wholeStream(store, row.id);
    assert.deepEqual(
      found.map(({ stream, step, attempt, text }) => ({ stream, step, attempt, text })),
      values,
    );
  });

  check("a stream holds no values of another stream or another run", async ({ store, held, part }) => {
    const [a, b] = [await held(), await held()];
    const emit = [emitted("tokens of a"), { ...emitted("log of a"), stream: "log" }];
    await store.commit([part(a, [], { emit }), part(b, [], { emit: [emitted("tokens of b")] })]);
    assert.deepEqual(await texts(store, a.id), ['"tokens of a"']);
    assert.deepEqual(await texts(store, a.id, "log"), ['"log of a"']);
    assert.deepEqual(await texts(store, b.id), ['"tokens of b"']);
    assert.deepEqual(await texts(store, b.id, "log"), []);
    assert.deepEqual(await texts(store, newRunId(1)), []);
    assert.deepEqual(await texts(store, a.id, "' or '1'='1"), []);
  });

  check("a refused part leaves no values", async ({ store, held, part }) => {
    const row = await held();
    const emit = [emitted("from a stale holder")];
    const wrong: Partial<Commit>[] = [{ epoch: row.epoch - 1 }, { seq: row.state.seq + 5 }, { run: newRunId(1) }];
    for (const each of wrong) {
      const [result] = await store.commit([{ ...part(row, [], { emit }), ...each }]);
      assert.equal(result?.ok, false);
    }
    assert.deepEqual(await texts(store, row.id), []);
  });

  check("of a stream that is full the oldest values go, and a reader goes on behind what it read", async (bench) => {
    const { store, held, part } = bench;
    let row = await held();
    const many = Array.from({ length: limits.streamValuesMax }, (_, n) => emitted(n));
    row = await accept(store, row, part(row, [], { emit: [...many, { ...emitted("kept"), stream: "other" }] }));
    const before = await wholeStream(store, row.id);
    assert.equal(before.length, limits.streamValuesMax);
    await accept(store, row, part(row, [], { emit: [emitted("a"), emitted("b")] }));
    const after = await wholeStream(store, row.id);
    assert.deepEqual(after.slice(0, -2), before.slice(2), "what remains has kept its position");
    const behind = { after: before.at(-1)?.position ?? 0 };
    assert.deepEqual(
      (await wholeStream(store, row.id, behind)).map(({ text }) => text),
      ['"a"', '"b"'],
    );
    assert.deepEqual(await texts(store, row.id, "other"), ['"kept"'], "each stream is bounded by itself");
  });

  check("streams go when their run is pruned, and stay when another is", async ({ store, clock, held, part }) => {
    const [gone, kept] = [await held(), await held()];
    await accept(store, kept, part(kept, [], { emit: [emitted("kept")] }));
    const end = part(gone, [started, ended], { emit: [emitted("gone")], release: { dueAt: null } });
    await accept(store, gone, end);
    assert.deepEqual(await texts(store, gone.id), ['"gone"']);
    clock.advance(1000);
    assert.deepEqual((await store.prune({ endedBefore: clock.now(), limit: 10 })).runs, [gone.id]);
    assert.deepEqual(await texts(store, gone.id), []);
    assert.deepEqual(await texts(store, kept.id), ['"kept"']);
  });
}

function emitted(value: string | number): Emitted {
  return { stream: "tokens", step: "ask", attempt: 1, text: JSON.stringify(value) };
}

async function texts(store: Store, run: RunId, stream: string = "tokens"): Promise<string[]> {
  return (await wholeStream(store, run, { stream })).map(({ text }) => text);
}

/** All values of a stream behind a position, in pages of `limit`. */
async function wholeStream(
  store: Store,
  run: RunId,
  { stream = "tokens", after = 0, limit = pageLimit }: { stream?: string; after?: number; limit?: number } = {},
): Promise<Values[number][]> {
  const values: Values[number][] = [];
  for (let position = after; ;) {
    const page = await store.feed({ run, stream, after: position, limit });
    assert.deepEqual(page.events, [], "values are no events");
    const found = page.values ?? [];
    assert.ok(found.length <= limit, `a page of ${found.length} values, asked for ${limit}`);
    for (const value of found) {
      assert.ok(value.position > position, `position ${value.position} is not behind ${position}`);
      position = value.position;
    }
    assert.ok(page.position >= position, "the page goes on behind its last value");
    position = page.position;
    values.push(...found);
    if (found.length === 0) return values;
  }
}
