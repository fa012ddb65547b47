/** Places, disks and runs for tests of what surrounds a process: files, file systems, and what is in the way there. */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { isStemmaError, Stemma, workflow } from "../src/index.ts";
import type { ErrorCode, Workflow } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import { errorOf, silent, stage, until } from "./stage.ts";

const root = mkdtempSync(join(tmpdir(), "stemma-environment-"));
const mounts: string[] = [];
let places = 0;

afterAll(() => {
  for (const mount of mounts) spawnSync("umount", ["-l", mount]);
  rmSync(root, { recursive: true, force: true });
});

/** A folder of its own for a test. */
export function place(): string {
  const folder = join(root, String((places += 1)));
  mkdirSync(folder);
  return folder;
}

/** A small file system of its own, or nothing where this process may not mount one. */
export function smallDisk(size: string): string | undefined {
  const folder = place();
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder]);
  if (status !== 0) return undefined;
  mounts.push(folder);
  return folder;
}

export const canMount: boolean = process.platform === "linux" && smallDisk("64k") !== undefined;

/** Takes what is left of the disk that `folder` is on, by a file that can be removed again. */
export function fill(folder: string): () => void {
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

type Door<T> = { entries: number; entered: Promise<void>; open(): void; run(): Promise<T> };

/** A step at which the test can do what it likes: it knows when it is entered, and lets it end. */
function door<T>(value: T): Door<T> {
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
export function doored(value = "paid"): {
  gate: Door<string>;
  seen: unknown[];
  definition: Workflow<undefined, string>;
} {
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
export function resting(entered: string[] = []): Workflow {
  const padding = "p".repeat(3000);
  return workflow({ name: "resting" }, async (ctx) => {
    const small = await ctx.step("small", () => (entered.push("small"), "paid-7777"));
    const large = await ctx.step("large", () => (entered.push("large"), `paid-8888${padding}`));
    await ctx.sleep("rest", "1h");
    return ctx.step("after", { input: [small, large.slice(0, 9)] }, (input) => (entered.push("after"), input));
  });
}

export const laterMs = 7_200_000;

/** A database with a run that rests. */
export async function restingFile(runs = 1): Promise<{ path: string; ids: string[] }> {
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

type Woken = {
  entered: string[];
  status: string;
  reason: string;
  /** Why it was suspended, as its last event says. */
  detail: string;
  error: unknown;
  output: unknown;
};

/** What becomes of a run that rests in this file when its time has come. */
export async function wake(path: string, id: string): Promise<Woken> {
  const entered: string[] = [];
  const store = sqlite({ path, now: () => Date.now() + laterMs });
  const stemma = new Stemma({ store, workflows: [resting(entered)], log: silent });
  const woken: Woken = { entered, status: "", reason: "", detail: "", error: undefined, output: undefined };
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

/** Expects that a file cannot be used, by whatever call comes first, and that nobody touched it. */
export async function expectRefused(path: string, code: ErrorCode, ...says: RegExp[]): Promise<void> {
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
