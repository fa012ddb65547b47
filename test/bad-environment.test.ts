/**
 * A file, a disk or another process that is not as it should be: there is a clear error with a code that says what to do,
 * nothing that was acknowledged is lost, nothing is acknowledged that is not kept, and what was paid for is kept.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, describe, expect, it } from "vitest";
import { isStemmaError, Stemma, workflow } from "../src/index.ts";
import type { Duration, ErrorCode, Event, RunHandle } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import { errorOf, listening, outline, silent, stage, until } from "./stage.ts";

const root = mkdtempSync(join(tmpdir(), "stemma-environment-"));
const mounts: string[] = [];
let places = 0;

afterAll(() => {
  for (const mount of mounts) spawnSync("umount", ["-l", mount]);
  rmSync(root, { recursive: true, force: true });
});

/** A folder of its own for a test. */
function place(): string {
  const folder = join(root, String((places += 1)));
  mkdirSync(folder);
  return folder;
}

/** A small file system of its own, or nothing where this process may not mount one. */
function smallDisk(size: string): string | undefined {
  const folder = place();
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder]);
  if (status !== 0) return undefined;
  mounts.push(folder);
  return folder;
}

const canMount = process.platform === "linux" && smallDisk("64k") !== undefined;
const canLimit = process.platform === "linux" && spawnSync("prlimit", ["--version"]).status === 0;

/** Takes what is left of the disk that `folder` is on, by a file that can be removed again. */
function fill(folder: string): () => void {
  const ballast = join(folder, "ballast");
  const file = openSync(ballast, "w");
  for (let size = 65_536; size >= 1;) {
    try {
      writeSync(file, Buffer.alloc(size));
    } catch {
      size = Math.floor(size / 2);
    }
  }
  closeSync(file);
  return () => rmSync(ballast);
}

/** A step at which the test can do what it likes: it knows when it is entered, and lets it end. */
function door<T>(value: T) {
  const entered = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  const made = {
    entries: 0,
    entered: entered.promise,
    open: () => opened.resolve(),
    async run(): Promise<T> {
      made.entries += 1;
      entered.resolve();
      await opened.promise;
      return value;
    },
  };
  return made;
}

/** A workflow with a step, a door, and a step; `seen` has what its body was given. */
function doored(value = "paid") {
  const gate = door(value);
  const seen: unknown[] = [];
  const definition = workflow({ name: "doored" }, async (ctx) => {
    seen.push(await ctx.step("first", () => "kept"));
    seen.push(await ctx.step("paid", gate.run));
    seen.push(await ctx.step("last", () => "end"));
    return "done";
  });
  return { gate, seen, definition };
}

/** Two steps, then a sleep, then a step: a run of it rests until `later`. */
function resting(entered: string[] = []) {
  const padding = "p".repeat(3000);
  return workflow({ name: "resting" }, async (ctx) => {
    const small = await ctx.step("small", () => (entered.push("small"), "paid-7777"));
    const large = await ctx.step("large", () => (entered.push("large"), `paid-8888${padding}`));
    await ctx.sleep("rest", "1h");
    return ctx.step("after", { input: [small, large.slice(0, 9)] }, (input) => (entered.push("after"), input));
  });
}

const laterMs = 7_200_000;

/** A database with a run that rests. */
async function restingFile(runs = 1): Promise<{ path: string; ids: string[] }> {
  const path = join(place(), "stemma.db");
  const definition = resting();
  const store = sqlite(path);
  const ids: string[] = [];
  {
    await using theatre = await stage([definition], { store });
    for (let i = 0; i < runs; i += 1) ids.push((await theatre.stemma.run(definition, undefined)).id);
    for (const id of ids) await until(async () => (await (await theatre.stemma.get(id)).status()) === "suspended");
  }
  await store.close();
  return { path, ids };
}

/** What becomes of a run that rests in this file when its time has come. */
async function wake(path: string, id: string) {
  const entered: string[] = [];
  const log = listening();
  const store = sqlite({ path, now: () => Date.now() + laterMs });
  const stemma = new Stemma({ store, workflows: [resting(entered)], log });
  const woken = {
    entered,
    lines: log.lines,
    status: "",
    reason: "",
    detail: "",
    error: undefined as unknown,
    output: undefined as unknown,
  };
  try {
    await stemma.start();
    await until(async () => {
      const { state } = await stemma.row(id);
      [woken.status, woken.reason] = [state.status, state.reason ?? ""];
      return state.status === "succeeded" || state.status === "failed" || (state.reason ?? "waiting") !== "waiting";
    });
    if (woken.status === "succeeded") woken.output = await (await stemma.get(id)).result();
    const { state } = await stemma.row(id);
    const last = (await stemma.history(id, { after: state.seq - 1 })).at(-1);
    if (last?.type === "run.suspended") woken.detail = JSON.stringify(last.data.detail);
  } catch (error) {
    woken.error = error;
  } finally {
    await stemma.stop();
    await store.close();
  }
  return woken;
}

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

/** Expects that a file cannot be used, by whatever call comes first, and that nobody touched it. */
async function expectRefused(path: string, code: ErrorCode, ...says: RegExp[]): Promise<void> {
  const before = existsSync(path) && statSync(path).isFile() ? readFileSync(path) : undefined;
  const { definition } = doored();
  await using store = sqlite({ path, busyMs: 100 });
  const stemma = new Stemma({ store, workflows: [definition], log: silent });
  for (const error of [
    await errorOf(stemma.start()),
    await errorOf(stemma.run(definition, undefined)),
    await errorOf(stemma.list()),
  ]) {
    expect(isStemmaError(error, code), `${String(error)} (${error.code})`).toBe(true);
    expect(error.message).toContain(path);
    for (const text of says) expect(error.message).toMatch(text);
  }
  await stemma.stop();
  if (before !== undefined) expect(readFileSync(path).equals(before)).toBe(true);
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
      expect(JSON.stringify((events as Event[]).find(({ type }) => type === "step.succeeded")?.data)).toContain(
        "paid-7777",
      );
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
    else expect(isStemmaError(error, "store.corrupt"), String(error)).toBe(true);
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

/**
 * Lets a paid step end while its outcome cannot be stored, gives the disk back, and looks at what became of it.
 * `awayMs` is how long the disk is away, beyond the first two times that the outcome could not be stored.
 */
async function keepsWhatWasPaid(
  path: string,
  code: ErrorCode,
  breakDisk: () => () => void,
  lease: Duration,
  awayMs: number,
): Promise<void> {
  const value = "v".repeat(300_000);
  const { gate, seen, definition } = doored(value);
  const log = listening();
  await using store = sqlite(path);
  await using theatre = await stage([definition], { store, log, lease });
  const handle = await theatre.stemma.run(definition, undefined);
  await gate.entered;
  const mend = breakDisk();
  try {
    gate.open();
    const kept = (): number =>
      log.lines.filter((line) => line.includes("cannot take a flush") && line.includes(code)).length;
    await until(() => kept() >= 2);
    await new Promise((resolve) => setTimeout(resolve, awayMs));
    expect(seen).toEqual(["kept"]);
    expect(await outline(handle)).not.toContain("step.succeeded paid");
    const refused = await errorOf(theatre.stemma.run(definition, undefined, { context: value }));
    expect(refused.code).toBe(code);
    expect(refused.message).toContain(path);
  } finally {
    mend();
  }
  expect(await handle.result()).toBe("done");
  expect(gate.entries, "what was paid for is not paid for again").toBe(1);
  // The body may have been run again, from the record.
  expect(new Set(seen)).toEqual(new Set(["kept", value, "end"]));
  expect((await theatre.stemma.list()).runs).toHaveLength(1);
}

describe.skipIf(!canMount)("a full disk", () => {
  const full = (lease: Duration, awayMs: number): Promise<void> => {
    const folder = smallDisk("1m") ?? "";
    return keepsWhatWasPaid(join(folder, "stemma.db"), "store.full", () => fill(folder), lease, awayMs);
  };

  it("keeps the outcome of a paid step in memory, and stores it once there is space", () => full("15s", 0));

  it("does so too when the disk was full for longer than the lease", () => full("300ms", 500));

  it("says to free some space, and creates no run, when there is none from the start", async () => {
    const folder = smallDisk("2m") ?? "";
    const path = join(folder, "stemma.db");
    const empty = fill(folder);
    await using store = sqlite(path);
    const { definition, gate } = doored();
    const stemma = new Stemma({ store, workflows: [definition], log: silent });
    const error = await errorOf(stemma.run(definition, undefined));
    expect(error.code).toBe("store.full");
    expect(error.message).toMatch(/[Ff]ree some space/);
    empty();
    gate.open();
    await stemma.start();
    expect(await (await stemma.run(definition, undefined)).result()).toBe("done");
    expect((await stemma.list()).runs).toHaveLength(1);
    await stemma.stop();
  });
});

describe.skipIf(!canMount)("a worker that is stopped while its disk is full", () => {
  it("stops within its timeout, says which run it could not store, and another one goes on", async () => {
    const folder = smallDisk("2m") ?? "";
    const path = join(folder, "stemma.db");
    const { gate, seen, definition } = doored("v".repeat(300_000));
    const log = listening();
    const store = sqlite(path);
    const stemma = new Stemma({ store, workflows: [definition], log });
    await stemma.start();
    const handle = await stemma.run(definition, undefined);
    await gate.entered;
    const mend = fill(folder);
    gate.open();
    await until(() => log.lines.some((line) => line.includes("store.full")));
    const stopped = stemma.stop({ timeout: 100 }).then(() => "stopped");
    const late = new Promise((resolve) => setTimeout(() => resolve("still stopping after 5 s"), 5000));
    try {
      expect(await Promise.race([stopped, late])).toBe("stopped");
      const said = log.lines.filter((line) => line.startsWith("error") && line.includes(handle.id));
      expect(said.join("\n")).toMatch(/database or disk is full.*Free some space/);
      expect(seen).toEqual(["kept"]);
    } finally {
      mend();
      await stopped;
      await store.close();
    }
    await using again = sqlite({ path, now: () => Date.now() + laterMs });
    await using theatre = await stage([definition], { store: again });
    expect(await (await theatre.stemma.get(handle.id)).result()).toBe("done");
  });
});

/** For this very process: no file may grow beyond so many bytes. The signal that comes with it is ignored. */
function limitFiles(bytes: string): void {
  const { status, stderr } = spawnSync("prlimit", ["--pid", String(process.pid), `--fsize=${bytes}:`], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
}

describe.skipIf(!canLimit)("a disk that fails to write", () => {
  const failing = async (lease: Duration, awayMs: number): Promise<void> => {
    const path = join(place(), "stemma.db");
    const ignore = (): void => {};
    process.on("SIGXFSZ", ignore);
    const breakDisk = (): (() => void) => {
      // Room for the index of SQLite's log, and for nothing more.
      limitFiles("36864");
      return () => limitFiles("unlimited");
    };
    try {
      await keepsWhatWasPaid(path, "store.unavailable", breakDisk, lease, awayMs);
    } finally {
      process.off("SIGXFSZ", ignore);
    }
  };

  it("keeps the outcome of a paid step in memory, and stores it once it can be written", () => failing("15s", 0));

  it("does so too when it failed for longer than the lease", () => failing("300ms", 500));
});

describe("a place that cannot be written", () => {
  it("is refused when the folder is not there", () =>
    expectRefused(join(place(), "missing", "stemma.db"), "store.not_writable", /folder must exist/));

  it("is refused when it lies below a file", async () => {
    const file = join(place(), "file");
    writeFileSync(file, "kept");
    await expectRefused(join(file, "stemma.db"), "store.not_writable", /folder must exist/);
    expect(readFileSync(file, "utf8")).toBe("kept");
  });

  it("is refused when it is a folder", () => expectRefused(place(), "store.not_writable", /allowed to write/));

  it.skipIf(!canMount)("is refused when its file system is read-only, with and without a database on it", async () => {
    const { path } = await restingFile();
    const folder = smallDisk("4m") ?? "";
    copyFileSync(path, join(folder, "there.db"));
    expect(spawnSync("mount", ["-o", "remount,ro", folder]).status).toBe(0);
    await expectRefused(join(folder, "new.db"), "store.not_writable", /allowed to write/);
    await expectRefused(join(folder, "there.db"), "store.not_writable", /allowed to write/);
  });
});

describe("a file that is taken away under a working process", () => {
  const parts = ["", "-wal", "-shm"];

  /** Starts a run, takes the file away while its paid step runs, and lets the step end. */
  async function takenAway(take: (path: string) => void) {
    const path = join(place(), "stemma.db");
    const log = listening();
    const store = sqlite(path);
    const made = doored();
    const stemma = new Stemma({ store, workflows: [made.definition], log });
    await stemma.start();
    const handle: RunHandle = await stemma.run(made.definition, undefined);
    await made.gate.entered;
    take(path);
    made.gate.open();
    await until(() => made.seen.length > 1 || log.lines.some((line) => line.includes("store.")));
    const error = await stemma.run(made.definition, undefined).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    return {
      ...{ path, handle, error, log },
      ...made,
      async [Symbol.asyncDispose](): Promise<void> {
        // Closing first ends what waits for the file.
        await store.close();
        await stemma.stop({ timeout: 200 });
      },
    };
  }

  it("acknowledges nothing more when it was deleted, and says so", async () => {
    await using taken = await takenAway((path) => {
      for (const part of parts) rmSync(path + part, { force: true });
    });
    expect(taken.seen, "what is acknowledged must be in the file that the user has").toEqual(["kept"]);
    expect(String((taken.error as { code?: string } | undefined)?.code)).toMatch(/^store\./);
    expect(existsSync(taken.path), "no empty file may stand in for the one that is gone").toBe(false);
  });

  it("acknowledges nothing more when only the log beside it was deleted, which has what was committed last", async () => {
    await using taken = await takenAway((path) => rmSync(`${path}-wal`));
    expect(taken.seen).toEqual(["kept"]);
    expect(String((taken.error as { code?: string } | undefined)?.code)).toMatch(/^store\./);
  });

  it("acknowledges nothing more when another one was put in its place, and leaves that one alone", async () => {
    const other = await restingFile();
    const before = readFileSync(other.path);
    await using taken = await takenAway((path) => {
      for (const part of parts) rmSync(path + part, { force: true });
      copyFileSync(other.path, path);
    });
    expect(taken.seen).toEqual(["kept"]);
    expect(String((taken.error as { code?: string } | undefined)?.code)).toMatch(/^store\./);
    expect(readFileSync(taken.path).equals(before)).toBe(true);
  });

  it("goes on when it comes back, and the paid step was entered once", async () => {
    let away = "";
    await using taken = await takenAway((path) => {
      away = place();
      for (const part of parts) if (existsSync(path + part)) renameSync(path + part, join(away, `x${part}`));
    });
    expect(taken.seen).toEqual(["kept"]);
    for (const part of parts)
      if (existsSync(join(away, `x${part}`))) renameSync(join(away, `x${part}`), taken.path + part);
    expect(await taken.handle.result()).toBe("done");
    expect(taken.gate.entries).toBe(1);
  });
});

describe("two workers on one file", () => {
  it("execute each step once when they are two objects of one process", async () => {
    const path = join(place(), "stemma.db");
    const entered: string[] = [];
    const definition = (who: string) =>
      workflow({ name: "shared" }, async (ctx) => {
        for (const name of ["a", "b", "c"]) {
          await ctx.step(name, async () => {
            entered.push(`${ctx.runId} ${name}`);
            await new Promise((resolve) => setTimeout(resolve, 2));
          });
        }
        return who;
      });
    await using one = sqlite(path);
    await using two = sqlite(path);
    const workflows = [definition("one"), definition("two")];
    // Few places each, so that neither can take all.
    await using first = await stage([workflows[0] as (typeof workflows)[0]], { store: one, concurrency: 2 });
    await using second = await stage([workflows[1] as (typeof workflows)[0]], { store: two, concurrency: 2 });
    const handles = await Promise.all(
      Array.from({ length: 30 }, () => first.stemma.run(workflows[0] as (typeof workflows)[0], undefined)),
    );
    const outputs = await Promise.all(
      handles.map((handle) => second.stemma.get(handle.id).then((same) => same.result())),
    );
    expect(new Set(outputs)).toEqual(new Set(["one", "two"]));
    expect(entered.toSorted()).toEqual([...new Set(entered)].toSorted());
    expect(entered).toHaveLength(90);
  });

  it("execute each step once when they are two processes", async () => {
    const path = join(place(), "stemma.db");
    const script = join(import.meta.dirname, "power-cut/worker.ts");
    await sqlite(path).list({});
    const lines: string[][] = [];
    const children = [0, 1].map((n) => {
      const child = spawn(process.execPath, [script, path, "normal"], { stdio: ["ignore", "pipe", "inherit"] });
      let text = "";
      child.stdout.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
        lines[n] = text.split("\n").slice(0, -1);
      });
      return child;
    });
    const closed = children.map((child) => once(child, "close"));
    await until(
      () => children.some(({ exitCode }) => exitCode !== null) || [0, 1].every((n) => (lines[n]?.length ?? 0) > 400),
    );
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(closed);
    const entered = lines.flatMap((some) => some.filter((line) => line.startsWith("enter ")));
    const runs = (n: number): Set<string> =>
      new Set(lines[n]?.flatMap((line) => (line.startsWith("enter ") ? [line.split(" ")[1] ?? ""] : [])));
    expect(entered.length).toBeGreaterThan(200);
    expect(entered.toSorted()).toEqual([...new Set(entered)].toSorted());
    expect([...runs(0).intersection(runs(1))], "no run was worked on by both").toEqual([]);
  });
});

describe("a store that was closed", () => {
  it("is an error of every call, which says what to do", async () => {
    const { definition } = doored();
    const store = sqlite(join(place(), "stemma.db"));
    const stemma = new Stemma({ store, workflows: [definition], log: silent });
    await store.close();
    for (const error of [
      await errorOf(stemma.start()),
      await errorOf(stemma.run(definition, undefined)),
      await errorOf(stemma.list()),
      await errorOf(stemma.get("run_00000000000000000000000000")),
    ]) {
      expect(error.code).toBe("store.closed");
      expect(error.message).toMatch(/Make a new one/);
    }
    await stemma.stop();
  });

  it("acknowledges nothing, tells who waits, lets the worker stop, and another store goes on", async () => {
    const path = join(place(), "stemma.db");
    const { gate, seen, definition } = doored();
    const log = listening();
    const store = sqlite(path);
    const stemma = new Stemma({ store, workflows: [definition], log });
    await stemma.start();
    const handle = await stemma.run(definition, undefined);
    const result = errorOf(handle.result());
    await gate.entered;
    await store.close();
    gate.open();
    expect((await result).code).toBe("store.closed");
    await stemma.stop({ timeout: 200 });
    expect(seen).toEqual(["kept"]);
    expect(log.lines.join("\n")).toContain("store.closed");
    await using again = sqlite({ path, now: () => Date.now() + laterMs });
    await using theatre = await stage([definition], { store: again });
    expect(await (await theatre.stemma.get(handle.id)).result()).toBe("done");
    expect(seen).toEqual(["kept", "kept", "paid", "end"]);
  });
});
