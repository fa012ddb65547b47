/**
 * Takes a family in from a file, on any store. All of the file is checked before anything is written: its form, every
 * hash, every payload, where runs come from, and that no run of it is there already as another one. Then each run is
 * written in pieces, due to nobody until it is whole; what was broken off goes on where it was when it is done again.
 */
import { genesis, unseal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import { storedHash } from "../core/chain-text.ts";
import { StemmaError } from "../core/error.ts";
import type { Digest, EventOf, ReuseKey, RunId, Seq } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import type { RunState } from "../core/reduce.ts";
import { reduce } from "../core/reduce.ts";
import { eventRefsOf, payloadRefsOf } from "../core/references.ts";
import { checkId } from "../core/name.ts";
import { isTerminal } from "../core/run.ts";
import type { Commit, Payload, Store } from "../store/store.ts";
import { checkMessage } from "./exported-message.ts";
import type { ExportedMessage, ExportedRun, OpenFile } from "./export-file.ts";
import { linesOf, refused } from "./export-file.ts";
import { sha256 } from "./hash.ts";
import { LedgerRecord } from "./ledger-record.ts";
import { dueWhileTakenIn, isBeingTakenIn } from "./taking-in.ts";

export type ImportOptions = {
  /**
   * Open runs are worked on here from now on. Without it they are kept as they are, and go on when somebody answers or
   * unpauses them: for whoever exported them may still be working on them.
   */
  takeOver?: boolean;
  /** What the file may be at most, in bytes. Default 8 GiB. */
  maxBytes?: number;
};

export type Imported = {
  family: RunId;
  /** Written now; those of them that an import had begun which was broken off; and those that were there already just so. */
  runs: readonly RunId[];
  completed: readonly RunId[];
  there: readonly RunId[];
  events: number;
};

type Head = { seq: Seq; hash: Digest };
/** Up to where a run is there; `whole` when nothing of it is left to be done. */
type There = Head & { whole: boolean };
/** Hashes that events must have, of runs by seq: where others left them, and up to where they are in the store. */
type Claims = Map<RunId, Map<Seq, Digest>>;

export async function importFamily(store: Store, open: OpenFile, options: ImportOptions): Promise<Imported> {
  const bytesMax = options.maxBytes ?? limits.exportBytesMax;
  const claims: Claims = new Map();
  const { family, heads, keys } = await check(open, bytesMax, claims);
  const there = await whatIsThere(store, heads, claims);
  await checkKeys(store, keys);
  await checkClaims(open, bytesMax, claims, there);
  const writing = new Writing(store, there, options.takeOver === true);
  for await (const line of linesOf(open, bytesMax)) {
    if ("run" in line) await writing.begin(line.run);
    else if ("payload" in line) writing.payload(line.payload);
    else if ("event" in line) await writing.event(line.event);
    else if ("message" in line) writing.message(line.message);
  }
  await writing.end();
  const all = [...heads.keys()];
  const isWhole = (run: RunId): boolean => there.get(run)?.whole === true;
  const runs = all.filter((run) => !isWhole(run));
  return {
    family,
    runs,
    completed: runs.filter((run) => there.has(run)),
    there: all.filter(isWhole),
    events: writing.events,
  };
}

/** Reads all of it, and believes nothing. */
async function check(
  open: OpenFile,
  bytesMax: number,
  claims: Claims,
): Promise<{ family: RunId; heads: Map<RunId, Head>; keys: Key[] }> {
  const heads = new Map<RunId, Head>();
  const keys: Key[] = [];
  let family: RunId | undefined;
  let run: Checking | undefined;
  const close = (): void => {
    if (run === undefined) return;
    heads.set(run.id, run.head());
    if (run.key !== undefined) keys.push({ run: run.id, workflow: run.workflow, key: run.key });
  };
  for await (const line of linesOf(open, bytesMax)) {
    if ("header" in line) family = line.header;
    else if ("run" in line) {
      close();
      if (heads.has(line.run.id)) throw refused(`it has run ${line.run.id} twice`);
      run = new Checking(line.run, family ?? "");
    } else if ("end" in line) close();
    else if (run === undefined) throw refused("it has something before its first run");
    else if ("payload" in line) run.payload(line.payload);
    else if ("message" in line) run.message(line.message);
    else for (const { run: of, seq, hash } of run.event(line.event)) claim(claims, of, seq, hash);
  }
  if (family === undefined || heads.size === 0) throw refused("there is no run in it");
  return { family, heads, keys };
}

/** A key under which a run was created: in the other store somebody else may have used it. */
type Key = { run: RunId; workflow: string; key: string };

async function checkKeys(store: Store, keys: readonly Key[]): Promise<void> {
  for (const { run, workflow, key } of keys) {
    const { runs } = await store.list({ workflow, idempotencyKey: key, limit: 1 });
    const [other] = runs;
    if (other === undefined || other.id === run) continue;
    const message = `Run ${run} was created under an idempotency key under which ${other.id} was created in this store. Nothing was written.`;
    throw new StemmaError("run.conflict", message, { data: { run, other: other.id } });
  }
}

function claim(claims: Claims, run: RunId, seq: Seq, hash: Digest): void {
  const of = claims.get(run) ?? new Map<Seq, Digest>();
  const known = of.get(seq);
  if (known !== undefined && known !== hash) throw refused(`event ${seq} of ${run} is said to have two hashes`);
  claims.set(run, of.set(seq, hash));
}

function checkKey(key: string): void {
  try {
    checkId(key, "idempotencyKey");
  } catch {
    throw refused("it has a run under a key that can be none");
  }
}

/** One run of the file. */
class Checking {
  readonly id: RunId;
  readonly key: string | undefined;
  readonly #family: RunId;
  readonly #payloads = new Set<Digest>();
  #before: Digest;
  #messages = 0;
  #state: RunState | undefined;

  constructor({ id, idempotencyKey }: ExportedRun, family: RunId) {
    if (idempotencyKey !== undefined) checkKey(idempotencyKey);
    this.id = id;
    this.key = idempotencyKey;
    this.#family = family;
    this.#before = genesis(sha256, id);
  }

  payload({ digest, text }: Payload): void {
    if (sha256(text) !== digest) throw refused(`the payload ${digest.slice(0, 64)} is not what its digest says`);
    this.#payloads.add(digest);
  }

  message(message: ExportedMessage): void {
    this.#messages += 1;
    if (this.#messages > limits.inboxMessagesMax) throw refused(`run ${this.id} has more messages than may wait`);
    checkMessage(message);
  }

  /** Gives the hashes that it says events of other runs have. */
  event(stored: StoredEvent): { run: RunId; seq: Seq; hash: Digest }[] {
    const place = `event ${stored.seq} of ${this.id}`;
    if (stored.seq !== (this.#state?.seq ?? -1) + 1) throw refused(`${place} is not the next one`);
    if (storedHash(sha256, this.#before, stored) !== stored.hash)
      throw refused(`${place} was altered: its hash differs`);
    const event = unseal(stored);
    try {
      this.#state = reduce(this.#state, event);
    } catch (error) {
      throw refused(`${place} cannot stand there (${error instanceof Error ? error.message : String(error)})`);
    }
    if (this.#state.family !== this.#family) throw refused(`${place} is of another family`);
    for (const { digest } of payloadRefsOf(event)) {
      if (!this.#payloads.has(digest)) throw refused(`${place} names a payload that is not in it`);
    }
    this.#before = stored.hash;
    return eventRefsOf(event).flatMap(({ run, seq, hash }) => (hash === undefined ? [] : [{ run, seq, hash }]));
  }

  get workflow(): string {
    return this.#state?.workflow ?? "";
  }

  head(): Head {
    if (this.#state === undefined) throw refused(`run ${this.id} has no events`);
    return { seq: this.#state.seq, hash: this.#before };
  }
}

/** Up to where runs of the file are in the store; each must be the beginning of what the file has. */
async function whatIsThere(store: Store, heads: ReadonlyMap<RunId, Head>, claims: Claims): Promise<Map<RunId, There>> {
  const there = new Map<RunId, There>();
  const ids = [...heads.keys()];
  for (let from = 0; from < ids.length; from += limits.pageRunsMax) {
    const { runs } = await store.list({ ids: ids.slice(from, from + limits.pageRunsMax), limit: limits.pageRunsMax });
    for (const { id, state, hash, epoch, dueAt } of runs) {
      const head = heads.get(id);
      const isSame = head?.seq === state.seq && head.hash === hash;
      // A run that was worked on here is not one that an import left in its midst.
      if (!isSame && (head === undefined || state.seq > head.seq || epoch > 0)) {
        throw another(id);
      }
      // One event is written before what makes a run whole; it may be all that there is.
      const isWhole = isSame && !isBeingTakenIn({ epoch, dueAt }, Date.now());
      there.set(id, { seq: state.seq, hash, whole: isWhole });
      claim(claims, id, state.seq, hash);
    }
  }
  return there;
}

function another(run: RunId): StemmaError {
  const message = `Run ${run} is in this store already, and is another there. Nothing was written.`;
  return new StemmaError("run.conflict", message, { data: { run } });
}

async function checkClaims(
  open: OpenFile,
  bytesMax: number,
  claims: Claims,
  there: ReadonlyMap<RunId, There>,
): Promise<void> {
  if (claims.size === 0) return;
  let left: Map<Seq, Digest> | undefined;
  let run = "";
  for await (const line of linesOf(open, bytesMax)) {
    if ("run" in line) [run, left] = [line.run.id, claims.get(line.run.id)];
    if (!("event" in line) || left === undefined) continue;
    const { seq, hash } = line.event;
    const claimed = left.get(seq);
    if (claimed !== undefined && claimed !== hash && there.get(run)?.seq === seq) throw another(run);
    if (claimed !== undefined && claimed !== hash) throw refused(`event ${seq} is not the one that others say it is`);
    left.delete(seq);
  }
  for (const [of, seqs] of claims) {
    for (const seq of seqs.keys()) throw refused(`event ${seq} of ${of}, which others come from, is not in it`);
  }
}

/** What is written at a time. */
const pieceEvents = 500;
const pieceCharsMax = 1_048_576;

class Writing {
  readonly #store: Store;
  readonly #there: ReadonlyMap<RunId, There>;
  readonly #takeOver: boolean;
  #run: ExportedRun | undefined;
  #created: EventOf<"run.created"> | undefined;
  #state: RunState | undefined;
  #events: StoredEvent[] = [];
  #payloads: Payload[] = [];
  #chars = 0;
  #reuse: { seq: Seq; key: ReuseKey }[] = [];
  #messages: ExportedMessage[] = [];
  readonly #ledger = new LedgerRecord();
  events = 0;

  constructor(store: Store, there: ReadonlyMap<RunId, There>, takeOver: boolean) {
    this.#store = store;
    this.#there = there;
    this.#takeOver = takeOver;
  }

  async begin(run: ExportedRun): Promise<void> {
    await this.end();
    this.#run = run;
    this.#state = undefined;
    this.#messages = [];
  }

  payload(payload: Payload): void {
    this.#payloads.push(payload);
    this.#chars += payload.text.length;
  }

  message(message: ExportedMessage): void {
    this.#messages.push(message);
  }

  async event(stored: StoredEvent): Promise<void> {
    const event = unseal(stored);
    if (this.#events.length >= pieceEvents || this.#chars > pieceCharsMax) await this.#commit({});
    this.#state = reduce(this.#state, event);
    this.#ledger.note(event);
    if (event.type === "run.created") this.#created = event;
    if (stored.seq <= (this.#there.get(this.#run?.id ?? "")?.seq ?? -1)) {
      [this.#payloads, this.#chars] = [[], 0];
      return;
    }
    this.events += 1;
    if (stored.seq === 0) return this.#create(stored, this.#state);
    this.#events.push(stored);
    this.#chars += stored.data.length;
    const { reuse } = event.data as { reuse?: ReuseKey };
    if (reuse !== undefined) this.#reuse.push({ seq: stored.seq, key: reuse });
  }

  /** The run is whole. */
  async end(): Promise<void> {
    const [run, state] = [this.#run, this.#state];
    const created = this.#created;
    this.#run = undefined;
    if (run === undefined || state === undefined || created === undefined) return;
    const effects = this.#ledger.close(run.id, created);
    if (this.#there.get(run.id)?.whole === true) return;
    this.#run = run;
    const dueAt = this.#takeOver && !isTerminal(state.status) ? (run.dueAt ?? Date.now()) : null;
    // They go with what makes the run whole, and are taken in by whoever goes on with it. What was sent to it before it was
    // whole makes it due at once, as it would have then.
    const messages = isTerminal(state.status) ? [] : this.#messages;
    const send = messages.map((message) => ({ ...message, run: run.id, wakes: false as const }));
    await this.#commit({ release: { dueAt, force: true, rests: !this.#takeOver }, effects, send });
    this.#run = undefined;
  }

  async #create(first: StoredEvent, state: RunState): Promise<void> {
    const run = this.#run as ExportedRun;
    const dueAt = dueWhileTakenIn(Date.now());
    const payloads = this.#payloads;
    [this.#payloads, this.#chars] = [[], 0];
    const [created] = await this.#store.create([{ ...run, events: [first], payloads, state, dueAt }]);
    if (created?.created !== true) throw conflict(run.id);
  }

  async #commit(more: Partial<Pick<Commit, "release" | "effects" | "send">>): Promise<void> {
    const [run, state] = [this.#run as ExportedRun, this.#state as RunState];
    const [events, payloads, reuse] = [this.#events, this.#payloads, this.#reuse];
    [this.#events, this.#payloads, this.#reuse, this.#chars] = [[], [], [], 0];
    const seq = events[0]?.seq ?? state.seq + 1;
    const part = { run: run.id, epoch: 0, seq, events, payloads, state, inbox: 0, reuse, ...more };
    const [result] = await this.#store.commit([part]);
    if (result?.ok !== true) throw conflict(run.id);
  }
}

function conflict(run: RunId): StemmaError {
  const message = `Somebody else wrote to run ${run} while it was taken in. Take the file in again.`;
  return new StemmaError("commit.conflict", message, { data: { run } });
}
