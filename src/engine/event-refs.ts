/** Whether events of other runs are what a history says of them: where it left its source, what it reused, whom it called. */
import { unseal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import type { Flaw, FlawKind } from "../core/chain-check.ts";
import type { Digest, Event, RunId, Seq, StateTree, Value } from "../core/event.ts";
import { canonical } from "../core/json.ts";
import type { EventRef } from "../core/references.ts";
import type { Store } from "../store/store.ts";
import { sha256 } from "./hash.ts";

/** Runs of which a stretch is at hand. */
const runsMax = 16;
/** Events read where the one before was not asked for, and where it was: what is reused is mostly reused in order. */
const [fewEvents, manyEvents] = [8, 500];

/** Reads single events of many runs, a stretch at a time. */
export class EventReader {
  readonly #store: Pick<Store, "history">;
  /** The stretch of each run that was read last; the run that was used last is the last. */
  readonly #stretches = new Map<RunId, { from: Seq; events: readonly StoredEvent[] }>();

  constructor(store: Pick<Store, "history">) {
    this.#store = store;
  }

  /** The event; `"no run"`, `"no event"`, or `"unreadable"` where it is no event of this version. */
  async at(run: RunId, seq: Seq): Promise<Event | "no run" | "no event" | "unreadable"> {
    let stretch = this.#stretches.get(run);
    const isAhead = stretch !== undefined && seq >= stretch.from && seq <= stretch.from + 2 * manyEvents;
    if (stretch === undefined || !isIn(stretch, seq)) {
      const limit = isAhead ? manyEvents : fewEvents;
      const page = await this.#store.history(run, { after: seq - 1, limit });
      if (page === undefined) return "no run";
      stretch = { from: seq, events: page.events };
    }
    this.#stretches.delete(run);
    this.#stretches.set(run, stretch);
    for (const oldest of this.#stretches.keys()) if (this.#stretches.size > runsMax) this.#stretches.delete(oldest);
    const stored = stretch.events.find((event) => event.seq === seq);
    if (stored === undefined) return "no event";
    try {
      return unseal(stored);
    } catch {
      return "unreadable";
    }
  }
}

function isIn({ from, events }: { from: Seq; events: readonly StoredEvent[] }, seq: Seq): boolean {
  return seq >= from && seq < from + events.length;
}

/** What is wrong with an event that another run names, if anything is. */
export function refFlaw(
  run: RunId,
  event: Event,
  ref: EventRef,
  found: Event | "no run" | "no event" | "unreadable",
): Flaw | undefined {
  const flaw = (kind: FlawKind, why: string): Flaw => {
    const message = `${words[ref.what]} event ${ref.seq} of ${ref.run}: ${why}`;
    return { run, seq: event.seq, kind, message, target: { run: ref.run, seq: ref.seq } };
  };
  if (found === "no run") return flaw("run missing", "there is no such run in this store");
  if (found === "no event") return flaw("reference differs", "there is no such event");
  if (found === "unreadable") return flaw("reference differs", "it cannot be read");
  const difference = differs(run, ref, found);
  return difference === undefined ? undefined : flaw("reference differs", difference);
}

const words: Readonly<Record<EventRef["what"], string>> = {
  left: "it comes from",
  produced: "its value comes from",
  calls: "it was called by",
  called: "it called",
  start: "it begins with the checkpoint at",
};

function differs(run: RunId, ref: EventRef, found: Event): string | undefined {
  const data = found.data as { key?: string; run?: RunId; output?: Value; value?: Value; state?: Value | StateTree };
  if (ref.hash !== undefined && ref.hash !== found.hash) return "its hash is another";
  if (ref.key !== undefined && ref.key !== data.key) return `it is of ${data.key ?? found.type}, not of ${ref.key}`;
  if (ref.what === "calls" && (found.type !== "child.started" || data.run !== run)) return "it calls another run";
  if (ref.state !== undefined && !sameDigest(ref.state, data.state)) return "its state is another";
  const value = data.output ?? data.value;
  if (ref.value !== undefined && value !== undefined && !sameDigest(ref.value, value)) return "its value is another";
  return undefined;
}

function sameDigest(a: Value | StateTree, b: Value | StateTree | undefined): boolean {
  return b !== undefined && digestOf(a) === digestOf(b);
}

function digestOf(value: Value | StateTree): Digest | undefined {
  if ("digest" in value) return value.digest;
  return "inline" in value ? sha256(canonical(value.inline)) : undefined;
}
