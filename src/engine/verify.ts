/**
 * Whether what a store holds of runs is what was written: the hash chain of each history, its payloads, its row, and
 * what it names of other runs. It reads page by page and remembers a few places only, so neither memory nor the event
 * loop feels how much there is; and it writes nothing.
 */
import { isDeepStrictEqual } from "node:util";
import { unseal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import { ChainCheck } from "../core/chain-check.ts";
import type { Flaw } from "../core/chain-check.ts";
import { StemmaError, isStemmaError } from "../core/error.ts";
import type { Digest, Event, RunId, Seq } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import type { RunState } from "../core/reduce.ts";
import { reduce } from "../core/reduce.ts";
import { eventRefsOf, payloadRefsOf } from "../core/references.ts";
import type { EventRef } from "../core/references.ts";
import type { RunRow, Store } from "../store/store.ts";
import { EventReader, refFlaw } from "./event-refs.ts";
import { sha256 } from "./hash.ts";
import { PackCheck } from "./pack-check.ts";
import { PayloadCheck } from "./payload-check.ts";
import { Turns } from "./turns.ts";

export type Verification = {
  /** Nothing is wrong. */
  ok: boolean;
  /** How much was looked at. Payloads are counted once for each run that has them. */
  runs: number;
  events: number;
  payloads: number;
  payloadBytes: number;
  /** What is wrong, in the order of runs and their events; of the first thousand, and how many there are more. */
  flaws: readonly Flaw[];
  more: number;
  /**
   * Of one run: its last event and the hash there. Kept elsewhere, it proves later that nothing up to there was
   * rewritten, not even with all hashes computed anew.
   */
  head?: { seq: Seq; hash: Digest };
};

export type VerifyProgress = { runs: number; events: number };

export type VerifyOptions = {
  /** All runs connected to it too. */
  family?: boolean;
  /** A hash that the run's history had at some event, from an earlier `head`: it must still have it. */
  expect?: { seq: Seq; hash: Digest };
  /** Called now and then. */
  onProgress?: (progress: VerifyProgress) => void;
  /** Stops it; it then throws the signal's reason. */
  signal?: AbortSignal;
};

const flawsMax = 1000;

/** Verifies runs one after the other. */
export class Verifier {
  readonly #store: Store;
  readonly #options: VerifyOptions;
  readonly #turns: Turns = new Turns();
  readonly #payloads: PayloadCheck;
  readonly #others: EventReader;
  readonly #flaws: Flaw[] = [];
  #more = 0;
  #runs = 0;
  #events = 0;
  #head: { seq: Seq; hash: Digest } | undefined;

  constructor(store: Store, options: VerifyOptions) {
    this.#store = store;
    this.#options = options;
    this.#payloads = new PayloadCheck(store, this.#turns);
    this.#others = new EventReader(store);
  }

  async verify(run: RunId): Promise<void> {
    const reading = new Reading(run, this.#options.expect);
    const packs = new PackCheck(this.#store, run);
    this.#payloads.begin(run);
    let last = -1;
    for (;;) {
      const page = await this.#store.history(run, { after: last, limit: limits.pageEventsMax });
      if (page === undefined) {
        this.#found([{ run, kind: "run missing", message: "there is no such run in this store" }]);
        return;
      }
      for (const stored of page.events) {
        if (this.#turns.isDue()) await this.#turn();
        const named = reading.take(stored, page.row);
        const wait = packs.take(stored, reading.event);
        if (wait !== undefined) await wait;
        this.#events += 1;
        if (named !== undefined) await this.#check(reading, named);
        last = stored.seq;
      }
      reading.row = page.row;
      // What was written while this was read is read too; what the row promises and is not there is missing.
      if (page.events.length === 0 || (!page.more && page.events.length < limits.pageEventsMax)) break;
    }
    await this.#payloads.end();
    const flaws = reading.end();
    // Of a history that is not what was written nobody can say what its packs should be.
    if (flaws.length === 0) flaws.push(...packs.flaws);
    this.#found([...flaws, ...this.#payloads.flaws].toSorted(bySeq));
    this.#head = { seq: reading.row?.state.seq ?? -1, hash: reading.row?.hash ?? "" };
    this.#runs += 1;
    this.#progress();
  }

  /** Looks for runs of which somebody removed the row and left the events, of all or of one; whether there are any. */
  async rowless(only?: RunId): Promise<boolean> {
    const found = (await this.#store.rowless?.()) ?? [];
    const meant = found.filter((run) => only === undefined || run === only);
    const message = "its events are there, and its row is not: somebody removed that, and nothing lists the run";
    this.#found(meant.map((run): Flaw => ({ run, kind: "run missing", message })));
    return meant.length > 0;
  }

  result(): Verification {
    return {
      ok: this.#flaws.length === 0,
      runs: this.#runs,
      events: this.#events,
      payloads: this.#payloads.count,
      payloadBytes: this.#payloads.bytes,
      flaws: this.#flaws,
      more: this.#more,
      ...(this.#runs === 1 && this.#head !== undefined ? { head: this.#head } : {}),
    };
  }

  async #check(reading: Reading, { event, refs, payloads }: Named): Promise<void> {
    for (const ref of refs) {
      if (ref.run === reading.run) continue;
      const flaw = refFlaw(reading.run, event, ref, await this.#others.at(ref.run, ref.seq));
      if (flaw !== undefined) reading.flaws.push(flaw);
    }
    if (payloads.length > 0) await this.#payloads.add(event, payloads);
  }

  async #turn(): Promise<void> {
    await this.#turns.next();
    this.#options.signal?.throwIfAborted();
    this.#progress();
  }

  #progress(): void {
    this.#options.onProgress?.({ runs: this.#runs, events: this.#events });
  }

  #found(flaws: readonly Flaw[]): void {
    const room = Math.max(flawsMax - this.#flaws.length, 0);
    this.#flaws.push(...flaws.slice(0, room));
    this.#more += Math.max(flaws.length - room, 0);
  }
}

type Named = { event: Event; refs: readonly EventRef[]; payloads: ReturnType<typeof payloadRefsOf> };

/** Most events name nothing that is not in them, and to see that they need not be looked through. */
function namesMore({ type, data }: StoredEvent): boolean {
  if (type === "run.created" || type === "child.started") return true;
  const mayBeReused = type === "step.reused" || type === "step.failed";
  return data.includes('"digest":') || (mayBeReused && data.includes('"from":'));
}

/** What an event names. Throws where that is nothing that can be looked for, as in an event that somebody made up. */
function namedBy(event: Event): Named {
  const [refs, payloads] = [eventRefsOf(event), payloadRefsOf(event)];
  const isNamed = (name: unknown): boolean => typeof name === "string";
  if (
    !refs.every(({ run, seq }) => isNamed(run) && Number.isSafeInteger(seq)) ||
    !payloads.every((one) => isNamed(one.digest))
  )
    throw new StemmaError("event.invalid", `${event.type} names what cannot be there.`);
  return { event, refs, payloads };
}

function bySeq(a: Flaw, b: Flaw): number {
  return (a.seq ?? Infinity) - (b.seq ?? Infinity);
}

/** One history: its chain, and what its events add up to. */
class Reading {
  readonly run: RunId;
  readonly flaws: Flaw[] = [];
  readonly #chain: ChainCheck;
  row: RunRow | undefined;
  /** The last event that was taken, where it is one. */
  event: Event | undefined;
  #state: RunState | undefined;
  /** Whether every event so far was what was written; behind one that is not, nothing can be added up. */
  #adds = true;
  readonly #expect: VerifyOptions["expect"];
  #expectedHash: Digest | undefined;

  constructor(run: RunId, expect: VerifyOptions["expect"]) {
    this.run = run;
    this.#expect = expect;
    this.#chain = new ChainCheck(sha256, run);
  }

  /** What the event names, where it is what was written and names anything. */
  take(stored: StoredEvent, row: RunRow): Named | undefined {
    const fits = this.#chain.take(stored, row.state.seq);
    this.#adds &&= fits && this.#chain.flaws.length === 0;
    if (stored.seq === this.#expect?.seq) this.#expectedHash = stored.hash;
    this.event = undefined;
    if (!fits) return undefined;
    try {
      const event = unseal(stored);
      this.event = event;
      if (this.#adds) this.#state = reduce(this.#state, event);
      return namesMore(stored) ? namedBy(event) : undefined;
    } catch (error) {
      // Another version may write what this one does not know: that is no flaw, and is said as what it is.
      if (isStemmaError(error, "store.newer")) throw error;
      this.#adds = false;
      const message = `it is no event that can stand here: ${error instanceof Error ? error.message : String(error)}`;
      this.flaws.push({ run: this.run, seq: stored.seq, kind: "event impossible", message });
      return undefined;
    }
  }

  end(): Flaw[] {
    const { run, row } = this;
    if (row === undefined) return this.flaws;
    this.#chain.end(row.state.seq, row.hash);
    const flaws = [...this.#chain.flaws, ...this.flaws];
    if (flaws.length === 0 && this.#adds && !isDeepStrictEqual(this.#state, row.state)) {
      const differing = differingIn(this.#state, row.state);
      flaws.push({ run, kind: "row differs", message: `the run's row is not what its events add up to: ${differing}` });
    }
    const expect = this.#expect;
    if (expect !== undefined && this.#expectedHash !== expect.hash) {
      const message = "its hash is not the one that was expected: what is up to here was rewritten";
      flaws.push({ run, seq: expect.seq, kind: "event replaced", message });
    }
    return flaws;
  }
}

function differingIn(state: RunState | undefined, row: RunState): string {
  const names = new Set([...Object.keys(state ?? {}), ...Object.keys(row)]) as Set<keyof RunState>;
  return [...names].filter((name) => !isDeepStrictEqual(state?.[name], row[name])).join(", ");
}
