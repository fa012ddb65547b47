/**
 * Where runs are kept, as twelve promises. A store knows nothing of workflows: it appends events, decides who may
 * append, and finds things again. Everything that a run means is computed by `core` before it gets here, so a second
 * store repeats no logic. The conformance suite in `stemma/testing` is the definition; this file is its prose.
 *
 * Three things hold for every method. Calls are atomic: all of it happened, or nothing. Time is the store's own clock
 * (milliseconds since 1970), never the caller's. Errors are `StemmaError` with a code of `store.*`; after one that
 * leaves the outcome of a commit unknown, the store finds out by itself (it reads epoch and seq again) and answers
 * with what is true.
 */
import type { StoredEvent } from "../core/chain.ts";
import type { Digest, ReuseKey, RunId, Seq, Timestamp } from "../core/event.ts";
import type { RunState } from "../core/reduce.ts";
import type { Status } from "../core/run.ts";

export interface Store {
  /** What this store is, for people: `sqlite /path/to/file`. Never holds a password. */
  readonly name: string;

  /**
   * Creates runs with their first event. A run whose id, or whose (workflow, idempotency key), is already there is not
   * created: the answer then names the run that is there. All of one call is one transaction. Throws run.not_found where
   * the run that one comes from is not there (any more); then none of the call is created.
   */
  create(runs: readonly NewRun[]): Promise<readonly Created[]>;

  /**
   * Gives the worker up to `limit` runs that are due, that it offers code for, and that nobody holds, most urgent
   * first (by priority, then by how long it has been due); each with its epoch raised, so that whoever held it before
   * can no longer append. Before that, runs of workers whose lease has run out are taken from them, which raises the
   * epoch too. The worker has at least half of its own lease left afterwards. No run is given to two workers. What it
   * offers is remembered for as long as it has its lease: rows say by it whether anybody offers code for their run.
   */
  claim(request: ClaimRequest): Promise<Claimed>;

  /**
   * Renews the lease of a worker for all runs it holds, in one statement, and says for which of them messages wait.
   * `expired` means that the lease had run out and its runs were taken from it: the worker drops all it holds. A lease
   * that ran out is renewed as long as nobody has taken the runs, so what a worker could not store while the store was
   * away is not lost when it is back.
   */
  heartbeat(request: { worker: string; leaseMs: number }): Promise<Heartbeat>;

  /**
   * Appends to many runs in one transaction. Each part names the epoch and the seq that it expects; where either is
   * not what the store has, that part is refused as a whole and the others go through. A part that releases its run
   * is also refused when a message came that it has not taken in, so no wake-up is ever lost. When this returns, what
   * was accepted survives a power cut.
   */
  commit(parts: readonly Commit[]): Promise<readonly CommitResult[]>;

  /**
   * One page of a run's events behind `after` (-1 for all), in order, with the run's row, and the messages that have
   * not become events yet (with the last page only).
   */
  history(run: RunId, page: { after: Seq; limit: number }): Promise<HistoryPage | undefined>;

  /**
   * The packs of a run from a seq on, in their order: parts of its history that were committed a second time, for whoever
   * reads them all. They are what was committed, and may be missing. Left out by a store that keeps none.
   */
  packs?(run: RunId, page: { from: Seq; limit: number }): Promise<readonly Pack[]>;

  /** The texts of payloads by digest. One that is missing is left out of the answer; the caller decides what it means. */
  payloads(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, string>>;

  /**
   * Puts messages into the inboxes of runs: answers, signals, requests to cancel. Each is accepted once per (run, key).
   * A run that is not at its end becomes due at once, but for one that nobody had and that is due only in fifty years or later
   * (`limits.takingInMs`): that is not whole yet, and the message waits with it.
   */
  send(messages: readonly Message[]): Promise<readonly Sent[]>;

  /** Runs by their rows, newest first, a page at a time. */
  list(query: ListQuery): Promise<{ runs: readonly RunRow[]; cursor?: string }>;

  /** Recorded outcomes of a family by reuse key: for each key, in the order of the store's feed. */
  reusable(family: RunId, keys: readonly ReuseKey[]): Promise<ReadonlyMap<ReuseKey, readonly Producer[]>>;

  /**
   * Events of all runs (or of one run, family or workflow) behind a position, in the order of positions. Every event
   * has exactly one position, for ever; within a run positions ascend with seq. There are no gaps: an event that is
   * not in a page has a higher position than all that are, whatever transactions were open meanwhile.
   *
   * With `stream` (and `run`) it gives the values of that stream instead, which have positions of their own.
   */
  feed(query: FeedQuery): Promise<FeedPage>;

  /**
   * Removes runs that ended before a time, with what belongs to no other run. A run that a remaining one comes from
   * stays. It is at most `limit` runs a call, so that nobody waits long, or those of `units`: of each all or none. With
   * `dryRun` it only counts.
   */
  prune(request: PruneRequest): Promise<Pruned>;

  /**
   * Gives room that was freed back to whoever it is taken from, as the one thing that is done meanwhile: nobody can write,
   * and this process does nothing else. Sizes in bytes; with `dryRun` it only says whether it can be done now, and about
   * what would come of it. Left out by a store that gives room back by itself.
   *
   * @throws store.busy while a worker is at work, or somebody reads; store.full where there is no room to do it in
   */
  compact?(options?: { dryRun?: boolean }): Promise<{ before: number; after: number }>;

  /** Workers whose lease has not ended, with the runs that each holds; one that was stopped is there until it ends. */
  workers?(): Promise<readonly LeasedWorker[]>;

  /**
   * For verifying everything: runs of which events are there and no row, so that no list has them; a hundred at most. By
   * their ids, or where the row alone has that, by what the store calls them. Left out by a store that cannot tell.
   */
  rowless?(): Promise<readonly string[]>;

  /**
   * Creates runs as `create` does, in a transaction that the caller has begun on `client` and ends: they are there, and
   * worked on, from its COMMIT on, and never if it is rolled back. After an error the transaction is spoilt. Nothing else
   * than `client` is needed for it where the store was used before, not even a connection. Left out by a store that users
   * have no transactions with.
   */
  createIn?(client: Queryable, runs: readonly NewRun[]): Promise<readonly Created[]>;

  /**
   * Calls back when another process may have made work for this one: a run that is due, a message. It is a hint, may
   * come late, for nothing, or never; polling is what correctness rests on. The returned function ends it. Left out
   * where there is nothing that could tell.
   */
  onWake?(call: () => void): () => void;

  /**
   * For tests: takes the time from `now` instead of its own clock. Left out by a store that cannot; without effect on one that was given a time when it was opened.
   *
   * @throws usage.invalid when it takes its time from another `now` already
   */
  keepTime?(now: () => Timestamp): void;

  /** Ends the use of this store. Again is the same as once; every other call then throws `store.closed`. */
  close(): Promise<void>;
}

/** What `createIn` needs of a client of a database: a Client or PoolClient of `pg` has it. */
export type Queryable = { query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }> };

/** A large value, stored once however many events name it. */
export type Payload = { digest: Digest; text: string };

/** Events of a run from `first` on, packed. */
export type Pack = { first: Seq; body: Uint8Array };

export type NewRun = {
  id: RunId;
  /** Events from seq 0 on (one, usually), and what they add up to. */
  events: readonly StoredEvent[];
  payloads: readonly Payload[];
  state: RunState;
  /** When it may first be claimed; now if left out. */
  dueAt?: Timestamp;
  queue?: string;
  /** Lower is more urgent; 0 if left out. */
  priority?: number;
  idempotencyKey?: string;
};

export type Created = {
  id: RunId;
  created: boolean;
  /** From `createIn`, of a run that was there already: its first event, which nobody else may be able to see yet. */
  first?: StoredEvent;
};

/** What a worker has code for. A run that this very code could not recall is not given to it again. */
export type Offer = { workflow: string; version: number; fingerprint: Digest };

export type ClaimRequest = { worker: string; offers: readonly Offer[]; limit: number; leaseMs: number };

export type Claimed = {
  runs: readonly RunRow[];
  /** The store's clock at the claim. */
  now: Timestamp;
  /** When the next run that nobody holds falls due, if one does. */
  nextDueAt?: Timestamp;
};

export type LeasedWorker = { worker: string; runs: number; leaseUntil: Timestamp };

export type Heartbeat = {
  now: Timestamp;
  expired: boolean;
  /** Runs held by this worker for which messages wait, with the number of the latest. */
  news: readonly { run: RunId; inbox: number }[];
};

export type Commit = {
  run: RunId;
  epoch: number;
  /** The seq that the first event takes: one more than the last that the holder knows. */
  seq: Seq;
  events: readonly StoredEvent[];
  /** Large values that these events name, and parts of them: each stays as long as this run, named by an event or not. */
  payloads: readonly Payload[];
  /** What all events up to the last one add up to. */
  state: RunState;
  /** The run moved on: its count of claims begins anew. Without it, events leave the count as it is. */
  progress?: boolean;
  /** Messages up to this number have become events. */
  inbox: number;
  /** Packs of these events and of earlier ones. */
  packs?: readonly Pack[];
  /** Reuse keys of the outcomes among the events. */
  reuse?: readonly { seq: Seq; key: ReuseKey }[];
  /** Effects that the run is about to have: of each line, only one run may have each. */
  effects?: readonly Effect[];
  /**
   * Gives the run back. `dueAt` says when it wants to be claimed again (`null`: only when a message comes, or never).
   * `force` releases even if messages wait (the end of a run, or a drain). Who gives a run back is alive, so the count
   * of claims begins anew; with `untried` nothing of the run was executed, and it is as before this claim. With `null` and
   * `force` a run that was in the midst of something is due at once, but for one that `rests`, whatever it was in.
   */
  release?: { dueAt: Timestamp | null; force?: boolean; untried?: boolean; rests?: boolean };
  /** Runs to create, and messages to send, together with these events. */
  create?: readonly NewRun[];
  send?: readonly Message[];
  /** Values of streams. They are no events: bounded, oldest first to go, and no part of what the run is. */
  emit?: readonly Emitted[];
};

/**
 * An effect on the world that must happen once in a restart / fork line, and that a run wants to have: put into the
 * ledger if nobody has it. `from`: it is taken over from this run, if that is who has it.
 */
export type Effect = {
  line: RunId;
  /** Which step it is, as a digest; and with what, so that one step with two inputs is known as that. */
  place: string;
  input: string;
  from?: RunId;
};

/** Who has an effect of a place, and with what. */
export type Holding = { input: string; run: RunId };

/**
 * What became of a part. Of the effects that it wanted, `effects` has in their order all who hold them, whatever the
 * input; left out where that cannot be told after an error, and then it is asked for again.
 * In a refusal `seq` is that of the last event that the store has.
 *
 * `epoch`: another worker holds the run. `seq`: the history is not where the holder believes. `inbox`: messages wait.
 */
export type CommitResult =
  | { run: RunId; ok: true; inbox: number; effects?: readonly (readonly Holding[])[] }
  | { run: RunId; ok: false; reason: "epoch" | "seq" | "inbox" | "missing"; epoch: number; seq: Seq; inbox: number };

export type HistoryPage = {
  row: RunRow;
  events: readonly StoredEvent[];
  /** Whether events remain behind this page. */
  more: boolean;
  /** Messages that no event has taken in yet, in the order in which they came. */
  inbox: readonly Received[];
};

/** A row of the list: the state of the run, and where the store has it. */
export type RunRow = {
  id: RunId;
  state: RunState;
  epoch: number;
  /** Who holds it; absent when nobody does. */
  worker?: string;
  hash: Digest;
  dueAt: Timestamp | null;
  queue: string;
  priority: number;
  /** Number of the latest message, and of the latest that became an event. */
  inbox: number;
  inboxDone: number;
  /** What it was created under, so that it was created once. */
  idempotencyKey?: string;
  /** How often it was claimed since it last moved on or was given back: each time but the last, its worker died. */
  claims: number;
  /**
   * Whether a worker whose lease has not ended offers code for its workflow and version. It says so of a run that has
   * ended too, where it means nothing.
   */
  offered: boolean;
};

export type Message = {
  run: RunId;
  /** Once per run: a second message with it is not accepted, and the answer says so. */
  key: string;
  kind: string;
  /** JSON text. */
  body: string;
  /** False: it waits with the run, and does not make it due. */
  wakes?: false;
};

export type Received = { number: number; key: string; kind: string; body: string; at: Timestamp };

export type Sent = { run: RunId; key: string; accepted: boolean; reason?: "missing" | "repeated" | "ended" | "full" };

/**
 * A value of a stream: JSON text, and which attempt of which step it comes from (the empty step: the body). The empty
 * text, which no JSON text is, is a mark: what came from this step before is void.
 */
export type Emitted = { stream: string; step: string; attempt: number; text: string };

export type ListQuery = {
  ids?: readonly RunId[];
  /** Runs whose ids have this in them, as it stands. */
  idPart?: string;
  workflow?: string;
  /** With `workflow`: the run that was created under this key. */
  idempotencyKey?: string;
  status?: readonly Status[];
  tag?: string;
  family?: RunId;
  since?: Timestamp;
  /** False leaves out runs that are records and no work (`core/record-names`): golden marks, webhooks, checkpoints in a store. */
  records?: boolean;
  /** From an earlier page. */
  cursor?: string;
  limit?: number;
};

export type Producer = { run: RunId; seq: Seq };

export type FeedQuery = {
  after: number;
  limit: number;
  run?: RunId;
  family?: RunId;
  workflow?: string;
  stream?: string;
};

export type FeedPage = {
  /** Only of a stream. */
  values?: readonly (Emitted & { position: number })[];
  events: readonly { position: number; run: RunId; event: StoredEvent }[];
  /**
   * Where to go on: behind everything that this page has seen, matching or not. Of a run that is not there, the last
   * position that was given to any event, also where that is removed, or `after` where it is behind that.
   */
  position: number;
  /**
   * Events that are on record have no position yet, and will have one soon: of the run that was asked for, or of any run.
   * A reader who has come to the end without this has everything. Left out where it is not so, as by a store that gives
   * each event its position at once.
   */
  pending?: true;
};

export type PruneRequest = { endedBefore: Timestamp; dryRun?: boolean } & (
  | { limit: number; units?: undefined }
  /**
   * Runs that go together, in this order: a unit of which a run has not ended before the time, or is not there, or has
   * another come from it that is in no unit that goes before it, stays as it is.
   */
  | { units: readonly (readonly RunId[])[]; limit?: undefined }
);
export type Pruned = { runs: readonly RunId[]; events: number; payloadBytes: number };
