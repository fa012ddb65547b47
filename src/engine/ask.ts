/**
 * What a body has asked for in this activation. Each ask is given its identity and its label here, by counting; the
 * counts depend only on the order of asks that are equal, so they come out the same in every recall.
 */
import type { Digest, EventOf, NotReused, Produced, ReuseKey, RunId, Seq, StepRef, Unwanted } from "../core/event.ts";
import { StemmaError } from "../core/error.ts";
import type { Identity } from "../core/identity.ts";
import { labelOf, parseKey, pathOf, refOf, withoutSegment } from "../core/identity.ts";
import { limits } from "../core/limits.ts";
import { CarriedWaits } from "./carried.ts";
import type { Undelivered } from "./carried.ts";
import type { CallAsk, Outcome, Place, StepAsk, WaitAsk } from "./body.ts";
import { kindKey } from "./identity-key.ts";
import { compensationScope } from "./compensation-scope.ts";
import type { NewRun } from "../store/store.ts";
import type { RunSeed } from "./new-run.ts";
import type { Recall, Recorded } from "./recall.ts";
import type { Encoded } from "./value.ts";
import { digestOf } from "./value.ts";

/** One ask, from the moment it is made until its outcome is delivered or it is taken back. */
export type Ask = {
  readonly identity: Identity;
  readonly ref: StepRef;
  readonly causes: readonly Seq[];
  readonly after: Seq;
  /** The declared input. */
  readonly input: Encoded | undefined;
  readonly work: { kind: "step"; ask: StepAsk } | { kind: "wait"; ask: WaitAsk } | { kind: "call"; ask: CallAsk };
  readonly recorded: Recorded | undefined;
  readonly resolve: (outcome: Outcome) => void;
  /** What stands for all that the body had been given when it asked. */
  prefix?: ReuseKey;
  /** The key under which its success can be found again, once it is known. */
  reuse?: ReuseKey;
  /** Whether it was looked up among what its run may reuse, and why nothing was found. */
  looked?: true;
  why?: NotReused;
  /** Makes the run of a call from one that an earlier run of the line had called, which did not come to its end. */
  remake?: (call: { id: RunId; at: number; caller: Produced }) => NewRun;
  /** What the run of a call is created with besides, where it is called anew in the place of another one. */
  anew?: Pick<RunSeed, "more" | "payloads">;
  /** asked → begun (entered, or its wait opened) → recorded (its outcome has a place) → delivered. */
  stage: "asked" | "begun" | "recorded" | "delivered";
  /** Taken back: it lost a race, or nobody waited for it any more. Its outcome, if one comes, is not delivered. */
  withdrawn?: Unwanted;
  /** In doubt: it may have happened, and only a decision can tell. */
  doubtful?: boolean;
  /** It was decided what is to become of it. */
  cleared?: boolean;
  /** Whether no other run of the line has what it is about to do; whether that is being found out; and who has. */
  admitted?: boolean;
  judged?: boolean;
  held?: NonNullable<EventOf<"step.in_doubt">["data"]["held"]>;
  /** The run that has what it is to be given, and may still make up for that: it is looked at again at `until`. */
  goesBack?: RunId;
  /** Of a step that makes up for another one: that one. */
  makesUpFor?: Ask;
  /** What led there, where that is not said by its key. */
  way?: string;
  /** Seq of the event that says it has begun, if there is one: the cause of its outcome. */
  begunAt?: Seq;
  /** A checkpoint was asked for with this wait open: what comes of it goes to whoever asks again, not to this promise. */
  crossing?: boolean;
  /** Its outcome, once it has one; also one that was on record before the checkpoint and given to nobody. */
  outcome?: Undelivered;
  /** It is such a wait, asked again: in this activation, or as what is on record says, here or in another run. */
  carried?: "here" | "on record" | "another run";
  /** Ends the running attempt. */
  abort?: AbortController;
  /** Number of the attempt that runs, or ran last. */
  attempt?: number;
  /** When the step was first entered, by the store's clock: its time limit counts from here. */
  enteredAt?: number;
  /** When the timer of an open wait fires or the next attempt is due, and how that is stopped. */
  until?: number;
  stop?: () => void;
};

/** How often a path was asked, and how often of these with a declared input. */
type Counts = { asked: number; declared: number };

/** Counts asks, and keeps those that are open. What is counted is all that stays of an ask when it is forgotten. */
export class Asks {
  readonly #recall: Recall;
  /** By path, what was asked once: its declared input, or null; or how much was asked there. Most paths are asked once. */
  readonly #paths = new Map<string, Digest | null | Counts>();
  /** How often each was asked, of paths that were asked more than once, by path and declared input. */
  readonly #kinds = new Map<string, number>();
  /** The scope of compensations is the engine's own: one that a body opens under its name is the second. */
  readonly #scopes = new Map<string, number>([[compensationScope, 1]]);
  /** Labels given out that the count of their path has not come to: another ask must not be given one of them. */
  readonly #ahead = new Set<string>();
  #open = new Map<string, Ask>();
  /** Waits that the last checkpoint carries, and that may be asked again. */
  readonly carried: CarriedWaits;

  constructor(recall: Recall, carried: CarriedWaits = new CarriedWaits(recall, undefined, new Map())) {
    this.#recall = recall;
    this.carried = carried;
  }

  /** Makes the ask for a place; `after` is the last outcome that the body was given before it. */
  make(place: Place, input: Encoded | undefined, after: Seq, work: Ask["work"], resolve: Ask["resolve"]): Ask {
    const { scope, name, causes } = place;
    const path = pathOf(scope, name);
    const digest = input === undefined ? null : digestOf(input);
    const { k, n } = this.#count(path, scope, name, digest);
    const own = identityAt(place, digest, n);
    const isWait = work.kind === "wait" && work.ask.kind !== "timer";
    let carried = isWait ? this.carried.take(scope, name, digest) : undefined;
    let recorded = carried === undefined ? undefined : this.carried.recorded(carried);
    if (recorded === undefined) {
      recorded = this.#recall.take(own);
      // It came too late when it was asked first, and was another question then.
      if (recorded !== undefined) carried = undefined;
    }
    const identity = carried?.identity ?? own;
    const key = carried?.ref.key ?? this.#label(path, k, recorded);
    const ask: Ask = {
      identity,
      ref: refOf(identity, key),
      causes,
      after,
      input,
      work,
      recorded,
      resolve,
      stage: "asked",
    };
    if (place.way !== undefined) ask.way = place.way;
    if (carried !== undefined) ask.carried = carried.by;
    if (carried?.answer !== undefined) ask.outcome = carried.answer;
    // What was in doubt is so until somebody decides: also while the run is paused and the step is not looked at.
    if (recorded?.doubtful === true && recorded.outcome === undefined) ask.doubtful = true;
    this.#open.set(key, ask);
    return ask;
  }

  /**
   * The short way for an ask whose outcome is on record and of which nothing else is to be known, in a body that asks once
   * for each path: the number that it has there, or undefined where it has to be made. It is not counted.
   */
  takeSettled(path: string, input: Digest): number | undefined {
    return this.#recall.takeSettled(path, input);
  }

  /** Counts an ask: its place among those of its path, and among those equal in path and input. */
  #count(path: string, scope: string, name: string, digest: Digest | null): { k: number; n: number } {
    const before = this.#paths.get(path);
    if (before === undefined) {
      this.#paths.set(path, digest);
      return { k: 0, n: 0 };
    }
    let counts: Counts;
    if (typeof before === "object" && before !== null) counts = before;
    else {
      counts = { asked: 1, declared: before === null ? 0 : 1 };
      if (before !== null) count(this.#kinds, kindKey(scope, name, before));
      this.#paths.set(path, counts);
    }
    const k = counts.asked;
    counts.asked += 1;
    // Those without an input need no count of their own.
    if (digest === null) return { k, n: k - counts.declared };
    counts.declared += 1;
    return { k, n: count(this.#kinds, kindKey(scope, name, digest)) };
  }

  #label(path: string, first: number, recorded: Recorded | undefined): string {
    let k = first;
    let key = labelOf(path, k);
    const passed = this.#ahead.delete(key);
    if (recorded !== undefined) {
      if (recorded.key !== key && parseKey(recorded.key).k > first) this.#ahead.add(recorded.key);
      return recorded.key;
    }
    for (let taken = passed || this.#recall.has(key); taken; taken = this.#ahead.has(key) || this.#recall.has(key)) {
      k += 1;
      key = labelOf(path, k);
    }
    if (k > first) this.#ahead.add(key);
    return key;
  }

  /** Makes an ask of the engine's own, which no body asks for. `recorded`: what came of it in another activation. */
  makeFor(
    { key, ...identity }: Identity & { key: string },
    step: StepAsk,
    input: Encoded,
    after: Seq,
    recorded: Recorded | undefined,
  ): Ask {
    const { causes } = step;
    const work = { kind: "step", ask: step } as const;
    const ref = refOf(identity, key);
    const ask: Ask = { identity, ref, causes, after, input, work, recorded, resolve() {}, stage: "asked" };
    if (recorded !== undefined) ask.begunAt = recorded.last ?? recorded.first;
    this.#open.set(key, ask);
    return ask;
  }

  /** The open step with this key that is in doubt: found so here, or on record while it is held back. */
  inDoubt(key: string): Ask | undefined {
    const ask = this.#open.get(key);
    if (ask === undefined || ask.withdrawn !== undefined) return undefined;
    const held = ask.stage === "asked" && ask.doubtful === undefined && ask.recorded?.doubtful === true;
    return ask.doubtful === true || held ? ask : undefined;
  }

  /** Path of a scope that is being opened: the second of a name is `x#2`. */
  openScope(scope: string, name: string): string {
    const path = pathOf(scope, name);
    if (path.split("/").length > limits.scopeDepthMax) {
      throw new StemmaError(
        "limit.exceeded",
        `Expected scopes to be nested at most ${limits.scopeDepthMax} deep, got one more: ${path}. Continue in a called run.`,
      );
    }
    return labelOf(path, count(this.#scopes, path));
  }

  /** A checkpoint: what is asked from here on has paths of its own, so no count of before is needed. */
  newSegment(): void {
    for (const counts of [this.#paths, this.#kinds, this.#scopes, this.#ahead]) counts.clear();
  }

  /** A checkpoint carries these: who asks for them again asks for the same. */
  cross(asks: readonly Ask[]): void {
    for (const ask of asks) {
      ask.stop?.();
      this.#open.delete(ask.ref.key);
    }
    this.carried.carry(asks);
  }

  get(key: string): Ask | undefined {
    return this.#open.get(key);
  }

  /** The open wait or call with this key. */
  waiting(key: string): Ask | undefined {
    const ask = this.#open.get(key);
    return ask?.stage === "begun" && ask.withdrawn === undefined ? ask : undefined;
  }

  /** The call with this key whose run has not ended, wanted or not. */
  called(key: string): Ask | undefined {
    const ask = this.#open.get(key);
    return ask?.work.kind === "call" && (ask.stage === "asked" || ask.stage === "begun") ? ask : undefined;
  }

  /** Every ask of this activation whose outcome has not reached the body. */
  *open(): Generator<Ask> {
    for (const ask of this.#open.values()) if (ask.stage !== "delivered") yield ask;
  }

  /** What was delivered needs no keeping. */
  forget(ask: Ask): void {
    this.#open.delete(ask.ref.key);
    // A map that is emptied at each step leaves tables behind that keep each other in memory for long.
    if (this.#open.size === 0) this.#open = new Map();
  }

  /** An ask that was taken back has come to its end all the same. */
  forgetLost(key: string): void {
    const ask = this.#open.get(key);
    if (ask?.withdrawn !== undefined) this.forget(ask);
  }

  get size(): number {
    return this.#open.size;
  }
}

/** Whether a scope path is another or below it. */
export function isWithin(path: string, scope: string): boolean {
  return path === scope || path.startsWith(`${scope}/`);
}

/** Whether a scope path, or one above it, is among others. */
export function isWithinAny(path: string, scopes: ReadonlySet<string>): boolean {
  if (scopes.size === 0) return false;
  for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
    if (scopes.has(path.slice(0, end))) return true;
  }
  return false;
}

function count(counts: Map<string, number>, key: string): number {
  const before = counts.get(key) ?? 0;
  counts.set(key, before + 1);
  return before;
}

/** What an ask is known by. `n` is its place in its segment; who counts across segments says another one. */
function identityAt({ scope, name, across }: Place, input: Digest | null, n: number): Identity {
  return across === undefined
    ? { scope, name, input, n }
    : { scope: withoutSegment(scope), name, input, n: across(input) };
}
