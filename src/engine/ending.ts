/** How the end of a body is put on record. */
import { StemmaError } from "../core/error.ts";
import type { Draft, ErrorRecord, EventData, RunId, Seq, Value } from "../core/event.ts";
import type { Payload } from "../store/store.ts";
import { toRecord } from "./failure.ts";
import { frontierOf } from "./frontier.ts";
import type { Encoded } from "./value.ts";
import { toValue } from "./value.ts";

/** What a body ended with, or what ended the run from outside while its body was at work. */
export type End = { ok: true; output: Encoded } | { ok: false; error: unknown } | { ok: false; stopped: Stopped };

/** The end of a run that its body has no part in; `error` is what a calling run is told. */
export type Stopped = {
  draft: { [T in "run.timed_out" | "run.cancelled"]: { type: T; data: EventData[T] } }[
    | "run.timed_out"
    | "run.cancelled"];
  error: StemmaError;
};

/** Somebody wants the run to end. */
export function cancelled(run: RunId, request: EventData["run.cancelled"]): Stopped {
  const { by, reason } = request;
  const who = by === undefined ? "" : ` by ${by}`;
  const why = reason === undefined ? "" : `: ${reason}`;
  const error = new StemmaError("run.cancelled", `Run ${run} was cancelled${who}${why}.`, {
    data: { run, ...request },
  });
  return { draft: { type: "run.cancelled", data: request }, error };
}

/** Whether it is somebody who wants the run to end, and not the run's own limit of time. */
export function isCancel({ draft }: Stopped): boolean {
  return draft.type === "run.cancelled";
}

/** A run takes longer than it may. */
export function timedOut(run: RunId, limitMs: number): Stopped {
  const error = new StemmaError("run.timed_out", `Expected run ${run} to end within ${limitMs} ms.`, {
    data: { run, limitMs },
  });
  return { draft: { type: "run.timed_out", data: { limitMs } }, error };
}

/** The end of a body. An output that cannot be recorded makes it a failure; the steps stay as they are. */
export function recordable(end: { ok: true; value: unknown } | { ok: false; error: unknown }): End {
  if (!end.ok) return end;
  try {
    return { ok: true, output: toValue(end.value, "output of the run") };
  } catch (error) {
    return { ok: false, error };
  }
}

/** What a calling run is told of the end. */
type Told = { status: string; output?: Value; error?: ErrorRecord };

/**
 * The last event of a run.
 *
 * @param ended what the body had been given when it ended
 * @param last seq of the last event, which is what an end from outside comes behind
 */
export function endOf(end: End, ended: readonly Seq[], last: Seq): { draft: Draft; payloads: Payload[]; told: Told } {
  if ("stopped" in end) {
    const { draft, error } = end.stopped;
    const told = { status: draft.type.slice("run.".length), error: toRecord(error) };
    return { draft: { ...draft, causes: [last] }, payloads: [], told };
  }
  const causes = ended.length > 0 ? ended : [0];
  if (end.ok) {
    const { value, payload } = end.output;
    const draft = { type: "run.succeeded" as const, data: { output: value }, causes };
    return { draft, payloads: payload ? [payload] : [], told: { status: "succeeded", output: value } };
  }
  const data = { error: toRecord(end.error), frontier: frontierOf(end.error) };
  return { draft: { type: "run.failed", data, causes }, payloads: [], told: { status: "failed", error: data.error } };
}
