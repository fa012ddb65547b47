/**
 * What a body has asked for in this activation. Each ask is given its identity and its label here, by counting; the
 * counts depend only on the order of asks that are equal, so they come out the same in every recall.
 */
import type { EventOf, Seq, StepRef } from "../core/event.ts";
import { StemmaError } from "../core/error.ts";
import type { Identity } from "../core/identity.ts";
import { identityText, kindText, labelOf, pathOf, refOf } from "../core/identity.ts";
import { limits } from "../core/limits.ts";
import type { CallAsk, Outcome, Place, StepAsk, WaitAsk } from "./body.ts";
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
  /** asked → begun (entered, or its wait opened) → recorded (its outcome has a place) → delivered. */
  stage: "asked" | "begun" | "recorded" | "delivered";
  /** Taken back: it lost a race, or nobody waited for it any more. Its outcome, if one comes, is not delivered. */
  withdrawn?: EventOf<"step.cancelled">["data"]["reason"];
  /** In doubt: it may have happened, and only a decision can tell. */
  doubtful?: boolean;
  /** Seq of the event that says it has begun, if there is one: the cause of its outcome. */
  begunAt?: Seq;
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

/** Counts asks, and keeps them by identity. */
export class Asks {
  readonly #recall: Recall;
  readonly #taken: Set<string>;
  readonly #kinds = new Map<string, number>();
  readonly #paths = new Map<string, number>();
  readonly #scopes = new Map<string, number>();
  readonly #byText = new Map<string, Ask>();

  constructor(recall: Recall) {
    this.#recall = recall;
    this.#taken = new Set(recall.asks.map((recorded) => recorded.ref.key));
  }

  /** Makes the ask for a place; `after` is the last outcome that the body was given before it. */
  make(place: Place, input: Encoded | undefined, after: Seq, work: Ask["work"], resolve: Ask["resolve"]): Ask {
    const { scope, name, causes } = place;
    const digest = input === undefined ? null : digestOf(input);
    const kind = kindText(scope, name, digest);
    const identity: Identity = { scope, name, input: digest, n: count(this.#kinds, kind) };
    const text = identityText(identity);
    const recorded = this.#recall.byText.get(text);
    const key = this.#label(pathOf(scope, name), recorded);
    const ref = recorded?.ref ?? refOf(identity, key);
    const ask: Ask = { identity, ref, causes, after, input, work, recorded, resolve, stage: "asked" };
    this.#byText.set(text, ask);
    return ask;
  }

  #label(path: string, recorded: Recorded | undefined): string {
    let k = count(this.#paths, path);
    if (recorded !== undefined) return recorded.ref.key;
    while (this.#taken.has(labelOf(path, k))) k += 1;
    const key = labelOf(path, k);
    this.#taken.add(key);
    return key;
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

  get(recorded: Recorded): Ask | undefined {
    return this.#byText.get(recorded.text);
  }

  /** The open wait or call with this key. */
  waiting(key: string): Ask | undefined {
    for (const ask of this.#byText.values()) {
      if (ask.ref.key === key && ask.stage === "begun" && ask.withdrawn === undefined) return ask;
    }
    return undefined;
  }

  /** Every ask of this activation whose outcome has not reached the body. */
  *open(): Generator<Ask> {
    for (const ask of this.#byText.values()) if (ask.stage !== "delivered") yield ask;
  }

  /** What was delivered needs no keeping. */
  forget(ask: Ask): void {
    this.#byText.delete(identityText(ask.identity));
  }

  get size(): number {
    return this.#byText.size;
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
