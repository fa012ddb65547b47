/** The list of runs: newest first, by what its reader asks for, and the same in pages of any size. */
import assert from "node:assert/strict";
import { checkpointOf, isRecord, markWorkflow, recordOf } from "../../core/record-names.ts";
import { newRunId } from "../../engine/id.ts";
import type { Bench, Check } from "./fixture.ts";
import { accept, ended, started, suspended } from "./fixture.ts";
import { listedIds, wholeHistory, wholeList } from "./read.ts";

export function listGuarantees(check: Check): void {
  check("an empty store lists nothing", async ({ store }) => {
    assert.deepEqual((await store.list({})).runs, []);
    assert.equal((await store.list({})).cursor, undefined);
  });

  check("the newest run comes first", async (bench) => {
    const ids = await several(bench, 7);
    assert.deepEqual(await listedIds(bench.store), ids);
  });

  check("every page size gives the same list", async (bench) => {
    const ids = await several(bench, 13);
    for (let limit = 1; limit <= 14; limit += 1) {
      assert.deepEqual(await listedIds(bench.store, {}, limit), ids, `pages of ${limit}`);
    }
  });

  check("every page size gives the same list, also with filters", async (bench) => {
    const { store, created } = bench;
    const ids: string[] = [];
    for (let i = 0; i < 20; i += 1) {
      const { id } = await created({ workflow: i % 3 === 0 ? "third" : "other", tags: i % 2 === 0 ? ["even"] : [] });
      if (i % 6 === 0) ids.unshift(id);
    }
    for (let limit = 1; limit <= 5; limit += 1) {
      const query = { workflow: "third", tag: "even", status: ["queued"] as const };
      assert.deepEqual(await listedIds(store, query, limit), ids, `pages of ${limit}`);
    }
  });

  check("runs that come while somebody turns pages shift nothing", async (bench) => {
    const { store, clock, created } = bench;
    const ids = await several(bench, 6);
    const first = await store.list({ limit: 2 });
    clock.advance(1);
    await created();
    assert.ok(first.cursor);
    const second = await store.list({ limit: 2, cursor: first.cursor });
    await created();
    assert.ok(second.cursor);
    const third = await store.list({ limit: 2, cursor: second.cursor });
    assert.deepEqual(
      [first, second, third].flatMap(({ runs }) => runs.map(({ id }) => id)),
      ids,
    );
  });

  check("a list cursor given before a reopen goes on exactly behind what was read", async (bench) => {
    const ids = await several(bench, 5);
    const first = await bench.store.list({ limit: 2 });
    assert.ok(first.cursor);
    const again = await bench.reopen();
    const rest = await again.list({ limit: 10, cursor: first.cursor });
    assert.deepEqual(
      rest.runs.map(({ id }) => id),
      ids.slice(2),
    );
  });

  check("a page without a limit has an end, and goes on", async (bench) => {
    const ids = await several(bench, 230);
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await bench.store.list(cursor === undefined ? {} : { cursor });
      assert.ok(page.runs.length <= 200, `${page.runs.length} runs in one page`);
      found.push(...page.runs.map(({ id }) => id));
      cursor = page.cursor;
    } while (cursor !== undefined);
    assert.deepEqual(found, ids);
  });

  check("runs are found by id, those that are there", async (bench) => {
    const [a, b, c] = await several(bench, 4);
    assert.ok(a && b && c);
    assert.deepEqual(await listedIds(bench.store, { ids: [c, newRunId(1), a, a] }), [a, c]);
    assert.deepEqual(await listedIds(bench.store, { ids: [] }), []);
  });

  check("runs are found by any part of their ids, as it stands", async (bench) => {
    const ids = await several(bench, 4);
    for (const id of ids) {
      for (const part of [id, id.slice(-8), id.slice(10, 28), id.slice(0, 29)]) {
        const fitting = ids.filter((each) => each.includes(part));
        assert.deepEqual(await listedIds(bench.store, { idPart: part }), fitting, part);
      }
    }
    assert.deepEqual(await listedIds(bench.store, { idPart: "run_" }), ids);
    for (const part of ["run%", "r_n_", ids[0]?.toUpperCase() ?? "", "'", "\\"]) {
      assert.deepEqual(await listedIds(bench.store, { idPart: part }), [], part);
    }
    const { runs, cursor } = await bench.store.list({ idPart: "run_", limit: 3 });
    assert.equal(runs.length, 3);
    assert.ok(cursor !== undefined);
    const rest = await bench.store.list({ idPart: "run_", cursor });
    assert.deepEqual(
      rest.runs.map(({ id }) => id),
      ids.slice(3),
    );
  });

  check(
    "runs that are records are left out where they are not wanted, and pages are as full as ever",
    async (bench) => {
      const { store, created } = bench;
      const [work, all]: [string[], string[]] = [[], []];
      const names = [
        "w",
        markWorkflow,
        `${checkpointOf}w`,
        `a ${checkpointOf}w`,
        `${recordOf}w`,
        `a ${recordOf}w`,
        "Golden run",
        "Checkpoint of w",
      ];
      for (const workflow of [...names, ...names]) {
        const { id } = await created({ workflow });
        all.unshift(id);
        if (!isRecord(workflow)) work.unshift(id);
      }
      assert.equal(work.length, 10);
      for (let limit = 1; limit <= 5; limit += 1) {
        assert.deepEqual(await listedIds(store, { records: false }, limit), work, `pages of ${limit}`);
        assert.deepEqual(
          await listedIds(store, { records: false, status: ["queued"] }, limit),
          work,
          `pages of ${limit}`,
        );
      }
      const page = await store.list({ records: false, limit: 3 });
      assert.deepEqual(
        page.runs.map(({ id }) => id),
        work.slice(0, 3),
      );
      assert.deepEqual(await listedIds(store, { records: true }), all);
      assert.deepEqual(await listedIds(store, {}), all);
    },
  );

  check("runs are found by workflow, exactly", async ({ store, created }) => {
    const { id } = await created({ workflow: "pay" });
    for (const workflow of ["pay2", "Pay", "p_y", "other"]) await created({ workflow });
    assert.deepEqual(await listedIds(store, { workflow: "pay" }), [id]);
    assert.deepEqual(await listedIds(store, { workflow: "pa%" }), []);
  });

  check("runs are found by status, as their events have it", async ({ store, created, held, part }) => {
    const row = await held();
    await created({ workflow: "other" });
    const expectStatus = async (status: "queued" | "running" | "suspended" | "succeeded"): Promise<void> => {
      for (const each of ["queued", "running", "suspended", "paused", "succeeded", "failed"] as const) {
        const found = await listedIds(store, { status: [each], workflow: "audit" });
        assert.deepEqual(found, each === status ? [row.id] : [], each);
      }
    };
    await expectStatus("queued");
    let known = await accept(store, row, part(row, [started]));
    await expectStatus("running");
    known = await accept(store, known, part(known, [suspended]));
    await expectStatus("suspended");
    await accept(store, known, part(known, [started, ended], { release: { dueAt: null } }));
    await expectStatus("succeeded");
    assert.equal((await wholeList(store, { status: ["queued", "succeeded"] })).length, 2);
  });

  check("runs are found by tag, exactly, as their events have it", async ({ store, created, held, part }) => {
    const { id } = await created({ workflow: "other", tags: ["red", "red wine"] });
    const row = await held({ tags: ["red"] });
    assert.deepEqual(await listedIds(store, { tag: "red" }), [row.id, id]);
    assert.deepEqual(await listedIds(store, { tag: "red wine" }), [id]);
    for (const tag of ["re", "wine", "Red", "%", 'red","red wine', ""]) {
      assert.deepEqual(await listedIds(store, { tag }), [], JSON.stringify(tag));
    }
    await accept(store, row, part(row, [{ type: "run.set", data: { tags: ["blue", "blue"] } }]));
    assert.deepEqual(await listedIds(store, { tag: "red" }), [id]);
    assert.deepEqual(await listedIds(store, { tag: "blue" }), [row.id]);
  });

  check("runs are found by family", async ({ store, clock, created }) => {
    const root = await created();
    clock.advance(1);
    const child = await created({
      family: root.id,
      origin: { kind: "child", run: root.id, key: "call", seq: 0 },
    });
    clock.advance(1);
    const other = await created();
    assert.deepEqual(await listedIds(store, { family: root.id }), [child.id, root.id]);
    assert.deepEqual(await listedIds(store, { family: other.id }), [other.id]);
    assert.deepEqual(await listedIds(store, { family: child.id }), []);
  });

  check("runs are found by when they were created", async (bench) => {
    const { store, clock, created } = bench;
    await created();
    clock.advance(1000);
    const since = clock.now() - 500;
    const { id } = await created();
    assert.deepEqual(await listedIds(store, { since }), [id]);
    assert.deepEqual(await listedIds(store, { since: clock.now() + 1 }), []);
    assert.equal((await listedIds(store, { since: 0 })).length, 2);
  });

  check("what is asked for together must hold together", async ({ store, created }) => {
    const both = await created({ workflow: "pay", tags: ["red"] });
    const one = await created({ workflow: "pay", tags: ["blue"] });
    await created({ workflow: "other", tags: ["red"] });
    assert.deepEqual(await listedIds(store, { workflow: "pay", tag: "red" }), [both.id]);
    assert.deepEqual(await listedIds(store, { ids: [one.id], tag: "red" }), []);
    assert.deepEqual(await listedIds(store, { family: both.id, status: ["failed"] }), []);
  });

  check("the list and the history show the same row, held or not", async ({ store, clock, created, held, part }) => {
    await held();
    const row = await held();
    await accept(store, row, part(row, [started, suspended], { release: { dueAt: clock.now() + 5 } }));
    await created({ dueAt: clock.now() + 10, queue: "q", priority: -2 });
    for (const listed of await wholeList(store)) {
      assert.deepEqual(listed, (await wholeHistory(store, listed.id)).row);
    }
  });
}

/** Creates runs at different times, some at the same, and answers their ids, newest first. */
async function several({ store, clock, newRun }: Bench, count: number): Promise<string[]> {
  const runs = Array.from({ length: count }, (_, i) => {
    if (i % 3 !== 0) clock.advance(1);
    return newRun();
  });
  for (const run of runs) await store.create([run]);
  return runs.map(({ id }) => id).reverse();
}
