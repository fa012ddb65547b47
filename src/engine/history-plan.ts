/**
 * The plan of a restart or fork by history alone. The new run is made as it would be, with every refusal that there is,
 * and is not created: so what the plan is about is exactly what would be offered. Nothing is written.
 */
import type { Digest, EventData, OfferedRun, RunId, Seq, Value } from "../core/event.ts";
import { unseal } from "../core/chain.ts";
import { sameValue, valueDifferences } from "../core/compare.ts";
import { StemmaError } from "../core/error.ts";
import type { Plan, PlannedChange, PlannedStep, PlanSource } from "../core/plan.ts";
import { planOf, totalsOf } from "../core/plan.ts";
import { addToSteps, newSteps } from "../core/recorded-step.ts";
import type { RecordedSteps } from "../core/recorded-step.ts";
import { isTerminal } from "../core/run.ts";
import type { NewRun, Payload, Store } from "../store/store.ts";
import type { Change } from "./change.ts";
import { isFork } from "./change.ts";
import { dryRun } from "./dry-run.ts";
import type { DryRunParts } from "./dry-run.ts";
import { readTexts } from "./history-pages.ts";
import type { Making } from "./restart.ts";
import { makeRun } from "./restart.ts";
import { besideText, siblingsOf } from "./siblings.ts";
import { endedBy, eventsOf, readSource, undoneIn } from "./source.ts";
import { readList } from "./stored-list.ts";

/**
 * What the new run would reuse and what it would run, found out with its code.
 *
 * @throws as restart and fork, and workflow.not_found where its code is not here
 */
export async function planByDryRun(
  parts: DryRunParts,
  making: Making,
  source: RunId,
  change: Change,
  kind?: "restart" | "fork",
): Promise<Plan> {
  const { plan: known, run } = await planByHistory(making, source, change, kind);
  const { value } = await readList<OfferedRun[]>(
    withPayloads(making.store, run.payloads),
    run.id,
    createdOf(run).offers,
    [],
  );
  const found = await dryRun(parts, run, value.length === 0 ? [source] : value.map((offered) => offered.run));
  const seen = new Set(found.steps.map(({ key }) => key));
  const before = new Map(known.steps.map((step) => [step.key, step]));
  // What is asked for behind what runs is known only when that has run; what a body that ended did not ask for, never is.
  const behind = found.ended ? [] : known.steps.filter(({ key }) => !seen.has(key));
  const steps = [
    ...found.steps.map((step): PlannedStep =>
      step.verdict === "decide" ? { ...step, saves: savesOf(before.get(step.key)) } : step,
    ),
    ...behind.map(notReached),
  ];
  return { grade: "dry run", steps, totals: totalsOf(steps) };
}

/** A step that the code has not come to: whether it is asked for again, and with what, is open. */
function notReached(step: PlannedStep): PlannedStep {
  // The record names a step that it is behind, which may be reused after all.
  if (step.verdict === "decide") return { ...step, reason: step.reason.replace(/behind .*$/u, "behind what runs") };
  return { ...step, verdict: "depends", reason: "behind what runs" };
}

function savesOf(step: PlannedStep | undefined): PlannedStep["saves"] {
  return step?.saves ?? { ms: 0, cost: 0 };
}

async function kindOf(
  making: Making,
  source: RunId,
  change: Change,
  kind: "restart" | "fork" | undefined,
): Promise<"restart" | "fork"> {
  if (kind !== undefined) return kind;
  const { row } = await readSource(making.store, source);
  const changes = isFork(change) || change.from !== undefined || change.after !== undefined;
  return changes || !isTerminal(row.state.status) ? "fork" : "restart";
}

/**
 * What the new run would reuse and what it would run, and that run.
 *
 * @param kind whether a restart or a fork is planned; if left out, a restart where it can be meant so
 * @throws as restart and fork
 */
export async function planByHistory(
  making: Making,
  source: RunId,
  change: Change,
  kind?: "restart" | "fork",
): Promise<{ plan: Plan; run: NewRun }> {
  const { row, created: before } = await readSource(making.store, source);
  const run = await makeRun(making, await kindOf(making, source, change, kind), source, change);
  const created = createdOf(run);
  const store = withPayloads(making.store, run.payloads);
  const texts = (values: readonly (Value | undefined)[]): Promise<ReadonlyMap<Digest, string>> =>
    textsOf(store, source, values);
  const offers = await offersOf(store, run, created, change);
  const nothing: OfferedRun = { run: source, head: row.state.seq };
  const ended = await endedBy(making.store, row);
  if (offers.length === 0) offers.push(ended === undefined ? nothing : { ...nothing, ended });
  const sources: PlanSource[] = [];
  const path = async (a: Value | undefined, b: Value | undefined): Promise<string | undefined> =>
    sameValue(a, b) ? undefined : (valueDifferences(a, b, await texts([a, b])).places[0]?.path ?? "$");
  // What the source was offered itself may have come from another input than its own.
  const differs = async (data: EventData["run.created"]): Promise<Pick<PlannedChange, "input" | "context">> => ({
    input: await path(data.input, created.input),
    context: await path(data.context, created.context),
  });
  for (const offered of offers) sources.push(await planSource(making.store, offered, created, differs));
  // Also of what is not offered it is known what was to be done once.
  const others: PlanSource[] = [];
  for (const { run: id, head } of change.reuse === "none" ? await listOf(store, run, created) : []) {
    if (id !== source) others.push(await planSource(making.store, { run: id, head }, created, differs));
  }
  const planned: PlannedChange = {
    ...(change.reuse === undefined ? {} : { reuse: change.reuse }),
    ...(created.allowEffects === undefined ? {} : { allowEffects: created.allowEffects }),
    ...(await differs(before.data)),
    outputs: await outputsOf(created.overrides ?? {}, sources, texts),
  };
  const plan = planOf(sources, planned, others);
  return { plan: await withSiblings(making.store, plan, sources, created), run };
}

/** A `once` step that would run is not entered where a run of the line has done it that is not on offer. */
async function withSiblings(
  store: Store,
  plan: Plan,
  sources: readonly PlanSource[],
  created: EventData["run.created"],
): Promise<Plan> {
  const once = (key: string): boolean =>
    sources.some(({ steps: { byKey } }) => byKey.get(key)?.effect === "once" && byKey.get(key)?.kind === "step");
  if (!plan.steps.some(({ key, verdict }) => verdict === "run" && once(key))) return plan;
  const offered = sources.map(({ run }) => run);
  const beside = await siblingsOf(store, created, offered);
  if (beside?.length === 0) return plan;
  const steps = plan.steps.map((step): PlannedStep =>
    step.verdict === "run" && once(step.key) ? { ...step, verdict: "depends", reason: besideText } : step,
  );
  return { ...plan, steps, totals: totalsOf(steps) };
}

function createdOf({ events: [stored] }: NewRun): EventData["run.created"] {
  const event = stored === undefined ? undefined : unseal(stored);
  if (event?.type !== "run.created") throw new StemmaError("engine.bug", "A new run begins with run.created.");
  return event.data;
}

/** What the new run is offered; with `reuse: "none"` that is nothing, and the source is planned as it is. */
async function offersOf(
  store: Pick<Store, "payloads">,
  run: NewRun,
  created: EventData["run.created"],
  { reuse }: Change,
): Promise<OfferedRun[]> {
  return reuse === "none" ? [] : [...(await listOf(store, run, created))];
}

async function listOf(
  store: Pick<Store, "payloads">,
  { id }: NewRun,
  { offers }: EventData["run.created"],
): Promise<readonly OfferedRun[]> {
  return (await readList<OfferedRun[]>(store, id, offers, [])).value;
}

/** The payloads of the store, and those that would go to it with the run. */
function withPayloads(store: Store, own: readonly Payload[]): Pick<Store, "payloads"> {
  const texts = new Map(own.map(({ digest, text }) => [digest, text]));
  return {
    async payloads(digests) {
      const found = new Map(
        digests.flatMap((digest) => {
          const text = texts.get(digest);
          return text === undefined ? [] : [[digest, text] as const];
        }),
      );
      const missing = digests.filter((digest) => !found.has(digest));
      if (missing.length === 0) return found;
      return new Map([...found, ...(await store.payloads(missing))]);
    },
  };
}

async function planSource(
  store: Store,
  { run, head, cut = [], ended }: OfferedRun,
  { start, matching }: EventData["run.created"],
  differs: (data: EventData["run.created"]) => Promise<Pick<PlannedChange, "input" | "context">>,
): Promise<PlanSource> {
  const steps: RecordedSteps = newSteps();
  let first: EventData["run.created"] | undefined;
  for await (const event of eventsOf(store, run, 0, head)) {
    addToSteps(steps, event);
    if (event.type === "run.created") first = event.data;
  }
  const from: Seq | undefined = start?.run === run ? start.seq : undefined;
  const fates = await fatesOf(store, run, steps);
  // Where equal asks get the earliest success, no failure is replayed.
  return {
    run,
    steps,
    cut,
    ended: matching === "earliest" ? undefined : ended,
    ...(first === undefined ? {} : { differs: await differs(first) }),
    ...(fates.size === 0 ? {} : { fates }),
    ...(from === undefined ? {} : { start: from, carried: new Set(start?.waits?.map(({ key }) => key)) }),
  };
}

/**
 * What became of the successes of a run that can be made up for, also behind the place up to which it is offered: where
 * they were carried out in another run, that run is the one to make up for them.
 */
async function fatesOf(store: Store, own: RunId, { list }: RecordedSteps): Promise<Map<string, "undone" | "open">> {
  const fates = new Map<string, "undone" | "open">();
  const made = Map.groupBy(
    list.filter((step) => step.made !== undefined),
    (step) => step.made?.run ?? own,
  );
  for (const [run, steps] of made) {
    const [row] = (await store.list({ ids: [run] })).runs;
    if (row === undefined) continue;
    const undone = new Set((await undoneIn(store, row)).map(([seq]) => seq));
    for (const { key, made: success } of steps) {
      if (success !== undefined && undone.has(success.seq)) fates.set(key, "undone");
      else if (!isTerminal(row.state.status)) fates.set(key, "open");
    }
  }
  return fates;
}

/** The outputs that are given, and where each differs from what the nearest run has on record. */
async function outputsOf(
  overrides: { [key: string]: Value },
  sources: readonly PlanSource[],
  texts: (values: readonly (Value | undefined)[]) => Promise<ReadonlyMap<Digest, string>>,
): Promise<ReadonlyMap<string, { differs: string | undefined }>> {
  const outputs = new Map<string, { differs: string | undefined }>();
  for (const [key, value] of Object.entries(overrides)) {
    const recorded = sources.map(({ steps }) => steps.byKey.get(key)).find((step) => step !== undefined);
    const output = recorded?.ending === "value" ? recorded.output : undefined;
    const same = recorded?.ending === "value" && sameValue(output, value);
    const places = same ? [] : valueDifferences(output, value, await texts([output, value])).places;
    outputs.set(key, { differs: same ? undefined : (places[0]?.path ?? "$") });
  }
  return outputs;
}

async function textsOf(
  store: Pick<Store, "payloads">,
  run: RunId,
  values: readonly (Value | undefined)[],
): Promise<ReadonlyMap<Digest, string>> {
  const digests = values.flatMap((value) => (value !== undefined && "digest" in value ? [value.digest] : []));
  return readTexts(store, run, [...new Set(digests)]);
}
