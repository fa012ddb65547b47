/** Open questions: put on record when they open, settled by an answer, by the clock, or by being taken back. */
import type { Draft, Event, EventOf, Seq, StepRef } from "../core/event.ts";
import type { Extra } from "./appender.ts";
import type { Ask } from "./ask.ts";
import type { WaitAsk } from "./body.ts";
import type { Clock } from "./clock.ts";
import type { OutcomeDraft } from "./journal.ts";
import { atTime } from "./timer.ts";
import { toValue } from "./value.ts";

/** What the activation does for its waits and calls. */
export type WaitSurroundings = {
  clock: Clock;
  /** The store's clock. */
  now(): number;
  append(draft: Draft, extra?: Extra): Event;
  recordOutcome(ask: Ask, draft: OutcomeDraft, extra?: Extra): Seq;
  firstRef(ask: Ask): StepRef;
  isOver(): boolean;
};

/** Opens the wait, unless it is open on record already, and sets the clock. */
export function beginWait(ask: Ask, wait: WaitAsk, surroundings: WaitSurroundings): void {
  let until = ask.recorded?.opened?.until;
  if (ask.recorded?.opened === undefined) {
    until = wait.until?.(surroundings.now());
    ask.begunAt = open(ask, wait, until, surroundings);
  }
  if (until === undefined) return;
  ask.until = until;
  arm(ask, wait, until, surroundings);
}

function open(ask: Ask, wait: WaitAsk, until: number | undefined, surroundings: WaitSurroundings): number {
  const { kind, prompt, reason, schema, tags } = wait;
  const fallback = wait.default === undefined ? undefined : toValue(wait.default.value, `default of wait ${wait.name}`);
  const data: EventOf<"wait.opened">["data"] = { ...surroundings.firstRef(ask), kind };
  if (until !== undefined) data.until = until;
  if (prompt !== undefined) data.prompt = prompt;
  if (reason !== undefined) data.reason = reason;
  if (schema !== undefined) data.schema = schema;
  if (tags !== undefined) data.tags = tags;
  if (fallback !== undefined) data.default = fallback.value;
  const extra = fallback?.payload === undefined ? {} : { payloads: [fallback.payload] };
  return surroundings.append({ type: "wait.opened", data, causes: ask.causes }, extra).seq;
}

function arm(ask: Ask, wait: WaitAsk, until: number, surroundings: WaitSurroundings): void {
  const { clock, now, isOver } = surroundings;
  ask.stop = atTime(clock, now, until, () => {
    if (!isOver() && ask.withdrawn === undefined && ask.stage === "begun") expire(ask, wait, surroundings);
  });
}

/** Sets the clock of an open wait anew. */
export function rearmWait(ask: Ask, until: number | undefined, surroundings: WaitSurroundings): void {
  ask.stop?.();
  delete ask.until;
  if (until === undefined || ask.work.kind !== "wait") return;
  ask.until = until;
  arm(ask, ask.work.ask, until, surroundings);
}

/** The clock answers a timer; for anything else it is the end of the waiting. */
function expire(ask: Ask, wait: WaitAsk, { recordOutcome }: WaitSurroundings): Seq {
  const { key } = ask.ref;
  if (wait.kind === "timer")
    return recordOutcome(ask, { type: "wait.answered", data: { key, value: { undefined: true } } });
  if (wait.default === undefined) return recordOutcome(ask, { type: "wait.expired", data: { key } });
  const { value, payload } = toValue(wait.default.value, `default of wait ${key}`);
  return recordOutcome(
    ask,
    { type: "wait.expired", data: { key, value } },
    payload === undefined ? {} : { payloads: [payload] },
  );
}
