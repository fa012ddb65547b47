/**
 * Waits that a checkpoint carries: open where one segment ends, and asked again at the beginning of the next. The body
 * that asks again is given the same wait, under its first key, with its answer if that came in between. What the body
 * asks again is what it asks for before it asks for anything else, is given anything, or comes to rest; then the others
 * are closed, because nobody waits for them. So in every recall they are asked for first, and that needs no record.
 *
 * In a run that goes on from a checkpoint of another one, they are questions of its own, of which nothing is on record;
 * but whoever asks them again asks under the keys that they have there, by which people know them and give their outputs.
 */
import type { CarriedKey, CarriedWait, Digest, Event, Seq, StepRef } from "../core/event.ts";
import type { Identity } from "../core/identity.ts";
import { identityOf } from "../core/identity.ts";
import type { Payload } from "../store/store.ts";
import type { Ask } from "./ask.ts";
import type { OutcomeEvent, Recall, Recorded } from "./recall.ts";

/** An outcome on record that no body was given, with the texts of what it holds by reference. */
export type Undelivered = { readonly event: OutcomeEvent; readonly known: readonly Payload[] };

export type Carried = {
  readonly identity: Identity;
  readonly ref: StepRef;
  readonly wait: CarriedWait;
  readonly answer: Undelivered | undefined;
  /** It was asked for in this very activation, in the segment before; or in one before; or only by another run. */
  readonly by: "here" | "on record" | "another run";
};

/** Why a carried wait is closed that the body did not ask for again. */
export const notAskedAgain = "not asked again";

/** Whether a scope path is the root of a segment: there, and only there, waits can be carried. */
function isRoot(scope: string): boolean {
  return scope === "" || /^#\d+$/.test(scope);
}

/** Whether a checkpoint can carry an ask. */
export function canCross({ work, identity }: Ask): boolean {
  return work.kind === "wait" && work.ask.kind !== "timer" && isRoot(identity.scope);
}

/** Which wait it is that is carried. */
export function carriedKey({ key, input, n }: StepRef): CarriedKey {
  return { key, ...(input === undefined ? {} : { input }), ...(n === undefined ? {} : { n }) };
}

/** What a checkpoint says of a wait that it carries. */
export function carriedWait({ ref, begunAt, until, outcome }: Ask): CarriedWait {
  return {
    ...carriedKey(ref),
    ...(begunAt === undefined ? {} : { opened: begunAt }),
    ...(until === undefined ? {} : { until }),
    ...(outcome === undefined ? {} : { outcome: outcome.event.seq }),
  };
}

/** Seq of the last that was on record of it at the checkpoint. */
export function lastOf({ opened, outcome }: CarriedWait): Seq {
  return outcome ?? opened ?? 0;
}

export class CarriedWaits {
  readonly #recall: Recall;
  #left: Carried[];

  /** @param answers of those that were answered and not delivered before the checkpoint that the run starts from */
  constructor(recall: Recall, start: Event | undefined, answers: ReadonlyMap<string, Undelivered>) {
    this.#recall = recall;
    const waits = start?.type === "checkpoint" ? (start.data.waits ?? []) : [];
    const elsewhere = start?.type === "run.created" ? (start.data.start?.waits ?? []) : [];
    this.#left = elsewhere.map((wait) => carried(wait, undefined, "another run"));
    for (const wait of waits) {
      if (!recall.isDropped(wait.key)) {
        this.#left.push(carried(wait, answers.get(wait.key), "on record"));
        continue;
      }
      // It is on record that nobody asked again; who does now asks for a new one.
      recall.takeKey(wait.key);
    }
  }

  /** A checkpoint is on its way to the record, and carries these. */
  carry(asks: readonly Ask[]): void {
    this.#left = asks.map((ask) => carried(carriedWait(ask), ask.outcome, "here"));
  }

  /** Whether there are some that the body may still ask for again; and whether the one with this key is among them. */
  get areLeft(): boolean {
    return this.#left.length > 0;
  }

  owes(key: string): boolean {
    return this.#left.some(({ ref, by }) => ref.key === key && by !== "another run");
  }

  /** The first of those that are left that a body asks for with this. */
  take(scope: string, name: string, input: Digest | null): Carried | undefined {
    if (this.#left.length === 0 || !isRoot(scope)) return undefined;
    const at = this.#left.findIndex(({ identity }) => identity.name === name && identity.input === input);
    return at < 0 ? undefined : this.#left.splice(at, 1)[0];
  }

  /** What is on record of one that is asked for again. */
  recorded({ ref: { key }, wait, by }: Carried): Recorded | undefined {
    if (by === "another run") return this.#recall.takeKey(key);
    const { opened, until } = wait;
    const first = lastOf(wait);
    return (
      this.#recall.takeKey(key) ?? {
        key,
        first,
        after: 0,
        outcome: undefined,
        last: first,
        ...(opened === undefined ? {} : { opened: { seq: opened, until } }),
      }
    );
  }

  /** The body goes on without them: the keys that are to be closed, and the event that each stands at. */
  close(): { key: string; seq: Seq }[] {
    const left = this.#left;
    this.#left = [];
    return left.flatMap(({ ref: { key }, wait, answer, by }) => {
      if (by === "another run") return [];
      // One that was asked again and settled once, and is not asked now, is a divergence, which recall finds.
      if (this.#recall.isSettled(key)) return [];
      const seq = this.#recall.takeKey(key)?.opened?.seq ?? lastOf(wait);
      return answer === undefined ? [{ key, seq }] : [];
    });
  }
}

function carried(wait: CarriedWait, answer: Undelivered | undefined, by: Carried["by"]): Carried {
  const ref: StepRef = carriedKey(wait);
  return { identity: identityOf(ref), ref, wait, answer, by };
}
