/**
 * Makes the run that a restart or fork is: everything is checked first, then there is one create, so a request that is
 * refused leaves nothing behind. The source is only read. What the new run may reuse is said here once, as a list of
 * runs with the nearest first, so that the end of a long chain costs as much as its beginning.
 */
import { StemmaError } from "../core/error.ts";
import type { Digest, EventData, OfferedRun, Origin, Produced, RunId, Seq, SeqRange, Value } from "../core/event.ts";
import { canonical } from "../core/json.ts";
import type { Json } from "../core/json.ts";
import { mergePatch } from "../core/merge-patch.ts";
import { prefixBehind } from "../core/reuse-key.ts";
import { checkTags } from "../core/name.ts";
import { isTerminal } from "../core/run.ts";
import type { NewRun, Payload, Store } from "../store/store.ts";
import type { Workflow } from "./body.ts";
import { carriedKey } from "./carried.ts";
import type { Change } from "./change.ts";
import { checkChange, isFork } from "./change.ts";
import { outside, union } from "../core/cut.ts";
import { calledOffers } from "./called-offers.ts";
import { countDiscards, generationsBefore } from "./generations.ts";
import { sha256 } from "./hash.ts";
import type { CalledFrom } from "./line.ts";
import { buildRun } from "./new-run.ts";
import type { RunSeed } from "./new-run.ts";
import { referenceDigest } from "./reuse-keys.ts";
import { validate } from "./schema.ts";
import { checkAllowed, checkOverrides, expectAsked, expectStep } from "./named-steps.ts";
import type { Source } from "./source.ts";
import { expectWork } from "./options.ts";
import { endedBy, lookThrough, readEvent, readSource, undoneIn } from "./source.ts";
import { storeList } from "./stored-list.ts";
import type { Encoded } from "./value.ts";
import { fromValue, toValue } from "./value.ts";

export type Making = {
  store: Store;
  /** The code for a workflow at hand, if there is any. */
  workflow(name: string): Workflow | undefined;
  now(): number;
  /** Id of the new run. */
  id: RunId;
};

/** Of a called run that is restarted inside the restart of its caller. */
type Called = CalledFrom & {
  matching?: "earliest" | undefined;
  /** What its caller is offered, and it as well. */
  offers?: readonly OfferedRun[];
};

/**
 * The new run of a restart or fork.
 *
 * @throws run.not_found, run.not_terminal, usage.invalid, name.invalid, step.not_found, checkpoint.not_found,
 * override.unused, workflow.invalid_input, json.not_serializable, payload.too_large
 */
export async function makeRun(
  making: Making,
  kind: "restart" | "fork",
  source: RunId,
  change: Change,
): Promise<NewRun> {
  checkChange(change);
  const from = await readSource(making.store, source);
  expectWork(from.row);
  if (kind === "restart" && !isTerminal(from.row.state.status)) {
    throw new StemmaError(
      "run.not_terminal",
      `Expected run ${source} to have ended, it is ${from.row.state.status}. Cancel it first, or fork it.`,
      { data: { run: source, status: from.row.state.status } },
    );
  }
  const make = await prepare(making, isFork(change) ? "fork" : kind, from, change);
  return make({ id: making.id, at: making.now() });
}

/**
 * For the run that goes on with a called one that failed or did not end, inside the restart of its caller. What is given
 * makes that run when its caller says so.
 */
export async function remakeChild(
  making: Omit<Making, "id" | "now">,
  source: Source,
  called: Called,
): Promise<(call: { id: RunId; at: number; caller: Produced }) => NewRun> {
  return prepare(making, isTerminal(source.row.state.status) ? "restart" : "fork", source, changeOf(called), called);
}

/**
 * For the run that is called anew in the place of another one: it knows what is given up or was made up for, in that and
 * in those that it called, so that nothing goes out under a key that had its time.
 *
 * @param isCut whether all successes are given up; else, in another context for instance, their keys decide
 */
export async function renewChild(
  store: Store,
  source: Source,
  isCut: boolean,
): Promise<Pick<RunSeed, "more" | "payloads">> {
  const { row, offers } = source;
  const own: SeqRange[] = isCut ? [[1, row.state.seq]] : [];
  const older = new Map(isCut ? offers.map(({ run, head, cut }) => [run, outside(cut, head)]) : []);
  const { data, payloads } = await listsOf(store, source, {}, { own, older, left: undefined });
  return { more: data, payloads };
}

/** What was said of the restart of the caller, as far as it is said of the called run. */
function changeOf({ matching, allowEffects }: Called): Change {
  return {
    ...(matching === undefined ? {} : { matching }),
    ...(allowEffects === undefined ? {} : { allowEffects }),
  };
}

async function prepare(
  making: Omit<Making, "id" | "now">,
  kind: "restart" | "fork",
  source: Source,
  change: Change,
  called?: Called,
): Promise<(call: { id: RunId; at: number; caller?: Produced }) => NewRun> {
  const { store } = making;
  const { row, created } = source;
  const { data } = created;
  const workflow = making.workflow(row.state.workflow);
  const input = await inputOf(store, source, workflow, change);
  const context = "context" in change ? toValue(change.context, "context") : undefined;
  const overrides = overridesOf(source, change);
  if (called === undefined) await checkAllowed(store, source, change);
  const start = await startOf(store, source, change, input.value, context?.value ?? data.context);
  const cut = await cutOf(store, kind, source, change);
  const lists = await listsOf(store, source, change, cut, called?.offers);
  const { seq, hash } = await leftAt(store, source, cut.left);
  const origin: Origin = { kind, run: row.id, seq, hash };
  const { calls, callKeys } = called ?? data;
  const more: Partial<EventData["run.created"]> = {
    seed: data.seed,
    line: called?.line ?? data.line ?? row.id,
    ...lists.data,
    ...(calls === undefined ? {} : { calls: [...calls] }),
    ...(callKeys === undefined ? {} : { callKeys: [...callKeys] }),
    ...(start === undefined ? {} : { start: start.from }),
    ...(start === undefined || start.patches === undefined ? {} : { patches: start.patches }),
    ...(start === undefined || start.unpatched === undefined ? {} : { unpatched: start.unpatched }),
    ...(Object.keys(overrides.values).length === 0 ? {} : { overrides: overrides.values }),
    ...(change.by === undefined ? {} : { by: change.by }),
    ...(change.reason === undefined ? {} : { reason: change.reason }),
    ...(change.reuse === "all" || change.reuse === "none" ? { reuse: change.reuse } : {}),
    ...(change.from === undefined ? {} : { from: change.from }),
    ...(change.after === undefined ? {} : { after: change.after }),
    ...(change.matching === "earliest" ? { matching: "earliest" } : {}),
    // It was said of one change; the next one has to say it again.
    ...(change.allowEffects === undefined ? {} : { allowEffects: [...change.allowEffects] }),
  };
  const tags = change.tags === undefined ? data.tags : checkTags([...change.tags]);
  const seed: Omit<RunSeed, "id" | "at"> = {
    workflow: { name: row.state.workflow, version: workflow?.version ?? row.state.version },
    input,
    origin,
    family: row.state.family,
    ...(context !== undefined ? { context } : data.context === undefined ? {} : { context: { value: data.context } }),
    ...(tags === undefined ? {} : { tags }),
    ...(data.timeoutMs === undefined ? {} : { timeoutMs: data.timeoutMs }),
    more,
    payloads: [...lists.payloads, ...overrides.payloads],
  };
  const key = change.idempotencyKey === undefined ? {} : { idempotencyKey: change.idempotencyKey };
  const place = { queue: row.queue, priority: row.priority, ...key };
  return ({ id, at, caller }) => {
    const from = caller === undefined ? origin : { ...origin, caller };
    return { ...buildRun({ ...seed, id, at, origin: from }), ...place };
  };
}

async function inputOf(
  store: Store,
  { row, created }: Source,
  workflow: Workflow | undefined,
  change: Change,
): Promise<Encoded> {
  const { input } = created.data;
  const name = row.state.workflow;
  if (!("input" in change) && !("patch" in change)) return { text: undefined, value: input };
  let wanted = change.input;
  if ("patch" in change) {
    const patch = toValue(change.patch, "patch of the input");
    if (patch.text === undefined)
      throw new StemmaError("usage.invalid", "Expected a patch of the input, got undefined.");
    const texts = "digest" in input ? await store.payloads([input.digest]) : new Map<Digest, string>();
    wanted = mergePatch(fromValue(input, texts) as Json | undefined, JSON.parse(patch.text) as Json);
  }
  const valid = workflow === undefined ? wanted : await validate(workflow, wanted);
  return toValue(valid, `input of workflow ${name}`);
}

/** Overrides of the source stand, as long as they are not replaced and the step is not to run again. */
function overridesOf(
  { created }: Source,
  { outputs = {}, from }: Change,
): { values: Record<string, Value>; payloads: Payload[] } {
  const payloads: Payload[] = [];
  const values = new Map(Object.entries(created.data.overrides ?? {}));
  if (from !== undefined) values.delete(from);
  for (const [key, output] of Object.entries(outputs)) {
    const { value, payload } = toValue(output, `output of ${key}`);
    values.set(key, value);
    if (payload !== undefined) payloads.push(payload);
  }
  return { values: Object.fromEntries(values), payloads };
}

type Start = {
  from: NonNullable<EventData["run.created"]["start"]>;
  patches: string[] | undefined;
  unpatched: string[] | undefined;
};

/** The checkpoint to go on from: the one asked for, or the one that the source itself began with. */
async function startOf(
  store: Store,
  { row, created }: Source,
  change: Change,
  input: Value,
  context: Value | undefined,
): Promise<Start | undefined> {
  const { patches, unpatched } = row.state;
  const found =
    change.checkpoint === undefined
      ? created.data.start
      : await readCheckpoint(
          store,
          row.id,
          change.checkpoint === "last" ? row.state.checkpoint?.seq : change.checkpoint,
        );
  if (found === undefined) return undefined;
  // Whoever goes on from here has been given another input than those who came here.
  const before = [created.data.input, created.data.context].map(digestOrNone);
  const now = [input, context].map(digestOrNone);
  if (before.join(" ") === now.join(" ")) return { from: found, patches, unpatched };
  const prefix = prefixBehind(sha256, found.prefix ?? "", "changed", now.join(" "));
  return { from: { ...found, prefix }, patches, unpatched };
}

function digestOrNone(value: Value | undefined): string {
  return value === undefined ? "-" : referenceDigest(value);
}

async function readCheckpoint(
  store: Store,
  run: RunId,
  seq: Seq | undefined,
): Promise<NonNullable<EventData["run.created"]["start"]>> {
  const event = seq === undefined ? undefined : await readEvent(store, run, seq).catch(() => undefined);
  if (event?.type !== "checkpoint" || event.data.count === undefined) {
    const where = seq === undefined ? "no checkpoint" : `no checkpoint at seq ${seq}`;
    throw new StemmaError(
      "checkpoint.not_found",
      `Run ${run} has ${where}. Its history says where its checkpoints are.`,
      {
        data: { run, ...(seq === undefined ? {} : { seq }) },
      },
    );
  }
  const { state, count, prefix, waits } = event.data;
  return {
    run,
    seq: event.seq,
    count,
    state,
    ...(prefix === undefined ? {} : { prefix }),
    ...(waits === undefined ? {} : { waits: waits.map(carriedKey) }),
  };
}

/** What the change discards of the source and of what the source was offered, and where the new run leaves it. */
type Cut = { own: SeqRange[]; older: ReadonlyMap<RunId, SeqRange[]>; left: Seq | undefined };

async function cutOf(store: Store, kind: "restart" | "fork", source: Source, change: Change): Promise<Cut> {
  const { row, offers } = source;
  const { from, after, checkpoint, outputs = {}, allowUnused = false } = change;
  const key = from ?? after;
  const at = key === undefined ? undefined : { key, isItself: from !== undefined };
  const wanted = new Set(Object.keys(outputs));
  const older = new Map<RunId, SeqRange[]>();
  if (checkpoint !== undefined) {
    const seq = checkpoint === "last" ? (row.state.checkpoint?.seq ?? 0) : checkpoint;
    // A restart repairs what failed behind the checkpoint, a fork begins anew there.
    const own: SeqRange[] = kind === "fork" && seq < row.state.seq ? [[seq + 1, row.state.seq]] : [];
    await checkOverrides(store, source, wanted, allowUnused);
    return { own, older, left: seq };
  }
  if (at === undefined) {
    await checkOverrides(store, source, wanted, allowUnused);
    return { own: [], older, left: undefined };
  }
  const found = await lookThrough(store, row.id, row.state.seq, at);
  expectStep(row.id, at.key, found);
  expectAsked(row.id, wanted, found.asked, allowUnused);
  // What an earlier run did behind the same step, and this one had not come to, is behind it all the same.
  for (const { run, head } of offers) {
    const { ranges } = await lookThrough(store, run, head, at);
    if (ranges.length > 0) older.set(run, ranges);
  }
  return { own: found.ranges, older, left: found.left };
}

type Lists = { data: Partial<EventData["run.created"]>; payloads: readonly Payload[] };

/** What the new run is offered, what it discards, and what was discarded before. */
async function listsOf(
  store: Store,
  source: Source,
  change: Change,
  cut: Cut,
  ofCaller: readonly OfferedRun[] = [],
): Promise<Lists> {
  const { row, created, pieces } = source;
  const undone = await undoneIn(store, row);
  const ended = await endedBy(store, row);
  const own: OfferedRun = { run: row.id, head: row.state.seq };
  const gone = union(cut.own, undone);
  if (gone.length > 0) own.cut = gone;
  if (ended !== undefined) own.ended = ended;
  if (!isTerminal(row.state.status)) own.open = true;
  const { start } = created.data;
  if (start !== undefined) own.start = { run: start.run, seq: start.seq };
  const older = source.offers.map((offered): OfferedRun => {
    const { cut: before, ...rest } = offered;
    const now = union(change.reuse === "all" ? [] : before, cut.older.get(offered.run));
    return now.length === 0 ? rest : { ...rest, cut: now };
  });
  const { matching, from, inside = [] } = change;
  const path = from === undefined ? [] : [from, ...inside];
  const below = matching === "earliest" ? await calledOffers(store, row, path) : [];
  const all = once([own, ...below, ...older, ...ofCaller]);
  // Who reuses nothing has to know all the same what was called there, and who comes behind it too.
  const offers = storeList(change.reuse === "none" ? all.map(givenUp) : all, pieces);
  const data: Lists["data"] = { offers: offers.value };
  const payloads = [...offers.payloads];
  const discards = discardsOf(source, change, cut, [own, ...below]);
  if (discards.length > 0) {
    const stored = storeList(discards);
    data.discards = stored.value;
    payloads.push(...stored.payloads);
  }
  const generations = await countDiscards(store, created, await generationsBefore(store, created));
  if (Object.keys(generations).length > 0) {
    const stored = storeList(generations);
    data.generations = stored.value;
    payloads.push(...stored.payloads);
  }
  return { data, payloads };
}

/** Of a run that is offered in several ways, the nearest counts. */
function once(offers: readonly OfferedRun[]): OfferedRun[] {
  const seen = new Set<RunId>();
  return offers.filter(({ run }) => !seen.has(run) && seen.add(run));
}

function givenUp({ run, head }: OfferedRun): OfferedRun {
  return { run, head, cut: [[1, head]] };
}

/** The stretches of runs whose successes this very change gives up. What earlier ones gave up is counted already. */
function discardsOf(
  source: Source,
  { reuse }: Change,
  { older }: Cut,
  own: readonly OfferedRun[],
): { run: RunId; cut: SeqRange[] }[] {
  const isNone = reuse === "none";
  const first = own.map(({ run, head, cut }) => ({ run, cut: isNone ? outside([], head) : (cut ?? []) }));
  const rest = source.offers.map(({ run, head, cut }) => ({
    run,
    cut: isNone ? outside(cut, head) : (older.get(run) ?? []),
  }));
  return [...first, ...rest].filter(({ cut }) => cut.length > 0);
}

async function leftAt(store: Store, { row }: Source, left: Seq | undefined): Promise<{ seq: Seq; hash: Digest }> {
  if (left === undefined || left === row.state.seq) return { seq: row.state.seq, hash: row.hash };
  const { seq, hash } = await readEvent(store, row.id, left);
  return { seq, hash };
}

/** The run that is there under the key of a restart or fork must be the one that was meant. Throws run.conflict. */
export async function checkSameChange(store: Store, id: RunId, wanted: NewRun): Promise<void> {
  const { created } = await readSource(store, id);
  const [stored] = wanted.events;
  if (stored === undefined) return;
  const meant = JSON.parse(stored.data) as EventData["run.created"];
  if (canonical(madeFor(created.data)) === canonical(madeFor(meant))) return;
  throw new StemmaError(
    "run.conflict",
    `Expected the run made with this idempotency key to come from the same run by the same change; ${id} does not. Use another key.`,
    { data: { run: id } },
  );
}

/** What tells one change of a run from another. A source that went on meanwhile makes no other. */
function madeFor(created: EventData["run.created"]): Json {
  const { workflow, origin, input, context, overrides, start, reuse, from, after, allowEffects, matching } = created;
  const source = origin.kind === "restart" || origin.kind === "fork" ? [origin.kind, origin.run] : [];
  const checkpoint = start === undefined ? null : [start.run, start.seq];
  const given = [input, context ?? null, overrides ?? null] as unknown as Json[];
  const cut = [checkpoint, reuse ?? null, from ?? null, after ?? null, matching ?? null];
  return [workflow, source, ...given, ...cut, (allowEffects ?? []).toSorted()];
}
