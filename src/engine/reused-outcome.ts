/** A recorded outcome of one run as the outcome of an ask in another: with where it was found, and who really made it. */
import type { EventOf, OfferedRun, Produced, RunId, Value } from "../core/event.ts";
import type { Extra } from "./appender.ts";
import type { Ask } from "./ask.ts";
import type { OutcomeDraft } from "./journal.ts";
import type { OutcomeEvent } from "./recall.ts";
import type { Found } from "./source-reader.ts";

/** Whether an outcome may be given again: a success, or a failure that is known to have ended nothing. */
export function isReplayable(event: OutcomeEvent, { ended }: OfferedRun): boolean {
  switch (event.type) {
    case "step.succeeded":
    case "step.reused":
    case "step.overridden":
    case "wait.answered":
      return true;
    case "child.ended":
      return event.data.error === undefined;
    case "step.failed":
      return ended !== undefined && !ended.includes(event.data.key);
    default:
      return false;
  }
}

/** What to record; undefined where a value that it holds by reference is not there any more. */
export function reusedOutcome(
  ask: Ask,
  { event, texts }: Found,
  run: RunId,
): { draft: OutcomeDraft; extra: Extra } | undefined {
  const { key } = ask.ref;
  const from: Produced = { run, key: event.data.key, seq: event.seq };
  const origin = originOf(event) ?? from;
  if (event.type === "step.failed") {
    return { draft: { type: "step.failed", data: { key, error: event.data.error, from, origin } }, extra: {} };
  }
  const output = outputOf(event);
  const text = "digest" in output ? texts.get(output.digest) : undefined;
  if ("digest" in output && text === undefined) return undefined;
  const data: EventOf<"step.reused">["data"] = { key, output, from, origin };
  const saved = savedOf(event);
  if (saved !== undefined) data.saved = saved;
  if ("compensate" in event.data) data.compensate = true;
  const extra = "digest" in output && text !== undefined ? { known: [{ digest: output.digest, text }] } : {};
  return { draft: { type: "step.reused", data }, extra };
}

function originOf(event: OutcomeEvent): Produced | undefined {
  return event.type === "step.reused" || event.type === "step.failed" ? event.data.origin : undefined;
}

function outputOf(event: OutcomeEvent): Value {
  const { output, value } = event.data as { output?: Value; value?: Value };
  return output ?? value ?? { undefined: true };
}

/** The time and cost of who really made it, as often as it is reused. */
function savedOf(event: OutcomeEvent): EventOf<"step.reused">["data"]["saved"] {
  if (event.type === "step.reused") return event.data.saved;
  const { ms, cost } = event.data as { ms?: number; cost?: number };
  if (ms === undefined && cost === undefined) return undefined;
  return { ...(ms === undefined ? {} : { ms }), ...(cost === undefined ? {} : { cost }) };
}
