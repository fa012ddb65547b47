/**
 * How often a success of a step was given up on purpose on the way from the first run of a line to this one. It is part
 * of what a step sends to services so that they do not act twice: whoever wants a payment again must say so by another
 * key, while whoever repeats a failure, about which nobody knows whether it happened, must not.
 */
import type { Event, EventOf, RunId, SeqRange, StepRef } from "../core/event.ts";
import type { Identity } from "../core/identity.ts";
import { identityOf, identityText } from "../core/identity.ts";
import type { Store } from "../store/store.ts";
import type { Ask } from "./ask.ts";
import { sha256 } from "./hash.ts";
import { eventsOf, readEvent } from "./source.ts";
import { readList } from "./stored-list.ts";

/** Counts by the short digest of an identity. */
export type Counts = { readonly [identity: string]: number };

type Discards = { run: RunId; cut: SeqRange[] }[];

/** Counts of the successes that runs before this one gave up. */
export async function generationsBefore(store: Store, created: EventOf<"run.created">): Promise<Counts> {
  const { value } = await readList<Counts>(store, created.data.family, created.data.generations, {});
  return value;
}

/** The counts with what the change that made this run gave up: each identity once, however often it had succeeded. */
export async function countDiscards(store: Store, created: EventOf<"run.created">, before: Counts): Promise<Counts> {
  const { value } = await readList<Discards>(store, created.data.family, created.data.discards, []);
  if (value.length === 0) return before;
  const given = new Set<string>();
  for (const { run, cut } of value) for (const range of cut) await successesIn(store, run, range, given);
  const counts = new Map(Object.entries(before));
  for (const identity of given) counts.set(identity, (counts.get(identity) ?? 0) + 1);
  return Object.fromEntries(counts);
}

async function successesIn(store: Store, run: RunId, [from, to]: SeqRange, found: Set<string>): Promise<void> {
  const refs = new Map<string, StepRef>();
  for await (const event of eventsOf(store, run, from, to)) {
    if (!("key" in event.data)) continue;
    const { key } = event.data;
    if (!refs.has(key)) refs.set(key, await firstRef(store, run, event));
    if (isSuccess(event)) found.add(shortIdentity(identityOf(refs.get(key) ?? event.data)));
  }
}

/** The reference that stands on the first event of a step: what settles it may come behind one, or several. */
async function firstRef(store: Store, run: RunId, event: Event): Promise<StepRef> {
  let ref = event.data as StepRef;
  let { causes } = event;
  while (!("same" in causes) && causes.length === 1) {
    const [cause] = causes;
    const earlier = await readEvent(store, run, cause as number);
    if (!("key" in earlier.data) || earlier.data.key !== ref.key) break;
    ref = earlier.data;
    ({ causes } = earlier);
  }
  return ref;
}

function isSuccess({ type, data }: Event): boolean {
  if (type === "child.ended") return data.error === undefined;
  return type === "step.succeeded" || type === "step.reused" || type === "step.overridden" || type === "wait.answered";
}

function shortIdentity(identity: Identity): string {
  return sha256(identityText(identity)).slice(0, 24);
}

/** The counts of one run, read when the first step is to be entered. */
export class Generations {
  readonly #store: Store;
  readonly #created: EventOf<"run.created">;
  #counts: Counts | undefined;
  #reading: Promise<void> | undefined;

  constructor(store: Store, created: EventOf<"run.created">) {
    this.#store = store;
    this.#created = created;
    const { generations, discards } = created.data;
    if (generations === undefined && discards === undefined) this.#counts = {};
  }

  /** Undefined when the counts are there; else what to wait for before any step is entered. */
  ready(): Promise<void> | undefined {
    if (this.#counts !== undefined) return undefined;
    this.#reading ??= this.#read();
    return this.#reading;
  }

  async #read(): Promise<void> {
    const before = await generationsBefore(this.#store, this.#created);
    this.#counts = await countDiscards(this.#store, this.#created, before);
  }

  of({ identity }: Ask): number {
    return this.#counts?.[shortIdentity(identity)] ?? 0;
  }
}
