import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, expect, test } from "vitest";
import { isStemmaError } from "../../core/error.ts";
import { sqlite } from "../../sqlite.ts";
import { ended, openBench, payloadOf, started } from "../../testing/conformance/fixture.ts";
import type { Bench } from "../../testing/conformance/fixture.ts";
import { snapshot } from "../../testing/conformance/read.ts";
import type { Store } from "../store.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-compact-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A file with two runs that have ended, of which the larger one was pruned. */
async function pruned(name: string): Promise<{ path: string; store: Store; bench: Bench; cleanup(): Promise<void> }> {
  const path = join(folder, name);
  const { bench, cleanup } = await openBench(async ({ now }) => {
    const store = sqlite({ path, now, busyMs: 50 });
    return { store, cleanup: () => store.close() };
  });
  const { store, clock, newRun } = bench;
  for (const size of [3_000_000, 10_000]) {
    const { payload, value } = payloadOf("x".repeat(size));
    await store.create([newRun({ input: value, payloads: [payload], steps: [started, ended] })]);
    clock.advance(1000);
  }
  await store.prune({ endedBefore: clock.now(), limit: 1 });
  return { path, store, bench, cleanup };
}

async function codeOf(asked: Promise<unknown> | undefined): Promise<string> {
  return asked === undefined
    ? ""
    : asked.then(
        () => "done",
        (error: unknown) => (isStemmaError(error) ? error.code : String(error)),
      );
}

test("a file is made smaller, has all that it had, and goes on being used by whoever has it open", async () => {
  const { path, store, bench, cleanup } = await pruned("one.db");
  const other = sqlite({ path, now: bench.clock.now });
  const before = await snapshot(other);
  const dry = await store.compact?.({ dryRun: true });
  const { before: was, after } = (await store.compact?.()) ?? { before: 0, after: 0 };
  expect(was).toBeGreaterThan(3_000_000);
  expect(dry?.before).toBe(was);
  expect(after).toBeLessThan(300_000);
  expect(statSync(path).size).toBeLessThanOrEqual(after);
  expect(await snapshot(other)).toEqual(before);
  const run = bench.newRun();
  await other.create([run]);
  expect((await store.history(run.id, { after: -1, limit: 9 }))?.events).toHaveLength(1);
  await other.close();
  await cleanup();
});

test("it is refused while a worker has its lease or somebody writes, and nothing is changed", async () => {
  const { path, store, bench, cleanup } = await pruned("two.db");
  await bench.held({ workflow: "busy" });
  expect(await codeOf(store.compact?.())).toBe("store.busy");
  bench.clock.advance(3_600_000);
  const writer = new DatabaseSync(path);
  writer.exec("begin immediate");
  expect(await codeOf(store.compact?.())).toBe("store.busy");
  expect(statSync(path).size + statSync(`${path}-wal`).size).toBeGreaterThan(3_000_000);
  writer.exec("rollback");
  writer.close();
  expect(await codeOf(store.compact?.())).toBe("done");
  await cleanup();
});
