/**
 * A disk, a folder or another process that is not as it should be: there is a clear error with a code that says what to
 * do, nothing that was acknowledged is lost, nothing is acknowledged that is not kept, and what was paid for is kept.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { Duration, ErrorCode, RunHandle } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import { canMount, doored, expectRefused, fill, laterMs, place, restingFile, smallDisk } from "./environment.ts";
import { errorOf, listening, outline, silent, stage, until } from "./stage.ts";

const canLimit = process.platform === "linux" && spawnSync("prlimit", ["--version"]).status === 0;

/**
 * Lets a paid step end while its outcome cannot be stored, gives the disk back, and looks at what became of it. Gives how often
 * the step was entered.
 * `awayMs` is how long the disk is away, beyond the first two times that the outcome could not be stored.
 */
async function keepsWhatWasPaid(
  path: string,
  code: ErrorCode,
  breakDisk: () => () => void,
  lease: Duration,
  awayMs: number,
): Promise<number> {
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
  // The body may have been run again, from the record.
  expect(new Set(seen)).toEqual(new Set(["kept", value, "end"]));
  expect((await theatre.stemma.list()).runs).toHaveLength(1);
  return gate.entries;
}

describe.skipIf(!canMount)("a full disk", () => {
  const full = (lease: Duration, awayMs: number): Promise<number> => {
    const folder = smallDisk("1m") ?? "";
    return keepsWhatWasPaid(join(folder, "stemma.db"), "store.full", () => fill(folder), lease, awayMs);
  };

  it("keeps the outcome of a paid step in memory, and stores it once there is space", async () => {
    expect(await full("15s", 0)).toBe(1);
  });

  it("does so too when the disk was full for longer than the lease", async () => {
    expect(await full("300ms", 500)).toBe(1);
  });

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
  it("stops soon after its timeout, says that something was not stored, and another one goes on", async () => {
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
    const late = new Promise((resolve) => setTimeout(() => resolve("still stopping after 20 s"), 20_000));
    try {
      expect(await Promise.race([stopped, late])).toBe("stopped");
      expect(log.lines.filter((line) => line.startsWith("error")).join("\n")).toMatch(/let go|given back/);
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
  const failing = async (lease: Duration, awayMs: number): Promise<number> => {
    const path = join(place(), "stemma.db");
    const ignore = (): void => {};
    process.on("SIGXFSZ", ignore);
    const breakDisk = (): (() => void) => {
      // Room for the index of SQLite's log, and for nothing more.
      limitFiles("36864");
      return () => limitFiles("unlimited");
    };
    try {
      return await keepsWhatWasPaid(path, "store.unavailable", breakDisk, lease, awayMs);
    } finally {
      process.off("SIGXFSZ", ignore);
    }
  };

  it("keeps the outcome of a paid step in memory, and stores it once it can be written", async () => {
    expect(await failing("15s", 0)).toBe(1);
  });

  it("does so too when it failed for longer than the lease", async () => {
    expect(await failing("300ms", 500)).toBe(1);
  });
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
      ...made,
      path,
      handle,
      error,
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
