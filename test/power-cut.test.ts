/**
 * What user code was told is done is there after the power failed. A real Stemma process runs on a disk that can lose its
 * power, and says of each step, run and result when its user got it; the surviving files must have all of that, and make
 * sense. With `synchronous: "normal"` the same must fail, or the cuts would prove nothing.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { genesis, seal, unseal } from "../src/core/chain.ts";
import type { StoredEvent } from "../src/core/chain.ts";
import { reduceAll } from "../src/core/reduce.ts";
import { sha256 } from "../src/engine/hash.ts";
import { textOf as textOfValue } from "../src/engine/value.ts";
import { components, Stemma, trace } from "../src/index.ts";
import type { Event, RunId } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import type { RunRow, Store } from "../src/store/store.ts";
import type { Cut } from "./power-cut/platter.ts";
import { powerCuts, seededRandom, startOnPlatter } from "./power-cut/platter.ts";
import { textOf, workflowsWith } from "./power-cut/worker.ts";
import { silent } from "./stage.ts";

const seed = Number(process.env["STEMMA_SEED"] ?? Date.now() % 1_000_000);
const cuts = Number(process.env["STEMMA_CUTS"] ?? 100);
const script = join(import.meta.dirname, "power-cut/worker.ts");
/** A later life's clock is ahead of the one before by this, so that the lease of the dead has run out. */
const laterMs = 60_000;

type Synchronous = "full" | "normal";

/** What one cut came to. `lost` counts promises of each kind that were not kept. */
type Verdict = {
  acknowledged: { steps: number; runs: number; ends: number };
  lost: { steps: number; runs: number; ends: number };
  faults: string[];
  cuts: number;
  /** Runs that were brought to their end afterwards, and steps on record that were given to them. */
  continued: number;
  recalled: number;
};

type OnRecord = { row: RunRow; events: Event[]; input: string | undefined; values: Map<string, string | undefined> };

const cache = mkdtempSync(join(tmpdir(), "power-cut-cache-"));

beforeAll(() => {
  // Processes that are killed keep no compiled code, so one that ends well keeps it for all.
  process.env["NODE_COMPILE_CACHE"] = cache;
  const { status, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8" });
  if (status !== 0) throw new Error(`The worker could not be started: ${stderr}`);
});

afterAll(() => {
  delete process.env["NODE_COMPILE_CACHE"];
  rmSync(cache, { recursive: true, force: true });
});

/** Reads one run as a stranger would, and notes in `faults` whatever does not fit. */
async function read(store: Store, run: RunId, faults: string[]): Promise<OnRecord | undefined> {
  const stored: StoredEvent[] = [];
  for (;;) {
    const page = await store.history(run, { after: stored.length - 1, limit: 1000 });
    if (page === undefined) return undefined;
    stored.push(...page.events);
    if (page.more) continue;
    const events = stored.map(unseal);
    const texts = await payloadsOf(store, stored, faults);
    faults.push(...checkHistory(page.row, stored, events).map((fault) => `${run}: ${fault}`));
    const values = new Map<string, string | undefined>();
    for (const { type, data } of events) {
      if (type === "step.succeeded") values.set(data.key, textOfValue(data.output, texts));
      if (type === "run.succeeded") values.set("", textOfValue(data.output, texts));
    }
    const [first] = events;
    const input = first?.type === "run.created" ? textOfValue(first.data.input, texts) : undefined;
    return { row: page.row, events, input, values };
  }
}

async function payloadsOf(
  store: Store,
  stored: readonly StoredEvent[],
  faults: string[],
): Promise<Map<string, string>> {
  const named = stored.flatMap(({ data }) => [...data.matchAll(/\{"bytes":(\d+),"digest":"([0-9a-f]{64})"\}/g)]);
  const texts = new Map(await store.payloads([...new Set(named.map(([, , digest = ""]) => digest))]));
  for (const [, bytes, digest = ""] of named) {
    const text = texts.get(digest);
    const fits = text !== undefined && sha256(text) === digest && Buffer.byteLength(text) === Number(bytes);
    if (fits) continue;
    faults.push(`payload ${digest} is ${text === undefined ? "missing" : "not what its digest says"}`);
    texts.set(digest, '"?"');
  }
  return texts;
}

function checkHistory(row: RunRow, stored: readonly StoredEvent[], events: readonly Event[]): string[] {
  const faults: string[] = [];
  let previous = genesis(sha256, row.id);
  for (const [i, event] of events.entries()) {
    if (event.seq !== i) faults.push(`event ${i} has seq ${event.seq}`);
    const hash = seal(sha256, previous, event).hash;
    if (hash !== stored[i]?.hash) faults.push(`the hash chain is broken at ${i}`);
    previous = stored[i]?.hash ?? hash;
  }
  if (row.hash !== previous) faults.push("its row does not name its last event");
  if (!isDeepStrictEqual(reduceAll(events), row.state)) faults.push("its row is not what its events add up to");
  const count = components(trace([{ run: row.id, events }]));
  if (count !== 1) faults.push(`its trace has ${count} components`);
  return faults;
}

/** The whole store: what is on record, and what is wrong with it by itself. */
async function readAll(path: string, faults: string[]): Promise<Map<RunId, OnRecord>> {
  const runs = new Map<RunId, OnRecord>();
  const store = sqlite(path);
  try {
    for (let cursor: string | undefined; ;) {
      const page = await store.list({ limit: 200, ...(cursor === undefined ? {} : { cursor }) });
      for (const { id } of page.runs) runs.set(id, (await read(store, id, faults)) as OnRecord);
      if ((cursor = page.cursor) === undefined) break;
    }
  } finally {
    await store.close();
  }
  const database = new DatabaseSync(path);
  const answer = Object.values(database.prepare("pragma integrity_check").get() ?? {})[0];
  database.close();
  if (answer !== "ok") faults.push(`SQLite says of the file: ${String(answer)}`);
  return runs;
}

/** Holds what was acknowledged against what is on record. */
function compare(lines: readonly string[], runs: ReadonlyMap<RunId, OnRecord>, verdict: Verdict): void {
  const { acknowledged, lost } = verdict;
  const count = (kind: keyof Verdict["lost"], kept: boolean): void => {
    acknowledged[kind] += 1;
    if (!kept) lost[kind] += 1;
  };
  for (const line of lines) {
    const [kind, run = "", first = "", repeats, value = ""] = line.split(" ");
    const found = runs.get(run);
    if (kind === "run") count("runs", found?.input?.startsWith(`"${first} `) === true);
    if (kind === "end") count("ends", found?.values.get("") === `"${first}"`);
    if (kind === "ack") count("steps", found?.values.get(first) === JSON.stringify(textOf(value, Number(repeats))));
  }
}

/** Steps that were acknowledged, as `run key`. */
function acknowledgedOf(lines: readonly string[]): Set<string> {
  return new Set(lines.flatMap((line) => (line.startsWith("ack ") ? [line.split(" ").slice(1, 3).join(" ")] : [])));
}

/** Looks for steps that were entered although they had been on record or acknowledged before. */
function checkEntered(lines: readonly string[], before: ReadonlySet<string>, faults: string[]): void {
  for (const line of lines) {
    const step = line.slice("enter ".length);
    if (line.startsWith("enter ") && before.has(step)) faults.push(`${step} was entered again`);
  }
}

function onRecordOf(runs: ReadonlyMap<RunId, OnRecord>): Set<string> {
  return new Set([...runs].flatMap(([run, { values }]) => [...values.keys()].map((key) => `${run} ${key}`)));
}

/** A worker brings every run on the surviving file to its end, from the record where there is one. */
async function finish(path: string, lines: readonly string[], lives: number, verdict: Verdict): Promise<void> {
  const before = await readAll(path, verdict.faults);
  const known = onRecordOf(before).union(acknowledgedOf(lines));
  const seen: string[] = [];
  const workflows = workflowsWith((line) => void seen.push(line));
  // Only the order of things is judged from here on, so the disk of this machine need not be waited for.
  const store = sqlite({ path, synchronous: "normal", now: () => Date.now() + lives * laterMs });
  const stemma = new Stemma({ store, workflows, log: silent });
  await stemma.start();
  try {
    for (const [run, { row }] of before) {
      if (row.state.status !== "succeeded") verdict.continued += 1;
      await (await stemma.get(run)).result();
    }
  } finally {
    await stemma.stop();
    await store.close();
  }
  checkEntered(seen, known, verdict.faults);
  const after = await readAll(path, verdict.faults);
  const later: Verdict = emptyVerdict();
  compare(lines, after, later);
  if (!isDeepStrictEqual(later.lost, verdict.lost)) verdict.faults.push("what had been acknowledged was lost later");
  for (const [run, { row, values }] of after) {
    if (row.state.status !== "succeeded") verdict.faults.push(`${run} is ${row.state.status}`);
    for (const [key, value] of before.get(run)?.values ?? []) {
      if (values.get(key) !== value) verdict.faults.push(`${run}: ${key} has another value now`);
    }
  }
  const given = acknowledgedOf(seen).intersection(known);
  verdict.recalled += given.size;
}

function emptyVerdict(): Verdict {
  return {
    acknowledged: { steps: 0, runs: 0, ends: 0 },
    lost: { steps: 0, runs: 0, ends: 0 },
    faults: [],
    cuts: 1,
    continued: 0,
    recalled: 0,
  };
}

/** Judges a cut. Every fourth has a second life on the surviving files, and a second cut; every third is worked off. */
async function judge(cut: Cut, synchronous: Synchronous): Promise<Verdict> {
  const verdict = emptyVerdict();
  const file = join(cut.folder, "a.db");
  if (cut.lines.some((line) => line.startsWith("ack "))) {
    expect(cut.calls.writes, "the writes of the child must come through the shim").toBeGreaterThan(0);
  }
  let lines = cut.lines;
  let path = file;
  const copies = mkdtempSync(join(tmpdir(), "power-cut-second-"));
  try {
    const isSecond = cut.seed % 4 === 0;
    if (isSecond) {
      // Looking at the files would repair them; the second life gets them as they are.
      const folder = join(copies, "live");
      cpSync(cut.folder, folder, { recursive: true });
      const first = await readAll(file, verdict.faults);
      const before = onRecordOf(first);
      const random = seededRandom(cut.seed + 1_000_000);
      const args = [join(folder, "a.db"), synchronous, String(laterMs)];
      await using living = startOnPlatter({ script, args, folder, seed: cut.seed + 1_000_000 });
      await living.printed(Math.floor(random() * 200));
      const again = await living.cut();
      checkEntered(again.lines, before, verdict.faults);
      verdict.cuts += 1;
      lines = [...lines, ...again.lines];
      cpSync(again.folder, join(copies, "cut"), { recursive: true });
      path = join(copies, "cut", "a.db");
    }
    compare(lines, await readAll(path, verdict.faults), verdict);
    if (cut.seed % 3 === 0) await finish(path, lines, isSecond ? 2 : 1, verdict);
  } finally {
    rmSync(copies, { recursive: true, force: true });
  }
  return verdict;
}

async function cutMany(synchronous: Synchronous, count: number): Promise<Verdict[]> {
  const started = performance.now();
  const verdicts = await powerCuts({
    cuts: count,
    seed,
    script,
    args: (folder) => [join(folder, "a.db"), synchronous],
    linesMax: 400,
    judge: (cut) => judge(cut, synchronous),
  });
  const sum = (of: (verdict: Verdict) => number): number => verdicts.reduce((total, one) => total + of(one), 0);
  const losing = verdicts.filter(({ lost }) => lost.steps + lost.runs + lost.ends > 0).length;
  const kinds = (["steps", "runs", "ends"] as const)
    .map((kind) => `${sum((one) => one.lost[kind])} of ${sum((one) => one.acknowledged[kind])} ${kind}`)
    .join(", ");
  console.log(
    `synchronous=${synchronous}, seed ${seed}: ${sum((one) => one.cuts)} cuts, acknowledged and lost: ${kinds}, ` +
      `in ${losing} cuts; ${sum((one) => one.continued)} runs continued, ${sum((one) => one.recalled)} steps recalled, ` +
      `${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
  return verdicts;
}

describe.skipIf(process.platform !== "linux")("a power cut under a working process", () => {
  test(
    "loses nothing that was acknowledged, and runs go on without repeating a step",
    { timeout: 300_000 },
    async () => {
      const verdicts = await cutMany("full", cuts);
      expect(verdicts.flatMap(({ faults }) => faults)).toEqual([]);
      expect(verdicts.map(({ lost }) => lost)).toEqual(verdicts.map(() => ({ steps: 0, runs: 0, ends: 0 })));
      // The cuts fell while there was something to lose.
      const most = (of: (verdict: Verdict) => number): number => Math.max(...verdicts.map(of));
      expect(most(({ acknowledged }) => acknowledged.steps)).toBeGreaterThan(50);
      expect(most(({ acknowledged }) => acknowledged.ends)).toBeGreaterThan(0);
      expect(most(({ continued }) => continued)).toBeGreaterThan(0);
      expect(most(({ recalled }) => recalled)).toBeGreaterThan(0);
    },
  );

  test("loses some of it with synchronous: normal, so the cuts are real", { timeout: 300_000 }, async () => {
    const verdicts = await cutMany("normal", Math.ceil(cuts / 8));
    expect(verdicts.filter(({ lost }) => lost.steps > 0).length).toBeGreaterThan(0);
  });
});
