/**
 * What an event names that is not in it: values kept apart because of their size, and events of other runs. All that is
 * proved of a history, exported with it or kept because of it follows from these two lists.
 */
import { valueFields } from "./chain.ts";
import type { Digest, Event, Produced, RunId, Seq, StateTree, Value } from "./event.ts";

/** Every value that an event holds, inside or by digest. */
export function valuesOf(event: Event): (Value | StateTree)[] {
  const values: (Value | StateTree)[] = [];
  const data = event.data as unknown as Record<string, unknown>;
  for (const key of valueFields) take(values, data[key]);
  if (event.type !== "run.created") return values;
  const { offers, discards, generations, start, overrides } = event.data;
  for (const value of [offers, discards, generations, start?.state]) take(values, value);
  for (const value of Object.values(overrides ?? {})) take(values, value);
  return values;
}

/** A declared input is named by its digest alone, which is text and no value. */
function take(values: (Value | StateTree)[], value: unknown): void {
  if (typeof value === "object" && value !== null) values.push(value as Value | StateTree);
}

/** The payloads that an event names: texts by their digests, and roots of trees. */
export function payloadRefsOf(event: Event): { digest: Digest; bytes: number; tree?: number }[] {
  return valuesOf(event).filter((value) => "digest" in value);
}

/** An event of another run, and what must be so of it. */
export type EventRef = {
  run: RunId;
  seq: Seq;
  /** `left`: where a restart or fork left its source. `produced`: what was reused. `calls`: the event of a call. */
  what: "left" | "produced" | "calls" | "called" | "start";
  hash?: Digest;
  key?: string;
  /** What it gave. */
  value?: Value;
  state?: Value | StateTree;
};

/** The events of other runs that an event names. */
export function eventRefsOf(event: Event): EventRef[] {
  switch (event.type) {
    case "run.created":
      return refsOfCreation(event.data);
    case "step.reused": {
      const { from, origin, output } = event.data;
      return produced([from, origin], output);
    }
    case "step.failed": {
      const { from, origin } = event.data;
      return produced([from, origin]);
    }
    case "child.started":
      return [{ run: event.data.run, seq: 0, what: "called" }];
    default:
      return [];
  }
}

function refsOfCreation({ origin, start }: (Event & { type: "run.created" })["data"]): EventRef[] {
  const refs: EventRef[] = [];
  if (origin.kind === "child") refs.push({ run: origin.run, seq: origin.seq, key: origin.key, what: "calls" });
  if (origin.kind === "restart" || origin.kind === "fork") {
    refs.push({ run: origin.run, seq: origin.seq, hash: origin.hash, what: "left" });
    if (origin.caller !== undefined) refs.push({ ...origin.caller, what: "calls" });
  }
  if (start !== undefined) refs.push({ run: start.run, seq: start.seq, what: "start", state: start.state });
  return refs;
}

function produced(places: readonly (Produced | undefined)[], value?: Value): EventRef[] {
  const refs: EventRef[] = [];
  for (const place of places) {
    if (place === undefined || refs.some(({ run, seq }) => run === place.run && seq === place.seq)) continue;
    refs.push({ ...place, what: "produced", ...(value === undefined ? {} : { value }) });
  }
  return refs;
}
