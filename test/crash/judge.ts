/** What must be true after any number of crashes, held against the store and the witness. */
import { isDeepStrictEqual } from "node:util";
import { DatabaseSync } from "node:sqlite";
import { genesis, seal, unseal } from "../../src/core/chain.ts";
import type { StoredEvent } from "../../src/core/chain.ts";
import type { Event, RunId } from "../../src/core/event.ts";
import { outcomeOf } from "../../src/core/event.ts";
import { idempotencyKey, identityOf, identityText } from "../../src/core/identity.ts";
import { reduceAll } from "../../src/core/reduce.ts";
import type { TracedRun } from "../../src/core/trace.ts";
import { components, trace } from "../../src/core/trace.ts";
import { sha256 } from "../../src/engine/hash.ts";
import type { RunRow, Store } from "../../src/store/store.ts";
import type { Line } from "./witness.ts";
import { onceName } from "./workflows.ts";
import type { World } from "./world.ts";

export type Verdict = {
  faults: string[];
  steps: number;
  events: number;
  /** Runs that other runs called. */
  called: number;
  late: number;
  /** Steps that were in doubt, and of which it was found out what became of them. */
  doubts: number;
  /** How many events each run has. */
  counts: ReadonlyMap<RunId, number>;
};

/** What a history has of one step. */
type Outcome = { seq: number; key: string; idempotencyKey: string; value: string | undefined };

type Read = { row: RunRow; stored: StoredEvent[]; events: Event[] };

/** Everything that is wrong in a world whose processes have done their work. */
export async function judge(world: World): Promise<Verdict> {
  const faults: string[] = [];
  const outcomes = new Map<RunId, Outcome[]>();
  const counts = new Map<RunId, number>();
  const families = new Map<RunId, TracedRun[]>();
  let steps = 0;
  let events = 0;
  let doubts = 0;
  const called = await calledRuns(world);
  for (const run of [...world.runs, ...called]) {
    const read = await readRun(world.store, run);
    if (read === undefined) {
      faults.push(`${run} is gone`);
      continue;
    }
    const found = outcomesOf(run, read.events);
    outcomes.set(run, found);
    counts.set(run, read.stored.length);
    steps += found.length;
    events += read.events.length;
    doubts += read.events.filter(({ type }) => type === "step.decided").length;
    const { family } = read.row.state;
    families.set(family, [...(families.get(family) ?? []), { run, events: read.events }]);
    for (const fault of checkRun(run, read, found)) faults.push(`${run} (${read.row.state.workflow}): ${fault}`);
  }
  for (const [family, runs] of families) {
    faults.push(...checkTrace(runs).map((fault) => `the family of ${family}: ${fault}`));
  }
  faults.push(
    ...(await checkFeed(world.store, counts)),
    ...(world.database === undefined ? checkFile(world.file) : []),
  );
  const seen = checkWitness(world.lines, outcomes);
  faults.push(...seen.faults, ...checkOnce(world.lines));
  return { faults, steps, events, called: called.length, late: seen.late, doubts, counts };
}

function checkTrace(runs: readonly TracedRun[]): string[] {
  try {
    const count = components(trace(runs));
    return count === 1 ? [] : [`its trace has ${count} components`];
  } catch (thrown) {
    return [`its trace cannot be drawn: ${String(thrown)}`];
  }
}

/** Runs that nobody here has started. */
async function calledRuns(world: World): Promise<RunId[]> {
  const started = new Set(world.runs);
  const called: RunId[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await world.store.list({ limit: 200, ...(cursor === undefined ? {} : { cursor }) });
    called.push(...page.runs.flatMap(({ id }) => (started.has(id) ? [] : [id])));
    if (page.cursor === undefined) return called;
    cursor = page.cursor;
  }
}

/** What is done once was entered at most once, also by a process that came back from being frozen. */
function checkOnce(lines: readonly Line[]): string[] {
  const entered = new Map<string, number[]>();
  for (const { pid, kind, words } of lines) {
    const [run = "", , name = ""] = words;
    if (kind !== "enter" || !name.startsWith(onceName)) continue;
    const step = `${run}: ${name}`;
    entered.set(step, [...(entered.get(step) ?? []), pid]);
  }
  return [...entered].flatMap(([step, by]) =>
    by.length === 1 ? [] : [`${step} was entered by ${by.join(" and by ")}`],
  );
}

async function readRun(store: Store, run: RunId): Promise<Read | undefined> {
  const stored: StoredEvent[] = [];
  for (;;) {
    const page = await store.history(run, { after: stored.at(-1)?.seq ?? -1, limit: 1000 });
    if (page === undefined) return undefined;
    stored.push(...page.events);
    if (!page.more) return { row: page.row, stored, events: stored.map(unseal) };
  }
}

function outcomesOf(run: RunId, events: readonly Event[]): Outcome[] {
  const refs = new Map<string, Parameters<typeof identityOf>[0]>();
  const found: Outcome[] = [];
  for (const event of events) {
    if (!("key" in event.data)) continue;
    const ref = refs.get(event.data.key) ?? event.data;
    refs.set(ref.key, ref);
    if (outcomeOf[event.type] === null) continue;
    const key = idempotencyKey(sha256, run, [], identityOf(ref));
    found.push({ seq: event.seq, key: ref.key, idempotencyKey: key, value: valueOf(event) });
  }
  return found;
}

/** What the code of the workflow is given by an outcome: a value, or the message of an error. */
function valueOf(event: Event): string | undefined {
  if (event.type === "step.failed") return event.data.error.message;
  if (event.type !== "step.succeeded" || !("inline" in event.data.output)) return undefined;
  const { inline } = event.data.output;
  return typeof inline === "string" ? inline : undefined;
}

function checkRun(run: RunId, { row, stored, events }: Read, outcomes: readonly Outcome[]): string[] {
  const faults: string[] = [];
  const { status, reason, error } = row.state;
  if (status !== "succeeded") faults.push(`it is ${status} ${reason ?? ""} ${error?.message ?? ""}`);
  let previous = genesis(sha256, run);
  for (const [i, event] of events.entries()) {
    if (event.seq !== i) faults.push(`event ${i} has seq ${event.seq}`);
    previous = seal(sha256, previous, event).hash;
    if (previous !== stored[i]?.hash) faults.push(`the hash chain is broken at ${i}`);
    previous = stored[i]?.hash ?? previous;
  }
  if (row.hash !== stored.at(-1)?.hash) faults.push("its row does not name its last event");
  try {
    if (!isDeepStrictEqual(reduceAll(events), row.state)) faults.push("its state is not what its events add up to");
  } catch (thrown) {
    faults.push(`its history makes no sense: ${String(thrown)}`);
  }
  faults.push(...checkTrace([{ run, events }]));
  const settled = new Set<string>();
  for (const { key, idempotencyKey: identity } of outcomes) {
    if (settled.has(identity)) faults.push(`${key} has two outcomes`);
    settled.add(identity);
  }
  const texts = new Map<string, string>();
  for (const event of events) {
    if (!("key" in event.data) || texts.has(event.data.key)) continue;
    const text = identityText(identityOf(event.data));
    if ([...texts.values()].includes(text)) faults.push(`${event.data.key} is another step under a second label`);
    texts.set(event.data.key, text);
  }
  return faults;
}

/** Every event once, each run's in order, and nothing else. */
async function checkFeed(store: Store, counts: ReadonlyMap<RunId, number>): Promise<string[]> {
  const faults: string[] = [];
  const next = new Map<RunId, number>();
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  let seen = 0;
  // A store may give the last positions a moment after the last commit.
  for (let after = 0, patience = 100; ;) {
    const page = await store.feed({ after, limit: 1000 });
    seen += page.events.length;
    for (const { position, run, event } of page.events) {
      if (position <= after) faults.push(`the feed gives position ${position} behind ${after}`);
      after = position;
      const seq = next.get(run) ?? 0;
      if (event.seq !== seq) faults.push(`the feed gives seq ${event.seq} of ${run} where ${seq} is next`);
      next.set(run, seq + 1);
    }
    if (page.events.length > 0) continue;
    if (seen >= total || (patience -= 1) === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (const [run, count] of counts) {
    if (next.get(run) !== count) faults.push(`the feed has ${next.get(run) ?? 0} of the ${count} events of ${run}`);
  }
  return faults;
}

function checkFile(path: string): string[] {
  const database = new DatabaseSync(path);
  try {
    const answer = Object.values(database.prepare("pragma integrity_check").get() ?? {})[0];
    return answer === "ok" ? [] : [`SQLite says of the file: ${String(answer)}`];
  } finally {
    database.close();
  }
}

/** What was acknowledged is on record as it was; what was on record was not entered again. */
function checkWitness(
  lines: readonly Line[],
  outcomes: ReadonlyMap<RunId, readonly Outcome[]>,
): { faults: string[]; late: number } {
  const faults: string[] = [];
  const recorded = new Set<string>();
  const resumed = new Set<number>();
  let late = 0;
  const find = (run = "", key = ""): Outcome | undefined => outcomes.get(run)?.find((outcome) => outcome.key === key);
  for (const { pid, kind, words } of lines) {
    const [run = "", key = "", detail = ""] = words;
    if (kind === "continue") resumed.add(Number(run));
    const first = resumed.delete(pid);
    if (kind === "recorded") {
      const outcome = find(run, key);
      if (outcome?.seq !== Number(detail)) {
        faults.push(`${run}: ${key} was acknowledged at seq ${detail} and is on record at ${outcome?.seq ?? "none"}`);
      }
      if (outcome !== undefined) recorded.add(outcome.idempotencyKey);
    } else if (kind === "saw") {
      const value = find(run, key)?.value;
      const saw = decodeURIComponent(detail);
      if (value !== saw) faults.push(`${run}: ${key} was given as ${saw} and is on record as ${value ?? "nothing"}`);
    } else if (kind === "enter" && recorded.has(key)) {
      // Frozen between the decision to enter a step and its first act, nobody can know that time has gone by.
      if (first) late += 1;
      else faults.push(`${run}: ${detail} was entered by ${pid} although its outcome was on record`);
    }
  }
  return { faults, late };
}
