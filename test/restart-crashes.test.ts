/**
 * Restarts while processes die: real ones, by SIGKILL, in the midst of what they do. What was entered is written down
 * outside of the store, so whether anything was paid for twice does not depend on what the engine believes.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startChild } from "../examples/audit/child.ts";
import type { Child } from "../examples/audit/child.ts";
import { Stemma } from "../src/index.ts";
import type { RunHandle } from "../src/index.ts";
import { storeAt } from "./place.ts";
import { paid } from "./restart/worker.ts";
import { rowsAt } from "./rows.ts";
import { newPlace, silent, until } from "./stage.ts";

let folder: string;
let books: string;
let place: string;
let open: AsyncDisposableStack;
let stemma: Stemma;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stemma-"));
  books = join(folder, "books");
  mkdirSync(books);
  writeFileSync(join(books, "entered"), "");
  writeFileSync(join(books, "said"), "");
  place = newPlace(folder);
  open = new AsyncDisposableStack();
  const store = open.adopt(storeAt(place), (opened) => opened.close());
  stemma = open.use(new Stemma({ store, workflows: [paid], log: silent }));
});

afterEach(async () => {
  await open.disposeAsync();
  rmSync(folder, { recursive: true });
});

async function start(...args: string[]): Promise<Child> {
  const child = await startChild(new URL("restart/worker.ts", import.meta.url), args);
  open.defer(async () => void (await child.kill()));
  return child;
}

const work = (): Promise<Child> => start("work", place, books);
const mode = (how: string): void => writeFileSync(join(books, "mode"), how);
const lines = (file: string): string[] => readFileSync(join(books, file), "utf8").split("\n").slice(0, -1);
/** How often what was entered, but for the sum, which may be entered again. */
function paidFor(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of lines("entered")) if (!name.endsWith("sum")) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}
const once = (items: number): Map<string, number> =>
  new Map([["list", 1], ...Array.from({ length: items }, (_, n) => [`pay ${n}`, 1] as const)]);

const sumOf = (run: RunHandle): Promise<void> => until(() => lines("entered").includes(`${run.id} sum`));
const hasFailed = (run: RunHandle): Promise<void> => until(async () => (await run.status()) === "failed");

describe("three restarts in a row", () => {
  it("of which the worker of the middle one is killed at once, and that one is cancelled: nothing is paid for twice", async () => {
    mode("breaks");
    let worker = await work();
    const first = await stemma.run(paid, { books, items: 100, pause: 0 });
    await hasFailed(first);
    mode("hangs");
    const middle = await stemma.restart(first.id);
    await sumOf(middle);
    await worker.kill();
    worker = await work();
    await stemma.cancel(middle.id);
    await until(async () => (await middle.status()) === "cancelled");
    mode("works");
    const before = await rowsAt(place);
    const last = await stemma.restart<number>(middle.id);
    expect(await last.result()).toBe(9900);
    expect(paidFor()).toEqual(once(100));
    const after = await rowsAt(place);
    expect([...before].filter((row) => !after.has(row))).toEqual([]);
    // All of it is said to come from the first, also what the middle one had from it.
    const reused = (await last.history()).flatMap((event) =>
      event.type === "step.reused" ? [event.data.origin.run] : [],
    );
    expect(reused).toEqual(Array.from({ length: 101 }, () => first.id));
  });

  it("of which the middle one is killed before it has begun, and again and again while it recalls what it reused", async () => {
    mode("breaks");
    let worker = await work();
    const first = await stemma.run(paid, { books, items: 100, pause: 0 });
    await hasFailed(first);
    await worker.kill();
    const middle = await stemma.restart(first.id);
    for (let i = 0; i < 5; i += 1) {
      worker = await work();
      await new Promise((resolve) => setTimeout(resolve, 40 * i));
      await worker.kill();
    }
    await work();
    await hasFailed(middle);
    mode("works");
    const last = await stemma.restart<number>(middle.id);
    expect(await last.result()).toBe(9900);
    expect(paidFor()).toEqual(once(100));
  });
});

describe("restarts under load, while those who ask and those who work are killed", () => {
  it("asked for by two processes at once under the same keys, of which one is killed and asks again: one run for each key", async () => {
    mode("breaks");
    const worker = await work();
    const source = await stemma.run(paid, { books, items: 8, pause: 0 });
    await hasFailed(source);
    const before = await rowsAt(place);
    const load = Array.from({ length: 20 }, () => stemma.run(paid, { books, items: 5, pause: 1 }));
    const times = 25;
    const ask = (): Promise<Child> => start("ask", place, source.id, "ticket", String(times), join(books, "said"));
    const [one, other] = await Promise.all([ask(), ask()]);
    await until(() => lines("said").length > 4);
    await Promise.all([one.kill(), worker.kill(), work()]);
    const again = await ask();
    expect((await Promise.all([other.exit, again.exit])).map(({ code }) => code)).toEqual([0, 0]);
    const ids = new Map<string, Set<string>>();
    for (const line of lines("said")) {
      const [key = "", i = "", id = ""] = line.split(" ");
      ids.set(`${key} ${i}`, (ids.get(`${key} ${i}`) ?? new Set()).add(id));
    }
    expect(ids.size).toBe(times);
    expect([...ids.values()].map(({ size }) => size)).toEqual(Array.from({ length: times }, () => 1));
    const { descendants } = await stemma.lineage(source.id);
    expect(new Set(descendants)).toEqual(new Set([...ids.values()].flatMap((each) => [...each])));
    const runs = await Promise.all([...load, ...descendants.map((id) => stemma.get(id))]);
    for (const run of runs) await hasFailed(run);
    // What the load does not do was done for the source, and for none of its restarts.
    expect([5, 6, 7].map((n) => paidFor().get(`pay ${n}`))).toEqual([1, 1, 1]);
    const after = await rowsAt(place);
    expect([...before].filter((row) => !after.has(row))).toEqual([]);
  });
});
