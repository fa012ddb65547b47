/**
 * Golden runs: runs that others of their workflow are held against. A mark is a run of its own that nobody works on: it
 * comes from the marked one as a fork does, so it names the hash of all that is marked, keeps it from being pruned, says
 * who marked it and why, and is there on every store. To un-mark is to cancel that run. The marked run stays as it is.
 */
import { seal, unseal } from "../core/chain.ts";
import { StemmaError } from "../core/error.ts";
import type { Event, RunId, Timestamp } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import { checkId, checkName, checkTags } from "../core/name.ts";
import { markWorkflow } from "../core/record-names.ts";
import { reduce } from "../core/reduce.ts";
import { isTerminal } from "../core/run.ts";
import type { NewRun, RunRow, Store } from "../store/store.ts";
import { sha256 } from "./hash.ts";
import { newRunId } from "./id.ts";
import { buildRun } from "./new-run.ts";
import type { By } from "./requests.ts";
import { cancelUnheld } from "./unheld.ts";
import { fromValue, toValue } from "./value.ts";

export type GoldenMark = {
  /** The run that is marked, and its workflow. */
  run: RunId;
  workflow: string;
  name: string;
  tags: readonly string[];
  by?: string;
  reason?: string;
  at: Timestamp;
  /** The run that is the mark. */
  mark: RunId;
};

export type GoldenOptions = {
  /** What it is called among the golden runs of its workflow; of each name there is one. Default "golden". */
  name?: string;
  tags?: readonly string[];
  by?: string;
  reason?: string;
  /** With the same key it is the same mark, however often it is asked for. */
  idempotencyKey?: string;
};

/** What is read of a store to find marks. */
type Read = Pick<Store, "list" | "history" | "payloads">;

export type GoldenQuery = { workflow?: string; name?: string; run?: RunId };

export const goldenName = "golden";

/**
 * Marks a run, in the place of the one of its workflow that had the name. Throws run.not_terminal, name.invalid; run.conflict
 * for the key of another mark.
 */
export async function markGolden(
  store: Store,
  row: RunRow,
  at: Timestamp,
  options: GoldenOptions,
): Promise<GoldenMark> {
  const { status, workflow } = row.state;
  if (!isTerminal(status) || workflow === markWorkflow) {
    throw new StemmaError("run.not_terminal", `Expected a run that has ended, ${row.id} is ${status} (${workflow}).`, {
      data: { run: row.id, status },
    });
  }
  const name = checkName(options.name ?? goldenName, "name of a golden run");
  const tags = checkTags(options.tags ?? []);
  const { idempotencyKey } = options;
  if (idempotencyKey !== undefined) checkId(idempotencyKey, "idempotencyKey");
  const before = await goldenMarks(store, { workflow, name });
  const made = markOf(row, { name, tags, at, by: options.by, reason: options.reason });
  const [created] = await store.create([idempotencyKey === undefined ? made : { ...made, idempotencyKey }]);
  if (created?.created === false) return againGolden(store, created.id, { run: row.id, name, before });
  for (const { mark } of before) await giveUp(store, mark);
  return { run: row.id, workflow, name, tags, ...said(options), at, mark: made.id };
}

/** The mark that was made with a key before. Whoever made it may have been stopped before it took the place of others. */
async function againGolden(
  store: Store,
  id: RunId,
  { run, name, before }: { run: RunId; name: string; before: readonly GoldenMark[] },
): Promise<GoldenMark> {
  const [row] = (await store.list({ ids: [id] })).runs;
  const [mark] = row === undefined ? [] : await read(store, row);
  if (row === undefined || mark === undefined || mark.run !== run || mark.name !== name) {
    const message = `Expected the golden mark that was made with this idempotency key to be of ${run}, as ${name}; it is another one. Use another key.`;
    throw new StemmaError("run.conflict", message, { data: { run: mark?.run ?? id } });
  }
  if (!isTerminal(row.state.status)) {
    for (const one of before) if (one.mark !== id && one.at <= mark.at) await giveUp(store, one.mark);
  }
  return mark;
}

/** Un-marks; gives the marks that were there. Throws usage.invalid where nothing is named. */
export async function unmarkGolden(store: Store, query: GoldenQuery, by: By): Promise<GoldenMark[]> {
  if (Object.values(query).every((part) => part === undefined)) {
    const message =
      "Expected a run, a workflow or a name to un-mark; got nothing, and all marks are not meant by that.";
    throw new StemmaError("usage.invalid", message);
  }
  const marks = await goldenMarks(store, query);
  for (const { mark } of marks) await giveUp(store, mark, by);
  return marks;
}

/** The marks that there are, the newest first. */
export async function goldenMarks(store: Read, { workflow, name, run }: GoldenQuery): Promise<GoldenMark[]> {
  const marks: GoldenMark[] = [];
  const tag = workflow === undefined ? (name === undefined ? undefined : `named ${name}`) : `of ${workflow}`;
  let cursor: string | undefined;
  do {
    const page = await store.list({
      workflow: markWorkflow,
      status: ["paused", "queued"],
      limit: limits.pageRunsMax,
      ...(tag === undefined ? {} : { tag }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    for (const row of page.runs) marks.push(...(await read(store, row)));
    cursor = page.cursor;
  } while (cursor !== undefined);
  return marks.filter((mark) => (name === undefined || mark.name === name) && (run === undefined || mark.run === run));
}

async function read(store: Read, { id, state }: RunRow): Promise<GoldenMark[]> {
  const page = await store.history(id, { after: -1, limit: 1 });
  const [stored] = page?.events ?? [];
  const event = stored === undefined ? undefined : unseal(stored);
  if (event?.type !== "run.created" || !("run" in event.data.origin)) return [];
  const { by, reason, input, origin } = event.data;
  const texts = "digest" in input ? await store.payloads([input.digest]) : new Map<string, string>();
  const { workflow, name, tags } = fromValue(input, texts) as Pick<GoldenMark, "workflow" | "name" | "tags">;
  return [{ run: origin.run, workflow, name, tags, ...said({ by, reason }), at: state.createdAt, mark: id }];
}

function said({ by, reason }: { by?: string | undefined; reason?: string | undefined }): {
  by?: string;
  reason?: string;
} {
  return { ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) };
}

type ToMark = { name: string; tags: string[]; at: Timestamp; by: string | undefined; reason: string | undefined };

function markOf({ id, hash, state }: RunRow, { name, tags, at, by, reason }: ToMark): NewRun {
  const { workflow, family, seq } = state;
  const made = buildRun({
    id: newRunId(at),
    workflow: { name: markWorkflow, version: 1 },
    input: toValue({ workflow, name, tags }, "mark of a golden run"),
    origin: { kind: "fork", run: id, seq, hash },
    family,
    at,
    tags: [`of ${workflow}`, `named ${name}`],
    more: said({ by, reason }),
  });
  const paused = {
    seq: 1,
    at,
    type: "run.paused" as const,
    causes: [0],
    data: { reason: "a mark, which is no work to do" },
  };
  const stored = seal(sha256, made.events[0]?.hash ?? "", paused);
  const event: Event = { ...paused, hash: stored.hash };
  return { ...made, events: [...made.events, stored], state: reduce(made.state, event) };
}

const silent = { debug() {}, info() {}, warn() {}, error() {} };

async function giveUp(store: Store, mark: RunId, by: By = {}): Promise<void> {
  await cancelUnheld(mark, { reason: "not golden any more", ...by }, { store, now: Date.now, log: silent, sent() {} });
}

/** The golden run of a workflow. Throws run.not_found where none is marked so. */
export async function goldenOf(store: Read, workflow: string, name: string = goldenName): Promise<RunId> {
  const [mark] = await goldenMarks(store, { workflow, name });
  if (mark !== undefined) return mark.run;
  throw new StemmaError(
    "run.not_found",
    `No run of ${workflow} is marked as ${name}. Mark one: stemma golden <run>${name === goldenName ? "" : ` --name ${name}`}.`,
    { data: { workflow, name } },
  );
}
