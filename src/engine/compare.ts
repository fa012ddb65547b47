/** `stemma.compare`: two runs, read page by page, aligned by what their steps are. */
import { unseal } from "../core/chain.ts";
import type { ComparedStep, Differences } from "../core/compare.ts";
import {
  compareSteps,
  differencesOf,
  digestsOfRow,
  firstDivergence,
  sameValue,
  valueDifferences,
} from "../core/compare.ts";
import type { Digest, ErrorRecord, EventOf, RunId, Seq, Value } from "../core/event.ts";
import { differences } from "../core/json-differences.ts";
import { limits } from "../core/limits.ts";
import type { Parting } from "../core/lineage.ts";
import { partingOf } from "../core/lineage.ts";
import type { RecordedStep, RecordedSteps } from "../core/recorded-step.ts";
import { addToSteps, newSteps } from "../core/recorded-step.ts";
import type { Status } from "../core/run.ts";
import { isTerminal } from "../core/run.ts";
import type { RunRow, Store } from "../store/store.ts";
import { pagesOf, readTexts } from "./history-pages.ts";
import { familyOfRows, rowsOfFamily } from "./lineage.ts";

/** A step as one of the two runs has it. Durations are milliseconds; of what was reused, what that saved. */
export type StepSide = {
  key: string;
  seq: Seq;
  status: string;
  ms?: number;
  cost?: number;
  /** Where it was reused from, and the run that a call made. */
  from?: { run: RunId; key: string; seq: Seq };
  run?: RunId;
};

export type StepComparison = {
  change: ComparedStep["change"];
  /** It stands elsewhere: before something that it was behind, or behind something that it was before. */
  moved: boolean;
  a?: StepSide;
  b?: StepSide;
  /** Where input, output, error or the way it ended differ. */
  differences: readonly Differences[];
};

/** What is compared of the runs as a whole. */
export type RunSide = {
  run: RunId;
  status: Status;
  /** From its start to its end; absent while it goes on. */
  ms?: number;
  /** Of the steps that it carried out itself: what was reused costs nothing again. */
  cost: number;
  error?: ErrorRecord;
};

export type Comparison = {
  a: RunSide;
  b: RunSide;
  /** The point up to which both have one history; absent where they are of different families. */
  parting?: Parting;
  /** Whether nothing differs but times and costs. */
  same: boolean;
  /** Where the runs' inputs, contexts and outputs differ; absent where they do not. */
  input?: Omit<Differences, "aspect">;
  context?: Omit<Differences, "aspect">;
  output?: Omit<Differences, "aspect">;
  /** Every step of both, once. */
  steps: readonly StepComparison[];
  /** Place in `steps` of the first that differs. */
  first?: number;
  totals: { same: number; changed: number; added: number; removed: number; moved: number };
};

export type CompareOptions = {
  /** Of how many steps that differ the large values are read to say where. Default 1000. */
  details?: number;
};

export async function compareRuns(
  store: Store,
  [a, b]: readonly [RunRow, RunRow],
  { details = 1000 }: CompareOptions = {},
): Promise<Comparison> {
  const [one, other] = [await readRun(store, a.id), await readRun(store, b.id)];
  const rows = compareSteps(one.steps, other.steps);
  const texts = await textsOf(store, a.id, wantedOf([one, other], rows.filter(isChanged).slice(0, details)));
  const wholes = {
    input: [one.created?.input, other.created?.input],
    context: [one.created?.context, other.created?.context],
    output: [one.output, other.output],
  } as const;
  const parting = a.state.family === b.state.family ? await partingIn(store, a, b) : undefined;
  const first = firstDivergence(rows);
  const differing = Object.entries(wholes).filter(([, [x, y]]) => !sameValue(x, y));
  const ended = a.state.status === b.state.status && sameError(a, b);
  return {
    a: sideOf(a, one.steps),
    b: sideOf(b, other.steps),
    ...(parting === undefined ? {} : { parting }),
    same: first === undefined && differing.length === 0 && ended,
    ...Object.fromEntries(differing.map(([name, [x, y]]) => [name, valueDifferences(x, y, texts)])),
    steps: rows.map((row) => stepOf(row, texts)),
    ...(first === undefined ? {} : { first: rows.indexOf(first) }),
    totals: totalsOf(rows),
  };
}

type ReadRun = { created?: EventOf<"run.created">["data"]; output?: Value; steps: RecordedSteps };

async function readRun(store: Store, run: RunId): Promise<ReadRun> {
  const read: ReadRun = { steps: newSteps() };
  for await (const page of pagesOf(store, run, -1, limits.pageEventsMax)) {
    for (const stored of page.events) {
      const event = unseal(stored);
      addToSteps(read.steps, event);
      if (event.type === "run.created") read.created = event.data;
      else if (event.type === "run.succeeded") read.output = event.data.output;
    }
  }
  return read;
}

async function partingIn(store: Store, a: RunRow, b: RunRow): Promise<Parting | undefined> {
  return partingOf(familyOfRows(await rowsOfFamily(store, a.state.family)), a.id, b.id);
}

function sameError(a: RunRow, b: RunRow): boolean {
  return differences(a.state.error ?? null, b.state.error ?? null, 1).length === 0;
}

function isChanged({ differs }: ComparedStep): boolean {
  return differs.length > 0;
}

/** The large values that are needed to say where rows differ, and the runs as a whole. */
function wantedOf(runs: readonly ReadRun[], rows: readonly ComparedStep[]): Digest[] {
  const wholes = runs.flatMap(({ created, output }) => [created?.input, created?.context, output]);
  const large = wholes.flatMap((value) => (value !== undefined && "digest" in value ? [value] : []));
  return [...new Set([...large, ...rows.flatMap(digestsOfRow)].map(({ digest }) => digest))];
}

async function textsOf(store: Store, run: RunId, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, string>> {
  const texts = new Map<Digest, string>();
  for (let from = 0; from < digests.length; from += limits.pageRunsMax) {
    for (const [digest, text] of await readTexts(store, run, digests.slice(from, from + limits.pageRunsMax))) {
      texts.set(digest, text);
    }
  }
  return texts;
}

function sideOf({ id, state }: RunRow, steps: RecordedSteps): RunSide {
  const { status, createdAt, startedAt = createdAt, endedAt, error } = state;
  return {
    run: id,
    status,
    ...(endedAt === undefined || !isTerminal(status) ? {} : { ms: endedAt - startedAt }),
    cost: steps.list.reduce((sum, { cost = 0, from }) => sum + (from === undefined ? cost : 0), 0),
    ...(error === undefined ? {} : { error }),
  };
}

function stepOf(row: ComparedStep, texts: ReadonlyMap<Digest, string>): StepComparison {
  return {
    change: row.change,
    moved: row.moved,
    ...(row.a === undefined ? {} : { a: stepSide(row.a) }),
    ...(row.b === undefined ? {} : { b: stepSide(row.b) }),
    differences: differencesOf(row, texts),
  };
}

function stepSide({ key, first, outcome = first, status, ms, cost, from, run }: RecordedStep): StepSide {
  return {
    key,
    seq: outcome,
    status,
    ...(ms === undefined ? {} : { ms }),
    ...(cost === undefined ? {} : { cost }),
    ...(from === undefined ? {} : { from }),
    ...(run === undefined ? {} : { run }),
  };
}

function totalsOf(rows: readonly ComparedStep[]): Comparison["totals"] {
  const totals = { same: 0, changed: 0, added: 0, removed: 0, moved: 0 };
  for (const { change, moved } of rows) {
    totals[change] += 1;
    if (moved) totals.moved += 1;
  }
  return totals;
}
