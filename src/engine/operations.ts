/** The operations as bodies see them, over what an activation can do. */
import type { Digest, Seq, Timestamp } from "../core/event.ts";
import { checkName, checkTags } from "../core/name.ts";
import type { Emitted } from "../store/store.ts";
import type { Ask } from "./ask.ts";
import { notQuiescent } from "./checkpoints.ts";
import type { Operations, Outcome, Place, Segment, StepAsk } from "./body.ts";
import { sha256 } from "./hash.ts";
import { ManySteps } from "./many-steps.ts";
import { validate } from "./schema.ts";
import { emitter } from "./streams.ts";
import type { EncodedState } from "./state.ts";
import { encodeState } from "./state.ts";
import type { Encoded } from "./value.ts";
import { toValue } from "./value.ts";

type Primitives = {
  seed: string;
  ask(place: Place, input: Encoded | undefined, work: Ask["work"], resolve: (outcome: Outcome) => void): void;
  again: Operations["again"];
  open(scope: string, name: string): string;
  close(scope: string, kind: "scope" | "map" | "all" | "race", causes: readonly Seq[]): Seq;
  withdraw(scope: string): void;
  checkpoint(causes: readonly Seq[], state: EncodedState, carryWaits: boolean): Promise<Segment>;
  emit(value: Emitted): void;
  set(tags: string[], causes: readonly Seq[]): void;
  patched(name: string, causes: readonly Seq[]): boolean;
  now(): Timestamp;
  live(): boolean;
  /** Lets a turn of the event loop pass. */
  turn(call: () => void): void;
  /** The body says anything at all. */
  said(): void;
};

export function operationsOf(primitives: Primitives): Operations {
  const { seed, close, withdraw, now, live, said } = primitives;
  const draw = drawing(seed);
  let checkpointing = false;
  /** What is said while a checkpoint is on its way would come behind it on record, where no later activation says it. */
  const checkNoCheckpoint = (what: string): void => {
    said();
    if (checkpointing)
      throw notQuiescent(`Expected the checkpoint to be awaited before ${what}. Await it`, ["checkpoint"]);
  };
  const ask = (place: Place, input: Encoded | undefined, work: Ask["work"]): Promise<Outcome> =>
    new Promise((resolve) => {
      checkNoCheckpoint(place.name);
      primitives.ask(place, input, work, resolve);
    });
  /** Not an async function: of these promises there may be a hundred thousand at a time. */
  const step = (asked: StepAsk): Promise<Outcome> => {
    try {
      const input = asked.input && toValue(asked.input.value, `input of step ${asked.name}`);
      return ask(asked, input, { kind: "step", ask: asked });
    } catch (error) {
      return Promise.reject(error);
    }
  };
  const many = new ManySteps(step, primitives.turn);
  return {
    step,
    ...dataflow(primitives, checkNoCheckpoint),
    steps: (count, askOf) => many.ask(count, askOf),
    turn: () => new Promise((resolve) => primitives.turn(resolve)),
    async wait(asked) {
      const input = asked.input && toValue(asked.input.value, `input of wait ${asked.name}`);
      return ask(asked, input, { kind: "wait", ask: asked });
    },
    sleep: (asked) => ask(asked, undefined, { kind: "wait", ask: { ...asked, kind: "timer" } }),
    async call(asked) {
      const valid = await validate(asked.workflow, asked.input.value);
      const input = toValue(valid, `input of workflow ${asked.workflow.name}`);
      return ask(asked, input, { kind: "call", ask: asked });
    },
    async checkpoint(causes, state, { memory, carryWaits = false } = {}) {
      checkNoCheckpoint("another checkpoint");
      checkpointing = true;
      try {
        return await primitives.checkpoint(causes, encodeState(state, memory), carryWaits);
      } catch (error) {
        memory?.forget();
        throw error;
      } finally {
        checkpointing = false;
      }
    },
    emit: emitter({ step: "", attempt: 1, again: false }, (value) => {
      said();
      if (live()) primitives.emit(value);
    }),
    set(causes, tags) {
      checkNoCheckpoint("set");
      primitives.set(checkTags(tags), causes);
    },
    patched(causes, name) {
      checkNoCheckpoint("patched");
      return primitives.patched(checkName(name, "name of a patch"), causes);
    },
    open(scope, name) {
      checkNoCheckpoint(name);
      return primitives.open(scope, name);
    },
    close(scope, kind, causes) {
      said();
      return close(scope, kind, causes);
    },
    withdraw(scope) {
      said();
      withdraw(scope);
    },
    now,
    live,
    random: (scope) => Number.parseInt(draw("random", scope).slice(0, 13), 16) / 2 ** 52,
    uuid: (scope) => uuidOf(draw("uuid", scope)),
  };
}

/** Steps without promises; what is asked with the input object of the ask before is not encoded again. */
function dataflow({ ask, again }: Primitives, check: (name: string) => void): Pick<Operations, "stepTo" | "again"> {
  let last: { input: StepAsk["input"]; encoded: Encoded | undefined } = { input: undefined, encoded: undefined };
  const stepTo: Operations["stepTo"] = (asked, take) => {
    const { input, name } = asked;
    if (last.input !== input) last = { input, encoded: input && toValue(input.value, `input of step ${name}`) };
    check(name);
    ask(asked, last.encoded, { kind: "step", ask: asked }, take);
  };
  return { stepTo, again };
}

/** Gives the next derived digest of a scope: a function of the seed, the scope and how many were drawn before. */
function drawing(seed: string): (kind: string, scope: string) => Digest {
  const drawn = new Map<string, number>();
  return (kind, scope) => {
    const place = `${kind}|${scope}`;
    const n = drawn.get(place) ?? 0;
    drawn.set(place, n + 1);
    return sha256(`${seed}|${place}|${n}`);
  };
}

/** A digest in the form of a UUID of version 8, which is one's own (RFC 9562). */
function uuidOf(hex: Digest): string {
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
