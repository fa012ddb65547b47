import { spawnSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, describe, expect, test } from "vitest";

import type { ErrorCode } from "../../core/error.ts";
import { isStemmaError } from "../../core/error.ts";
import { sqlite } from "../../sqlite.ts";
import { Driver } from "./driver.ts";
import type { NewRun, Store } from "../store.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-driver-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function freshPath(): string {
  return join(folder, `${files++}.db`);
}

function newRun(id: string, bytes: number = 1): NewRun {
  const hash = "ab".repeat(32);
  return {
    id,
    events: [
      { seq: 0, at: 1, type: "run.created", causes: "[]", data: JSON.stringify({ x: "x".repeat(bytes) }), hash },
    ],
    payloads: [],
    state: {
      workflow: "w",
      version: 1,
      family: id,
      origin: { kind: "new" },
      status: "queued",
      steps: { succeeded: 0, failed: 0, cancelled: 0, reused: 0, attemptsFailed: 0 },
      createdAt: 1,
      tags: [],
      seq: 0,
    },
  };
}

/** A file with some runs in it, all of them in the main file. */
async function filledFile(): Promise<string> {
  const path = freshPath();
  const store = sqlite(path);
  for (let i = 0; i < 60; i++) await store.create([newRun(`run_${i}`, 1000)]);
  await store.close();
  return path;
}

async function codeOf(work: Promise<unknown>): Promise<ErrorCode | "no error"> {
  try {
    await work;
    return "no error";
  } catch (error) {
    if (isStemmaError(error)) return error.code;
    throw error;
  }
}

async function readAll(store: Store): Promise<void> {
  for (let after = 0; ;) {
    const page = await store.feed({ after, limit: 1000 });
    if (page.position === after) return;
    after = page.position;
  }
}

describe("a place that cannot be written is store.not_writable, with what to do", () => {
  test("a folder that is not there", async () => {
    const store = sqlite(join(folder, "nowhere", "x.db"));
    const error = await store.list({}).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "store.not_writable", message: expect.stringContaining("folder must exist") });
  });

  test("a path below a file", async () => {
    const file = freshPath();
    writeFileSync(file, "");
    expect(await codeOf(sqlite(join(file, "x.db")).list({}))).toBe("store.not_writable");
  });

  test("a folder as the path", async () => {
    const path = freshPath();
    mkdirSync(path);
    expect(await codeOf(sqlite(path).list({}))).toBe("store.not_writable");
  });
});

describe("a file that is damaged or not ours is refused and left as it is", () => {
  test("random bytes", async () => {
    const path = freshPath();
    const bytes = randomBytes(16_384);
    writeFileSync(path, bytes);
    expect(await codeOf(sqlite(path).list({}))).toBe("store.corrupt");
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });

  test("a header with flipped bits", async () => {
    const path = await filledFile();
    const header = readFileSync(path)
      .subarray(0, 16)
      .map((byte) => byte ^ 0xff);
    const file = openSync(path, "r+");
    writeSync(file, header, 0, 16, 0);
    closeSync(file);
    expect(await codeOf(sqlite(path).list({}))).toBe("store.corrupt");
  });

  test("a file that was cut off", async () => {
    const path = await filledFile();
    const whole = readFileSync(path).length;
    truncateSync(path, Math.floor(whole / 2 / 4096) * 4096);
    const store = sqlite(path);
    expect(await codeOf(readAll(store))).toBe("store.corrupt");
    await store.close();
  });

  test("pages overwritten with noise", async () => {
    const path = await filledFile();
    const whole = readFileSync(path).length;
    const file = openSync(path, "r+");
    for (let at = 4096; at < whole; at += 4096) writeSync(file, randomBytes(4096), 0, 4096, at);
    closeSync(file);
    const store = sqlite(path);
    expect(await codeOf(readAll(store))).toBe("store.corrupt");
    await store.close();
  });

  test("a database of another program, whether it says so or not", async () => {
    for (const mark of ["pragma application_id = 7", "create table theirs (x)"]) {
      const path = freshPath();
      const theirs = new DatabaseSync(path);
      theirs.exec(mark);
      theirs.close();
      const before = readFileSync(path);
      expect(await codeOf(sqlite(path).list({}))).toBe("store.corrupt");
      expect(readFileSync(path).equals(before)).toBe(true);
    }
  });

  test("a database of a newer version", async () => {
    const path = await filledFile();
    const newer = new DatabaseSync(path);
    newer.exec("pragma user_version = 999");
    newer.close();
    const error = await sqlite(path)
      .list({})
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "store.newer", message: expect.stringContaining("upgrade") });
  });
});

describe("durability is set and read back", () => {
  const setting = (driver: Driver, name: string): unknown =>
    driver.read(() => Object.values(driver.prepare(`pragma ${name}`).get() ?? {})[0]);

  test("with a new file, and again whenever a file is opened", () => {
    const path = freshPath();
    for (let i = 0; i < 2; i++) {
      const driver = new Driver({ path, synchronous: "full", busyMs: 1000 });
      expect(setting(driver, "journal_mode")).toBe("wal");
      expect(setting(driver, "synchronous")).toBe(2);
      expect(setting(driver, "foreign_keys")).toBe(1);
      expect(setting(driver, "trusted_schema")).toBe(0);
      expect(setting(driver, "busy_timeout")).toBe(1000);
      driver.close();
    }
  });

  test("also after the connection was lost", () => {
    let fail = false;
    const commit = (real: () => void): void => {
      real();
      if (fail) throw new Error("no answer from the disk");
    };
    const driver = new Driver({ path: freshPath(), synchronous: "full", busyMs: 1000, commit });
    expect(setting(driver, "synchronous")).toBe(2);
    fail = true;
    driver.write(
      () => undefined,
      () => true,
    );
    expect(setting(driver, "synchronous")).toBe(2);
    driver.close();
  });

  test("less than full is only what somebody asked for", () => {
    const driver = new Driver({ path: freshPath(), synchronous: "normal", busyMs: 1000 });
    expect(setting(driver, "synchronous")).toBe(1);
    driver.close();
  });
});

describe("while another process writes", () => {
  test("a write waits for so long and is then store.busy; reading goes on", async () => {
    const path = await filledFile();
    const other = new DatabaseSync(path);
    other.exec("begin immediate");
    const store = sqlite({ path, busyMs: 20 });
    expect(await codeOf(store.create([newRun("run_new")]))).toBe("store.busy");
    expect((await store.list({ ids: ["run_1"] })).runs).toHaveLength(1);
    other.exec("rollback");
    expect(await store.create([newRun("run_new")])).toEqual([{ id: "run_new", created: true }]);
    other.close();
    await store.close();
  });
});

describe("a full disk", () => {
  // A file system of 1 MB where one may be mounted; else a limit on the size of files, which fails with EFBIG instead.
  const place = join(folder, "small");
  mkdirSync(place);
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", place]).status === 0;
  afterAll(() => {
    if (mounted) spawnSync("umount", [place]);
  });

  test("is an error with a code, keeps all that was acknowledged, and the store goes on when there is room", () => {
    const entry = new URL("../../sqlite.ts", import.meta.url).href;
    const script = `
      import { sqlite } from ${JSON.stringify(entry)};
      import { rmSync, writeFileSync } from "node:fs";
      const newRun = ${newRun.toString()};
      const path = ${JSON.stringify(join(place, "full.db"))};
      if (${mounted}) writeFileSync(path + ".ballast", Buffer.alloc(300_000));
      const store = sqlite(path);
      const kept = [];
      let code = "no error", again = "no error";
      const create = (i) => store.create([newRun("run_" + i, 20_000)]).then(() => kept.push("run_" + i));
      for (let i = 0; i < 1000 && code === "no error"; i++) await create(i).catch((error) => { code = error.code; });
      await create("second").catch((error) => { again = error.code; });
      const count = async () => (await Promise.all(kept.map((id) => store.history(id, { after: -1, limit: 1 })))).filter(Boolean).length;
      const then = kept.length;
      const found = await count();
      if (${mounted}) {
        rmSync(path + ".ballast");
        await create("after");
      }
      const end = await count();
      await store.close();
      console.log(JSON.stringify({ code, again, then, found, kept: kept.length, end }));`;
    const file = join(folder, "full.mjs");
    writeFileSync(file, script);
    const command = `${mounted ? "" : "ulimit -f 1000; "}exec "$0" "$1"`;
    const { stdout, stderr } = spawnSync("bash", ["-c", command, process.execPath, file], { encoding: "utf8" });
    expect(stderr).toBe("");
    const { code, again, then, found, kept, end } = JSON.parse(stdout) as Record<string, unknown>;
    // A limit on each file leaves room once the log was copied to the main file, so there the second may go through.
    expect(mounted ? ["store.full"] : ["store.unavailable", "store.full"]).toContain(code);
    if (mounted) expect(again).toBe("store.full");
    expect(then).toBeGreaterThan(5);
    expect(found).toBe(then);
    expect(end).toBe(kept);
    expect(kept).toBe((then as number) + (mounted ? 1 : 0));
  }, 30_000);
});

describe("a store that is used wrongly says so", () => {
  test("a path that is no file", () => {
    for (const path of ["", "file:x.db?mode=memory"]) {
      expect(() => sqlite(path)).toThrow(expect.objectContaining({ code: "usage.invalid" }));
    }
    expect(() => sqlite({ path: "x.db", busyMs: -1 })).toThrow(expect.objectContaining({ code: "usage.invalid" }));
  });

  test("use after close", async () => {
    const store = sqlite(freshPath());
    await store.create([newRun("run_1")]);
    await store.close();
    await store.close();
    expect(await codeOf(store.list({}))).toBe("store.closed");
    expect(await codeOf(store.create([]))).toBe("store.closed");
    expect(await codeOf(store.claim({ worker: "w", offers: [], limit: 1, leaseMs: 1 }))).toBe("store.closed");
  });

  test("await using closes it", async () => {
    const path = freshPath();
    let kept: Store;
    {
      await using store = sqlite(path);
      await store.create([newRun("run_1")]);
      kept = store;
    }
    expect(await codeOf(kept.list({}))).toBe("store.closed");
  });

  test("it stays with the file that its path meant when it was made", async () => {
    const before = process.cwd();
    const path = freshPath();
    process.chdir(folder);
    try {
      const store = sqlite(path.slice(folder.length + 1));
      process.chdir(before);
      expect(store.name).toBe(`sqlite ${path}`);
      await store.create([newRun("run_1")]);
      await store.close();
    } finally {
      process.chdir(before);
    }
    expect((await sqlite(path).list({})).runs).toHaveLength(1);
  });

  test("a copy of the file is a whole store", async () => {
    const path = await filledFile();
    const copy = freshPath();
    copyFileSync(path, copy);
    expect((await sqlite(copy).list({ limit: 200 })).runs).toHaveLength(60);
  });
});
