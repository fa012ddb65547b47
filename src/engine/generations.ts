/**
 * How often a success of a step was given up on purpose on the way from the first run of a line to this one. It is part
 * of what a step sends to services so that they do not act twice: whoever wants a payment again must say so by another
 * key, while whoever repeats a failure, about which nobody knows whether it happened, must not.
 */
import type { Event, EventOf, OfferedRun, RunId, SeqRange, StepRef } from "../core/event.ts";
import type { Identity } from "../core/identity.ts";
import { identityOf, identityText } from "../core/identity.ts";
import { limits } from "../core/limits.ts";
import type { Store } from "../store/store.ts";
import type { Ask } from "./ask.ts";
import { sha256 } from "./hash.ts";
import type { Loaded } from "./load.ts";
import type { Patiently } from "./patience.ts";
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
  const given = new Map<string, number>();
  for (const { run, cut } of value) for (const range of cut) await successesIn(store, run, range, given);
  const counts = new Map(Object.entries(before));
  for (const [identity, times] of given) counts.set(identity, (counts.get(identity) ?? 0) + times);
  return Object.fromEntries(counts);
}

/** How often each was given up by this: once, and once before where it was a success in the place of one given back. */
async function successesIn(store: Store, run: RunId, [from, to]: SeqRange, found: Map<string, number>): Promise<void> {
  const refs = new Map<string, StepRef>();
  for await (const event of eventsOf(store, run, from, to)) {
    if (!("key" in event.data)) continue;
    const { key } = event.data;
    if (!refs.has(key)) refs.set(key, await firstRef(store, run, event));
    if (!isSuccess(event)) continue;
    const ref = refs.get(key) ?? event.data;
    const identity = shortIdentity(identityOf(ref));
    found.set(identity, Math.max(found.get(identity) ?? 0, isAnew(ref) ? 2 : 1));
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

/** Whether a step is done anew because the run that had it gave it back after this one was made. */
function isAnew({ why }: StepRef): boolean {
  return why === "compensated";
}

function shortIdentity(identity: Identity): string {
  return sha256(identityText(identity)).slice(0, 24);
}

export type GenerationsParts = { run: RunId; store: Store; loaded: Pick<Loaded, "created">; patiently: Patiently };

/** The counts of one run, read when the first step is to be entered. */
export class Generations {
  readonly #with: GenerationsParts;
  #counts: Counts | undefined;
  /** Steps that are done anew in this run, as its record says. */
  readonly #anew = new Set<string>();
  #reading: Promise<void> | undefined;

  constructor(parts: GenerationsParts) {
    this.#with = parts;
    const { generations, discards, offers } = parts.loaded.created.data;
    if (generations === undefined && discards === undefined && offers === undefined) this.#counts = {};
  }

  /** Undefined when the counts are there; else what to wait for before any step is entered. */
  ready(): Promise<void> | undefined {
    if (this.#counts !== undefined) return undefined;
    this.#reading ??= this.#with.patiently(() => this.#read());
    return this.#reading;
  }

  async #read(): Promise<void> {
    const { store, loaded } = this.#with;
    const before = await generationsBefore(store, loaded.created);
    const counts = await countDiscards(store, loaded.created, before);
    await this.#readAnew();
    this.#counts = counts;
  }

  /**
   * What was given back after this run was made is counted by what this one has on record of it. So it is the same after
   * a crash: a step that is not on record yet is looked up again, and found to be given back again.
   */
  async #readAnew(): Promise<void> {
    const { run, store, loaded } = this.#with;
    const { value } = await readList<OfferedRun[]>(store, run, loaded.created.data.offers, []);
    const open = value.flatMap((offered) => (offered.open === true ? [offered.run] : []));
    if (open.length === 0) return;
    const { runs } = await store.list({ ids: open.slice(0, limits.pageRunsMax), limit: limits.pageRunsMax });
    if (runs.length === open.length && runs.every(({ state }) => state.undoing === undefined)) return;
    this.#anew.clear();
    for await (const { data } of eventsOf(store, run, 1, Number.MAX_SAFE_INTEGER)) {
      if ("key" in data && isAnew(data)) this.#anew.add(shortIdentity(identityOf(data)));
    }
  }

  of({ identity, why, makesUpFor }: Ask): number {
    const short = shortIdentity(identity);
    const anew = why === "compensated" || this.#anew.has(short) ? 1 : 0;
    const own = (this.#counts?.[short] ?? 0) + anew;
    // Two successes of a step that came out the same are two to be given back.
    return makesUpFor === undefined ? own : own + this.of(makesUpFor);
  }
}
