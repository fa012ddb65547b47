/** Sleeps: opened as a wait with its time on record, answered by the clock, however often the process changes. */
import type { Draft, Event, StepRef } from "../core/event.ts";
import type { Ask } from "./ask.ts";
import type { Clock } from "./clock.ts";
import type { OutcomeEvent } from "./recall.ts";

/** What the activation does for its timers. */
export type TimerSurroundings = {
  clock: Clock;
  /** The store's clock. */
  now(): number;
  append(draft: Draft): Event;
  fired(ask: Ask, draft: Pick<OutcomeEvent & { type: "wait.answered" }, "type" | "data">): void;
  firstRef(ask: Ask): StepRef;
  isOver(): boolean;
};

/** Opens the wait, unless it is open on record already, and sets the clock. */
export function beginTimer(ask: Ask, surroundings: TimerSurroundings): void {
  if (ask.work.kind !== "timer") return;
  let until = ask.recorded?.opened?.until;
  if (until === undefined) {
    until = ask.work.ask.until(surroundings.now());
    const data = { ...surroundings.firstRef(ask), kind: "timer" as const, until };
    ask.begunAt = surroundings.append({ type: "wait.opened", data, causes: ask.causes }).seq;
  }
  ask.until = until;
  arm(ask, until, surroundings);
}

function arm(ask: Ask, until: number, surroundings: TimerSurroundings): void {
  ask.stop = surroundings.clock.after(until - surroundings.now(), () => {
    if (surroundings.isOver() || ask.withdrawn !== undefined || ask.stage !== "begun") return;
    // Timers of the platform reach only some weeks, and may fire a little early.
    if (surroundings.now() < until) arm(ask, until, surroundings);
    else surroundings.fired(ask, { type: "wait.answered", data: { key: ask.ref.key, value: { undefined: true } } });
  });
}
