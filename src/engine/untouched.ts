/**
 * A store as it is for one who only tries something out: one run is in it as it is said to be, all others are as they are
 * in the store below, and nothing is written to that. What would be committed is kept aside, to be looked at.
 */
import { unseal } from "../core/chain.ts";
import { StemmaError } from "../core/error.ts";
import type { Digest, Event, RunId, Seq } from "../core/event.ts";
import type { RunState } from "../core/reduce.ts";
import type { Commit, CommitResult, HistoryPage, Payload, RunRow, Store } from "../store/store.ts";

export type Tried = {
  id: RunId;
  /** What the run is at its last event, and the hash of that. */
  state: RunState;
  hash: Digest;
  /** Texts that are in no store. */
  payloads?: readonly Payload[];
  /** Who tries: named as the worker, and in the error about what would write. */
  by: string;
  /** A page of its events, of which the row is said here. */
  events(page: { after: Seq; limit: number }): Promise<Pick<HistoryPage, "events" | "more"> | undefined>;
  /** Called behind each commit, with all that was committed of the run. */
  onCommit?(committed: readonly Event[]): void;
};

export class Untouched {
  readonly store: Store;
  readonly row: RunRow;
  /** What would be on record of the run. */
  readonly committed: Event[] = [];
  /** Texts that would be. */
  readonly texts: Map<Digest, string>;
  /** Rises whenever something begins or ends. */
  activity = 0;
  readonly #under: Store;
  readonly #tried: Tried;

  constructor(under: Store, tried: Tried) {
    this.#under = under;
    this.#tried = tried;
    const { id, state, hash, by, payloads = [] } = tried;
    const place = { epoch: 1, worker: by, dueAt: null, queue: "default", priority: 0, inbox: 0, inboxDone: 0 };
    // It is held, so that it can be recalled and go on, whatever became of it in truth.
    this.row = { id, state, hash, ...place, claims: 1, offered: true };
    this.texts = new Map(payloads.map(({ digest, text }) => [digest, text]));
    const refuse = (): never => {
      throw new StemmaError("engine.bug", `Expected a ${by} to do nothing to a store.`);
    };
    this.store = {
      name: under.name,
      create: refuse,
      claim: refuse,
      heartbeat: refuse,
      send: refuse,
      prune: refuse,
      close: refuse,
      commit: (parts) => this.#busy(() => Promise.resolve(this.#commit(parts))),
      history: (run, page) => this.#busy(() => this.#history(run, page)),
      payloads: (digests) => this.#busy(() => this.#payloads(digests)),
      list: (query) => this.#busy(() => under.list(query)),
      reusable: (family, keys) => this.#busy(() => under.reusable(family, keys)),
      feed: (query) => under.feed(query),
    };
  }

  async #busy<T>(call: () => Promise<T>): Promise<T> {
    this.activity += 1;
    const found = await call();
    this.activity += 1;
    return found;
  }

  #commit(parts: readonly Commit[]): CommitResult[] {
    const { id, onCommit } = this.#tried;
    for (const { run, events, payloads } of parts) {
      if (run !== id) continue;
      for (const { digest, text } of payloads) this.texts.set(digest, text);
      this.committed.push(...events.map(unseal));
    }
    onCommit?.(this.committed);
    return parts.map(({ run }): CommitResult => ({ run, ok: true, inbox: 0 }));
  }

  async #history(run: RunId, page: { after: Seq; limit: number }): Promise<HistoryPage | undefined> {
    if (run !== this.#tried.id) return this.#under.history(run, page);
    const found = await this.#tried.events(page);
    return found === undefined ? undefined : { row: this.row, ...found, inbox: [] };
  }

  async #payloads(digests: readonly Digest[]): Promise<Map<Digest, string>> {
    const missing = digests.filter((digest) => !this.texts.has(digest));
    const found = new Map(missing.length === 0 ? [] : await this.#under.payloads(missing));
    for (const digest of digests) {
      const text = this.texts.get(digest);
      if (text !== undefined) found.set(digest, text);
    }
    return found;
  }
}
