import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, describe, expect, test } from "vitest";
import { buildRun, claim } from "../../testing/conformance/fixture.ts";
import type { Finding } from "../inspection.ts";
import { isInspectable } from "../inspection.ts";
import type { SqliteOptions, SqliteStore } from "./store.ts";
import { sqlite } from "./store.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-inspect-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function open(options: Partial<SqliteOptions> = {}): SqliteStore & { path: string } {
  files += 1;
  const path = options.path ?? join(folder, `${files}.db`);
  return Object.assign(sqlite({ ...options, path }), { path });
}

async function found(store: SqliteStore, check: string): Promise<Finding[]> {
  return (await store.inspect()).filter((finding) => finding.check === check);
}

describe("inspect", () => {
  test("a new store is well, and every check says so with its figures", async () => {
    await using store = open();
    expect(isInspectable(store)).toBe(true);
    const findings = await store.inspect();
    expect(findings.map(({ check }) => check)).toEqual([
      "schema",
      "journal",
      "synchronous",
      "integrity",
      "disk",
      "clock",
      "leases",
    ]);
    for (const { check, level } of findings) expect([check, level]).toEqual([check, "ok"]);
    expect(findings.find(({ check }) => check === "synchronous")?.data).toEqual({ level: "full" });
    expect(findings.find(({ check }) => check === "journal")?.data).toMatchObject({ mode: "wal" });
  });

  test("nothing is changed by looking", async () => {
    await using store = open();
    await store.create([buildRun(Date.now(), {})]);
    const before = statSync(`${store.path}-wal`).size;
    await store.inspect();
    expect(statSync(`${store.path}-wal`).size).toBe(before);
  });

  test("a store that a power cut may rob of its last commits says so, as read back from SQLite", async () => {
    await using store = open({ synchronous: "normal" });
    expect(await found(store, "synchronous")).toMatchObject([{ level: "warning", data: { level: "normal" } }]);
    await using memory = open({ path: ":memory:" });
    expect(await found(memory, "journal")).toMatchObject([{ level: "warning", data: { mode: "memory" } }]);
  });

  test("a schema with changes that this code does not know is told, where they break nothing", async () => {
    const store = open();
    await store.create([]);
    await store.close();
    const database = new DatabaseSync(store.path);
    database.exec("insert into migrations (id, breaking) values (1000, 0)");
    const version = database.prepare("pragma user_version").get()?.["user_version"] as number;
    for (let id = version + 1; id < 1000; id += 1)
      database.exec(`insert into migrations (id, breaking) values (${id}, 0)`);
    database.exec("pragma user_version = 1000");
    database.close();
    await using again = open({ path: store.path });
    expect(await found(again, "schema")).toMatchObject([{ level: "warning", data: { found: 1000, known: version } }]);
  });

  test("damage is a problem that names itself, and the other checks are still made", async () => {
    const store = open();
    await store.create(Array.from({ length: 200 }, () => buildRun(Date.now(), {})));
    await store.close();
    const database = new DatabaseSync(store.path);
    const page = database.prepare("select rootpage from sqlite_schema where name = 'events'").get()?.["rootpage"];
    database.close();
    const file = openSync(store.path, "r+");
    writeSync(file, new Uint8Array(2048).fill(0xa5), 0, 2048, ((page as number) - 1) * 4096);
    closeSync(file);
    await using again = open({ path: store.path });
    const findings = await again.inspect();
    expect(findings.find(({ check }) => check === "integrity")).toMatchObject({ level: "problem" });
    expect(findings.find(({ check }) => check === "schema")).toMatchObject({ level: "ok" });
    expect(findings.some(({ check }) => check === "leases")).toBe(true);
  });

  test("a clock that is not this process's, and one that went back, are told", async () => {
    await using ahead = open({ now: () => Date.now() + 3_600_000 });
    const [early] = await found(ahead, "clock");
    expect(early).toMatchObject({ level: "warning" });
    expect(early?.message).toContain("1h ahead of");
    await using store = open();
    await store.create([buildRun(Date.now() + 7_200_000, {})]);
    const [back] = await found(store, "clock");
    expect(back?.message).toMatch(/newest event is (2h|1h 59m|1h 60m) ahead of the clock/);
  });

  test("each worker is told with its lease and its runs; one whose lease ended while it holds some is a warning", async () => {
    let late = 0;
    await using store = open({ now: () => Date.now() + late });
    await store.create([buildRun(Date.now(), {}), buildRun(Date.now(), {})]);
    await claim(store, "w_one", { leaseMs: 60_000 });
    await claim(store, "w_idle", { leaseMs: 60_000 });
    const before = await found(store, "leases");
    expect(before.map(({ level, data }) => [level, data?.["worker"], data?.["runs"]])).toEqual([
      ["ok", "w_idle", 0],
      ["ok", "w_one", 2],
    ]);
    late = 120_000;
    const after = await found(store, "leases");
    expect(after.map(({ level, data }) => [level, data?.["worker"]])).toEqual([
      ["ok", "w_idle"],
      ["warning", "w_one"],
    ]);
  });

  test("a file that cannot be opened is not looked at any further", async () => {
    const store = open();
    writeFileSync(store.path, "garbage ".repeat(1000));
    await expect(store.inspect()).rejects.toMatchObject({ code: "store.corrupt" });
  });

  test("a store that is closed refuses to be looked at", async () => {
    const store = open();
    await store.close();
    await expect(store.inspect()).rejects.toMatchObject({ code: "store.closed" });
  });
});
