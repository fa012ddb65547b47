/**
 * Where checkpoints are kept: in memory, in files, in a Stemma store (this file runs on SQLite and on PostgreSQL). One
 * contract for all.
 *
 * | Behaviour | Guarantee |
 * | --- | --- |
 * | X3, 35 | resumed and forked however often, a checkpoint stays what it is |
 * | 36 | save, load, list, ids, latest, delete; nothing of another workflow |
 * | 37, X17 | what cannot be read is left out of a list, and never replaced by an older one |
 * | 38, 39 | values come back as they were, marks of our own in them too |
 * | 41 | the storage given with a run is the only one, and another instance resumes from it |
 * | 63 | an open request survives, and is asked again with the same id |
 * | X24 | a list that grows costs what was added |
 */
import { readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fileCheckpoints, memoryCheckpoints, storeCheckpoints, WorkflowBuilder } from "../../src/graph.ts";
import type { CheckpointID, CheckpointStorage, WorkflowCheckpoint } from "../../src/graph.ts";
import type { Store } from "../../src/index.ts";
import type { HistoryPage } from "../../src/store/store.ts";
import { around } from "../../src/testing/around.ts";
import { errorOf, fresh, stage } from "../stage.ts";
import { all, asks, chain, ends, folder, linear, links, shortAndLong, step } from "./graph.ts";

type Place = { storage: CheckpointStorage; again: () => CheckpointStorage; store?: Store; path: string };

/** A storage of each kind, another one on the same place, and what is below it. */
async function place(kind: string): Promise<Place & AsyncDisposable> {
  const at = folder();
  const store = kind === "store" ? fresh() : undefined;
  const inMemory = memoryCheckpoints();
  const again = (): CheckpointStorage => {
    if (store !== undefined) return storeCheckpoints(store);
    return kind === "memory" ? inMemory : fileCheckpoints(at.path);
  };
  return {
    storage: again(),
    again,
    path: at.path,
    ...(store === undefined ? {} : { store }),
    async [Symbol.asyncDispose]() {
      at[Symbol.dispose]();
      await store?.close();
    },
  };
}

const kinds = ["memory", "files", "store"];

test.each(kinds)("X3, 35: resumed and forked three times, a checkpoint stays what it is (%s)", async (kind) => {
  await using here = await place(kind);
  const options = { checkpointStorage: here.storage };
  const graph = chain(
    step("start", (message, ctx) => {
      ctx.setState("list", "first");
      ctx.sendMessage({ items: [message] });
    }),
    step("grow", (message, ctx) => {
      (message as { items: unknown[] }).items.push("grown");
      (ctx.getState("list") as unknown[]).push("not set");
      ctx.setState("list", "second");
      ctx.sendMessage(message);
    }),
    step("end", (message, ctx) =>
      ctx.yieldOutput([(message as { items: unknown[] }).items.splice(0), ctx.getState("list")]),
    ),
  );
  await graph.run("x", options);
  const { checkpointId } = (await all(options.checkpointStorage))[1] as WorkflowCheckpoint;
  const before = JSON.stringify(await options.checkpointStorage.load(checkpointId));
  for (let n = 0; n < 3; n += 1) {
    expect((await graph.run({ checkpointId }, options)).outputs).toEqual([
      [
        ["x", "grown"],
        ["first", "second"],
      ],
    ]);
    const fork = { state: { list: ["other"] } };
    expect((await graph.run({ checkpointId, fork }, options)).outputs).toEqual([
      [
        ["x", "grown"],
        ["other", "second"],
      ],
    ]);
  }
  expect(JSON.stringify(await options.checkpointStorage.load(checkpointId))).toBe(before);
});

test.each(["files", "store"])(
  "X17, 37: what cannot be read is left out of a list, and is never replaced by an older one (%s)",
  async (kind) => {
    await using here = await place(kind);
    const storage = kind === "files" ? fileCheckpoints(join(here.path, "deep", "down")) : here.storage;
    await linear().run("x", { checkpointStorage: storage });
    const saved = await all(storage);
    const newest = saved.at(-1)!.checkpointId;
    expect((await storage.getLatest({ workflowName: "chain" }))?.checkpointId).toBe(newest);
    let broken = storage;
    if (kind === "files") writeFileSync(join(here.path, "deep", "down", `${newest}.json`), "{ not json");
    else broken = storeCheckpoints(damaged(here.store!, newest));
    expect(await all(broken)).toEqual(saved.slice(0, -1));
    expect((await errorOf(broken.load(newest))).code).toBe("checkpoint.unreadable");
    expect((await errorOf(broken.getLatest({ workflowName: "chain" }))).code).toBe("checkpoint.unreadable");
  },
);

/** A store in whose file somebody changed a checkpoint. */
function damaged(store: Store, id: CheckpointID): Store {
  return around(
    store,
    ({ make, method, args }) => {
      if (method !== "history" || args[0] !== id.replace("ckpt_", "run_")) return make();
      return make().then((page) => ({
        ...(page as HistoryPage),
        events: (page as HistoryPage).events.map((event) => ({
          ...event,
          data: event.data.replace("entry", "other").replace("superstep", "other"),
        })),
      }));
    },
    {},
  );
}

test.each(kinds)("36, 38: the contract of a storage (%s)", async (kind) => {
  await using here = await place(kind);
  const { storage } = here;
  const long = "long ".repeat(2000);
  await chain(
    step("a", (_, ctx) => ctx.setState("kept", { long, at: new Date(0), $stemma: "mine" })),
    ends("b"),
  ).run("x", { checkpointStorage: storage });
  const [first, last] = await all(storage);
  expect(await storage.load(first!.checkpointId)).toEqual(first);
  expect(await storage.listCheckpointIds({ workflowName: "chain" })).toEqual(
    [first, last].map((one) => one?.checkpointId),
  );
  expect(await storage.listCheckpointIds({ workflowName: "other" })).toEqual([]);
  expect(await storage.getLatest({ workflowName: "other" })).toBeUndefined();
  expect([await storage.delete(first!.checkpointId), await storage.delete(first!.checkpointId)]).toEqual([true, false]);
  expect((await errorOf(storage.load(first!.checkpointId))).code).toBe("checkpoint.not_found");
  expect(await storage.load(last!.checkpointId)).toEqual(last);
  if (kind === "files") {
    expect((await errorOf(storage.load("../../etc/passwd" as never))).message).toContain("Invalid checkpoint ID");
    // A file that somebody wrote names no other file than a piece.
    const header = { id: "ckpt_forged", workflowName: "chain", root: "../..", bytes: 1 };
    writeFileSync(join(here.path, "ckpt_forged.json"), JSON.stringify(header));
    expect((await errorOf(storage.load("ckpt_forged" as never))).message).toContain("its piece ../.. is missing");
    rmSync(join(here.path, "ckpt_forged.json"));
    const pieces = join(here.path, "pieces");
    // Another process may be about to name what this one finds that nothing names.
    for (const name of readdirSync(pieces)) utimesSync(join(pieces, name), 0, 0);
    await storage.delete(last!.checkpointId);
    expect(readdirSync(pieces)).toEqual([]);
  }
});

test.each(kinds)(
  "36: what is saved while others are deleted is there, whole, though it shares pieces with them (%s)",
  async (kind) => {
    await using here = await place(kind);
    const { storage } = here;
    const same = Array.from({ length: 300 }, (_, n) => `the same in all ${n}`);
    const graph = () =>
      chain(
        step("a", (_, ctx) => ctx.setState("kept", same)),
        ends("b"),
      );
    const ids = async () => storage.listCheckpointIds({ workflowName: "chain" });
    for (let round = 0; round < 8; round++) {
      const old = await ids();
      await Promise.all([
        ...Array.from({ length: 3 }, () => graph().run("x", { checkpointStorage: storage })),
        ...old.map((id) => storage.delete(id)),
      ]);
      const left = await ids();
      expect(left).toHaveLength(6);
      for (const id of left) expect((await storage.load(id)).workflowName).toBe("chain");
    }
  },
);

test.each(["memory", "store"])(
  "X24: a list that grows by a kilobyte a superstep costs a few kilobytes a checkpoint (%s)",
  async (kind) => {
    await using here = await place("store");
    const inMemory = memoryCheckpoints();
    let written = 0;
    const counting = around(
      here.store!,
      ({ make, method, args }) => {
        if (method === "create") written += JSON.stringify(args).length;
        return make();
      },
      {},
    );
    const loop = step("loop", (n, ctx) => {
      ctx.setState("list", `${String(n)} `.repeat(300).slice(0, 1000));
      if ((n as number) < 100) ctx.sendMessage((n as number) + 1);
    });
    const graph = new WorkflowBuilder({ name: "chain", start: loop, state: { list: "append" }, maxSupersteps: 200 })
      .addEdge(loop, loop)
      .build();
    await graph.run(1, { checkpointStorage: kind === "memory" ? inMemory : storeCheckpoints(counting) });
    // All states as they are would be 50 KB on average, a hundred times.
    expect(kind === "memory" ? inMemory.bytes : written).toBeLessThan(1_200_000);
    expect(kind === "memory" ? inMemory.bytes : written).toBeGreaterThan(100_000);
  },
);

test.each(kinds)("41, 63: another instance, on the same place, resumes and answers (%s)", async (kind) => {
  await using here = await place(kind);
  const first = await asks().run("ab", { checkpointStorage: here.storage });
  const options = { checkpointStorage: here.again() };
  const restored = await asks().run({ checkpointId: first.checkpointId! }, options);
  expect([restored.status, restored.requests]).toEqual(["suspended", first.requests]);
  const asked = restored.events.filter(({ type }) => type === "request_info").map(({ data }) => data);
  expect(asked).toEqual(first.requests.map(({ id, data }) => ({ id, data })));
  const [a, b] = first.requests.map(({ id }) => id) as [string, string];
  const responses = { [a]: "1", [b]: "2" };
  const done = await asks().run({ checkpointId: first.checkpointId!, responses }, options);
  expect([done.status, done.outputs]).toEqual(["succeeded", ["a->1", "b->2"]]);
});

test.each(kinds)(
  "G1, G2, X1: resumed from each of its checkpoints, twice, on a storage of its own (%s)",
  async (kind) => {
    await using here = await place(kind);
    const { outputs } = await shortAndLong().run("x", { checkpointStorage: here.storage });
    const saved = await all(here.storage);
    for (const { checkpointId } of saved.slice(0, -1)) {
      const before = (await all(here.storage)).length;
      for (let n = 0; n < 2; n += 1) {
        const again = await shortAndLong().run({ checkpointId }, { checkpointStorage: here.again() });
        expect(again.outputs).toEqual(outputs);
      }
      const added = (await all(here.storage)).slice(before);
      expect(added.filter((one) => one.previousCheckpointId === checkpointId)).toHaveLength(2);
    }
    expect(links(saved)).toEqual(saved.map(({ kind: at }, n) => [at, n, n - 1]));
  },
);

test("in a store, the family of a checkpoint is its ancestry, no worker takes one, and a prune leaves what others came from", async () => {
  const store = fresh();
  await using on = await stage([], { store });
  const storage = storeCheckpoints(store);
  await linear().run("x", { checkpointStorage: storage });
  const saved = await all(storage);
  await linear().run({ checkpointId: saved[1]!.checkpointId }, { checkpointStorage: storage });
  const ids = (await storage.listCheckpointIds({ workflowName: "chain" })).map((id) => id.replace("ckpt_", "run_"));
  expect(ids).toHaveLength(6);
  const lineage = await on.stemma.lineage(ids.at(-1)!);
  expect(lineage.ancestors).toEqual([ids[4], ids[1], ids[0]]);
  expect(lineage.runs.map(({ id }) => id)).toEqual(ids);
  expect(lineage.runs.map(({ status }) => status)).toEqual(ids.map(() => "paused"));
  expect(await storage.delete(saved[1]!.checkpointId)).toBe(true);
  await storage.delete(saved[3]!.checkpointId);
  const later = { endedBefore: Date.now() + 60_000, limit: 100 };
  expect((await store.prune(later)).runs).toEqual([ids[3]]);
  // What is behind it shares its pieces, and is there as it was.
  expect((await all(storage)).map(({ checkpointId }) => checkpointId)).toEqual(
    [0, 2, 4, 5].map((n) => ids[n]!.replace("run_", "ckpt_")),
  );
  expect(await storage.load(saved[2]!.checkpointId)).toEqual(saved[2]);
  await store.close();
});

test("in a store, a checkpoint whose parent is elsewhere is there, and another's id is not one", async () => {
  await using here = await place("store");
  const elsewhere = memoryCheckpoints();
  await linear().run("x", { checkpointStorage: elsewhere });
  const middle = (await all(elsewhere))[2] as WorkflowCheckpoint;
  await here.storage.save(middle);
  await here.storage.save(middle);
  expect(await all(here.again())).toEqual([middle]);
  expect(
    (await linear().run({ checkpointId: middle.checkpointId }, { checkpointStorage: here.storage })).outputs,
  ).toEqual(["x-start-middle-done"]);
  expect((await errorOf(here.storage.load("ckpt_other" as CheckpointID))).message).toContain("Invalid checkpoint ID");
  expect(await errorOf(here.storage.load(`ckpt_0${"1".repeat(25)}` as CheckpointID))).toMatchObject({
    code: "checkpoint.not_found",
  });
});
