/**
 * Appends to many runs in one transaction: one statement for the appends of all of them. Only a flush that also creates
 * runs, sends messages, emits values or brings packs takes further ones, in the same transaction, for those parts whose guard held.
 */
import type { EventType, RunId } from "../../core/event.ts";
import { isTerminal } from "../../core/run.ts";
import type { Commit, CommitResult, NewRun } from "../store.ts";
import type { AppendColumns } from "./columns.ts";
import {
  addTo,
  appendColumns,
  expectDigest,
  expectSeq,
  pieces,
  shapeOf,
  statementCharsMax,
  valuesOf,
} from "./columns.ts";
import type { Creation } from "./create.ts";
import { createRuns, creationOf } from "./create.ts";
import type { Database } from "./database.ts";
import { takeEffects } from "./effects.ts";
import { writeEmitted } from "./emitted.ts";
import { writePacks } from "./packs.ts";
import { stateText } from "./row.ts";
import type { Runner } from "./runner.ts";
import { sendMessages } from "./send.ts";
import { commitParts as commitSql, eventsThere, insertPayloads, insertPayloadUses, lockRuns } from "./sql.ts";

/** More than any count of claims. */
const allClaims = 2 ** 31 - 1;

/** Parts that go into one statement: of each run one. */
type Wave = {
  parts: readonly Commit[];
  sql: string;
  /** Behind the clock. */
  values: readonly unknown[];
  /** Payloads that are too large together to go with the statement. */
  bulk: Pick<AppendColumns, "payloads" | "uses"> | undefined;
  creations: ReadonlyMap<NewRun, Creation>;
};

type Answer = { run: RunId; epoch: number; seq: number; inbox: number; ok: boolean };

export async function commitParts(
  db: Database,
  parts: readonly Commit[],
  now: number | null,
): Promise<readonly CommitResult[]> {
  if (parts.length === 0) return [];
  const waves = wavesOf(parts);
  const [only] = waves;
  if (waves.length === 1 && only !== undefined && only.bulk === undefined && parts.every(isPlain)) {
    const runner: Runner = { query: (text, values = []) => db.write(text, values) };
    const results = await append(runner, only, now);
    return parts.map((part) => results.get(part) as CommitResult);
  }
  return db.transaction(async (tx) => {
    const touched = new Set(parts.flatMap(({ run, send = [] }) => [run, ...send.map((message) => message.run)]));
    await tx.query(lockRuns, [[...touched]]);
    const results = new Map<Commit, CommitResult>();
    for (const wave of waves) {
      const answers = await append(tx, wave, now);
      for (const [part, result] of answers) results.set(part, result);
      await writeExtras(tx, wave, answers, now);
      await writeEffects(tx, wave, results);
    }
    return parts.map((part) => results.get(part) as CommitResult);
  });
}

/** Of these parts, those whose last event is there, written by this very part: its hash covers everything before it. */
export async function landedParts(db: Database, parts: readonly Commit[]): Promise<ReadonlySet<RunId>> {
  const columns: unknown[][] = [[], [], []];
  for (const { run, events } of parts) {
    const last = events.at(-1);
    if (last !== undefined) addTo(columns, run, last.seq, last.hash);
  }
  const rows = await db.read<{ run: RunId }>(eventsThere, columns);
  return new Set(rows.map(({ run }) => run));
}

/** Whether one statement does all of it. */
function isPlain(part: Commit): boolean {
  const { create = [], send = [], emit = [], effects = [], packs = [] } = part;
  return fits(part) && create.length + send.length + emit.length + effects.length + packs.length === 0;
}

/** Events that are not those which their part says can never be right. */
function fits({ seq, events: [first] }: Commit): boolean {
  return first === undefined || first.seq === seq;
}

/** Everything is made here that will be sent, so what cannot be read fails before anything is. */
function wavesOf(parts: readonly Commit[]): Wave[] {
  const waves: Commit[][] = [];
  for (const part of parts) {
    const wave = waves.find((others) => others.every(({ run }) => run !== part.run));
    if (wave === undefined) waves.push([part]);
    else wave.push(part);
  }
  return waves.map((wave) => {
    const creations = new Map<NewRun, Creation>();
    for (const { create = [] } of wave) for (const run of create) creations.set(run, creationOf([run]));
    return { parts: wave, ...statementOf(wave), creations };
  });
}

function statementOf(parts: readonly Commit[]): Pick<Wave, "sql" | "values" | "bulk"> {
  const columns: unknown[][] = Array.from({ length: 18 }, () => []);
  const tags: unknown[][] = [[], []];
  for (const part of parts) {
    const { run, state, release } = part;
    const last = part.events.at(-1);
    // The one event that changes tags; so those of all other parts need not be sent.
    const retagged = part.events.some(({ type }) => type === ("run.set" satisfies EventType));
    const isAtWork = state.status === "queued" || state.status === "running";
    const stopped = release?.force === true && release.rests !== true && isAtWork;
    addTo(
      columns,
      run,
      part.epoch,
      part.seq,
      part.events.length,
      last === undefined ? null : expectDigest(last.hash),
      stateText(state),
      state.status,
      state.endedAt ?? null,
      isTerminal(state.status),
      state.refused ?? "",
      JSON.stringify(state.tags),
      part.inbox,
      inboxMax(part),
      release !== undefined,
      release === undefined || release.dueAt === null ? null : Math.ceil(release.dueAt),
      stopped,
      claimsForgotten(part),
      retagged,
    );
    for (const tag of retagged ? new Set(state.tags) : []) addTo(tags, run, tag);
  }
  const { events, payloads, uses } = appendColumns(
    parts.map((part) => ({
      ...part,
      family: part.state.family,
      seq: part.events[0]?.seq ?? part.seq,
      reuse: part.reuse,
    })),
  );
  const some = uses[0]?.length !== 0;
  const texts = some ? parts.flatMap((part) => part.payloads.map(({ text }) => text)) : [];
  const large = texts.reduce((sum, text) => sum + text.length, 0) > statementCharsMax;
  const given = { runs: columns, events, tags, rest: some && !large ? [...payloads, ...uses] : [] };
  const shape = {
    ...shapeOf(given),
    tags: columns.at(-1)?.includes(true) === true,
    inbox: parts.some(({ inbox }) => inbox > 0),
  };
  return {
    sql: commitSql(shape),
    values: valuesOf(given, shape),
    bulk: large ? { payloads, uses } : undefined,
  };
}

/** Up to which message the inbox may have come for the part to go through. */
function inboxMax(part: Commit): number {
  const { release, inbox } = part;
  // Refused whatever the inbox holds, if nothing else is wrong with it; then it is told why.
  if (!fits(part)) return -1;
  return release === undefined || release.force === true ? Number.MAX_SAFE_INTEGER : inbox;
}

/** How many claims of a run no longer count after this part. */
function claimsForgotten({ progress, release }: Commit): number {
  if (progress === true || (release !== undefined && release.untried !== true)) return allClaims;
  return release === undefined ? 0 : 1;
}

async function append(
  db: Runner,
  { parts, sql, values }: Wave,
  now: number | null,
): Promise<Map<Commit, CommitResult>> {
  const rows = await db.query<Answer>(sql, [now, ...values]);
  const answers = new Map(rows.map((row) => [row.run, row]));
  return new Map(parts.map((part) => [part, resultOf(part, answers.get(part.run))]));
}

function resultOf({ run, epoch: meant, seq: wanted, events }: Commit, answer: Answer | undefined): CommitResult {
  if (answer === undefined) return { run, ok: false, reason: "missing", epoch: 0, seq: -1, inbox: 0 };
  const { epoch, seq, inbox, ok } = answer;
  if (ok) return { run, ok, inbox };
  const reason = epoch !== meant ? "epoch" : seq !== wanted - 1 ? "seq" : "inbox";
  if (reason === "inbox") expectSeq(events[0], wanted);
  return { run, ok: false, reason, epoch, seq, inbox };
}

async function writeEffects(tx: Runner, { parts }: Wave, results: Map<Commit, CommitResult>): Promise<void> {
  const accepted = parts.filter((part) => results.get(part)?.ok === true);
  const wanted = accepted.flatMap(({ run, effects = [] }) => effects.map((effect) => ({ ...effect, run })));
  const holdings = await takeEffects(tx, wanted);
  let from = 0;
  for (const part of accepted) {
    const { effects = [] } = part;
    const result = results.get(part);
    if (effects.length === 0 || result?.ok !== true) continue;
    results.set(part, { ...result, effects: holdings.slice(from, from + effects.length) });
    from += effects.length;
  }
}

async function writeExtras(
  tx: Runner,
  { parts, creations, bulk }: Wave,
  results: ReadonlyMap<Commit, CommitResult>,
  now: number | null,
): Promise<void> {
  const accepted = parts.filter((part) => results.get(part)?.ok === true);
  if (bulk !== undefined) await writePayloads(tx, bulk, new Set(accepted.map(({ run }) => run)));
  await writePacks(tx, accepted);
  await writeEmitted(
    tx,
    accepted.flatMap(({ run, emit = [] }) => emit.map((value) => ({ run, ...value }))),
  );
  const created = accepted.flatMap(({ create = [] }) => create);
  const [first] = created;
  const one = created.length === 1 && first !== undefined ? creations.get(first) : undefined;
  await createRuns(tx, one ?? creationOf(created), now);
  const messages = accepted.flatMap(({ send = [] }) => send);
  for (const some of pieces(messages, ({ body }) => body.length)) await sendMessages(tx, some, now);
}

/** Of these columns those of runs whose parts went through, in statements of a bounded size. */
async function writePayloads(
  tx: Runner,
  { payloads, uses }: Pick<AppendColumns, "payloads" | "uses">,
  accepted: ReadonlySet<RunId>,
): Promise<void> {
  const [runs = [], digests = [], texts = []] = payloads as string[][];
  const brought = new Map<string, string>();
  for (const [i, run] of runs.entries()) if (accepted.has(run)) brought.set(digests[i] ?? "", texts[i] ?? "");
  // In the order of their digests, as others insert them too.
  const rows = [...brought].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const some of pieces(rows, ([, text]) => text.length)) {
    await tx.query(insertPayloads, [some.map(([digest]) => digest), some.map(([, text]) => text)]);
  }
  const mine = (uses[0] ?? []).flatMap((run, i) => (accepted.has(run as RunId) ? [i] : []));
  await tx.query(
    insertPayloadUses,
    uses.map((column) => mine.map((i) => column[i])),
  );
}
