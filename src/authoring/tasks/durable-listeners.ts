/**
 * Who is told what happens in a durable run: the listeners of the runner that asked for it, if it is carried out in this
 * process. A run may begin before its runner knows its id, so what happens meanwhile is kept until it does.
 */
import type { RunId } from "../../core/event.ts";
import type { EventBus, RunnerEvent, RunnerEventPayloads } from "./events.ts";
import { Origin } from "./events.ts";

type Told = { event: RunnerEvent; payload: object };

/** The listeners of one call of `execute`. */
export class Hearing<C> {
  readonly #events: EventBus<C>;
  #origin = new Origin("");

  constructor(events: EventBus<C>) {
    this.#events = events;
    starting++;
  }

  /** From here on it is known which run the call is about. */
  of(run: RunId, start: RunnerEventPayloads<C>["workflowStart"]): void {
    this.#origin = new Origin(run);
    this.tell("workflowStart", start);
    const others = hearings.get(run) ?? new Set();
    hearings.set(run, others.add(this));
    for (const { event, payload } of early.get(run) ?? []) this.tell(event, payload as never);
    begun();
  }

  tell<E extends RunnerEvent>(event: E, payload: RunnerEventPayloads<C>[E]): void {
    if (this.#events.hears(event)) this.#events.tell(event, this.#origin.mark(payload));
  }

  /** The call is over; `run` is left out if it never came to one. */
  close(run: RunId | undefined): void {
    if (run === undefined) return begun();
    const others = hearings.get(run);
    others?.delete(this);
    if (others?.size === 0) hearings.delete(run);
  }
}

const hearings = new Map<RunId, Set<Hearing<never>>>();
/** What happened in runs of which nobody knows yet who asked for them. */
const early = new Map<RunId, Told[]>();
/** Calls that do not know their run yet. */
let starting = 0;

function begun(): void {
  starting--;
  if (starting === 0) early.clear();
}

/** Tells of something that happens in a run, for the first time. */
export function tellOf<C, E extends RunnerEvent>(run: RunId, event: E, payload: RunnerEventPayloads<C>[E]): void {
  if (starting > 0 && !hearings.has(run)) {
    const told = early.get(run) ?? [];
    early.set(run, told);
    told.push({ event, payload });
  }
  for (const hearing of hearings.get(run) ?? []) hearing.tell(event, payload as never);
}
