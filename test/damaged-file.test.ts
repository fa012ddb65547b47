/**
 * A database file that is not ours, or not whole: it is refused or its runs are suspended, with a code that says what to
 * do; it is left as it is, and nothing in it is taken for true that somebody or something has changed.
 */
import { closeSync, openSync, readFileSync, statSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { isStemmaError, Stemma } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import { expectRefused, laterMs, place, resting, restingFile, wake } from "./environment.ts";
import { listening, silent, until } from "./stage.ts";

/** Overwrites each occurrence of a text in a file by another of the same length; says how many there were. */
function replaceBytes(path: string, from: string, to: string): number {
  const bytes = readFileSync(path);
  let count = 0;
  for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + from.length)) {
    bytes.write(to, at);
    count += 1;
  }
  writeFileSync(path, bytes);
  return count;
}

describe("a file that is no database of ours", () => {
  it("is refused and left alone when it has random bytes", async () => {
    const path = join(place(), "stemma.db");
    writeFileSync(path, crypto.getRandomValues(new Uint8Array(20_000)));
    await expectRefused(path, "store.corrupt", /restore a backup/);
  });

  it("is refused and left alone when its first page was overwritten", async () => {
    const { path } = await restingFile();
    const file = openSync(path, "r+");
    writeSync(file, crypto.getRandomValues(new Uint8Array(4096)), 0, 4096, 0);
    closeSync(file);
    await expectRefused(path, "store.corrupt", /restore a backup/);
  });

  it("is refused and left alone when another program made it", async () => {
    const path = join(place(), "other.db");
    const other = new DatabaseSync(path);
    other.exec("create table runs (id text); insert into runs values ('mine')");
    other.close();
    await expectRefused(path, "store.corrupt", /another program/, /Choose another path/);
  });

  it("is refused when a newer version made a change that breaks this one, and not when the change breaks nothing", async () => {
    const { path, ids } = await restingFile();
    const newer = new DatabaseSync(path);
    newer.exec("pragma user_version = 9001; delete from migrations where id > 1");
    newer.exec(
      "insert into migrations (id, breaking) with recursive n(i) as (select 2 union all select i + 1 from n where i < 9001) select i, i = 9001 from n",
    );
    newer.close();
    await expectRefused(path, "store.newer", /9001/, /upgrade/);
    const mended = new DatabaseSync(path);
    mended.exec("update migrations set breaking = 0 where id = 9001");
    mended.close();
    expect(await wake(path, ids[0] ?? "")).toMatchObject({ status: "succeeded", entered: ["after"] });
  });
});

describe("a file that was damaged", () => {
  it("gives store.corrupt for what is gone when it was cut in the middle, and right values for the rest", async () => {
    const { path, ids } = await restingFile(30);
    truncateSync(path, Math.floor(statSync(path).size / 2 / 4096) * 4096);
    await using store = sqlite(path);
    const stemma = new Stemma({ store, log: silent });
    const codes = new Set<string>();
    for (const id of ids) {
      const events = await stemma
        .history(id)
        .catch((error: unknown) => codes.add(isStemmaError(error) ? error.code : String(error)));
      if (!Array.isArray(events)) continue;
      expect(JSON.stringify(events.find(({ type }) => type === "step.succeeded")?.data)).toContain("paid-7777");
    }
    expect([...codes]).toEqual(["store.corrupt"]);
  });

  it("makes nobody execute anything again when it was cut in the middle", async () => {
    const { path, ids } = await restingFile(30);
    truncateSync(path, Math.floor(statSync(path).size / 2 / 4096) * 4096);
    const entered: string[] = [];
    const log = listening();
    const store = sqlite({ path, now: () => Date.now() + laterMs });
    const stemma = new Stemma({ store, workflows: [resting(entered)], log });
    const error = await stemma.start().catch((thrown: unknown) => thrown);
    if (error === undefined) await until(() => log.lines.some((line) => line.includes("store.corrupt")));
    else expect(isStemmaError(error, "store.corrupt"), "the error is store.corrupt").toBe(true);
    await stemma.stop({ timeout: 500 });
    await store.close();
    expect(entered.filter((name) => name !== "after")).toEqual([]);
    expect(entered.length).toBeLessThan(ids.length);
  });

  it("suspends a run as corrupt whose recorded value was changed in its event, and goes on with nothing", async () => {
    const { path, ids } = await restingFile();
    expect(replaceBytes(path, "paid-7777", "paid-1111")).toBeGreaterThan(0);
    const woken = await wake(path, ids[0] ?? "");
    expect(woken).toMatchObject({ status: "suspended", reason: "corrupt", entered: [], output: undefined });
    expect(woken.detail).toContain("store.corrupt");
    expect(woken.detail).toMatch(/backup/);
  });

  it("suspends a run as corrupt whose recorded value was changed in the table of large values", async () => {
    const { path, ids } = await restingFile();
    expect(replaceBytes(path, "paid-8888", "paid-2222")).toBeGreaterThan(0);
    const woken = await wake(path, ids[0] ?? "");
    expect(woken).toMatchObject({ status: "suspended", reason: "corrupt", entered: [], output: undefined });
    expect(woken.detail).toContain("store.corrupt");
  });

  it("suspends a run as corrupt of which an event or a large value is missing", async () => {
    for (const damage of ["delete from events where seq = 3", "delete from payloads"]) {
      const { path, ids } = await restingFile();
      const database = new DatabaseSync(path);
      database.exec(damage);
      database.close();
      const woken = await wake(path, ids[0] ?? "");
      expect(woken, damage).toMatchObject({ status: "suspended", reason: "corrupt", entered: [] });
      expect(woken.detail, damage).toMatch(/store\.corrupt|payload\.missing/);
    }
  });
});
