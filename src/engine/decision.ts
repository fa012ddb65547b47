/** What is to become of a step in doubt: somebody says so, or the step's own `reconcile` finds it out. */
import { StemmaError } from "../core/error.ts";
import type { ErrorRecord, EventOf } from "../core/event.ts";
import { parse } from "../core/json.ts";
import type { Ask } from "./ask.ts";
import { toRecord } from "./failure.ts";
import type { Journal } from "./journal.ts";
import type { DecideMessage } from "./messages.ts";
import { returned } from "./step-outcome.ts";
import { toValue } from "./value.ts";

/**
 * `{ record: value }`: it happened, and this is its output. `"run"`: it did not happen; it may be entered again.
 * `{ fail: error }`: the step has failed.
 */
export type Decision = { record: unknown } | "run" | { fail: unknown };

type Decided = Pick<DecideMessage, "decision" | "text" | "error" | "by" | "reason" | "message">;

/** A decision as a message carries it. Throws usage.invalid, json.not_serializable, payload.too_large. */
export function decisionOf(decision: Decision, key: string): Pick<DecideMessage, "decision" | "text" | "error"> {
  if (decision === "run") return { decision: "run" };
  // Whatever is not clearly said must not pass for an output that is nothing.
  if (typeof decision !== "object" || decision === null || "fail" in decision === "record" in decision) {
    const found =
      typeof decision === "object" && decision !== null
        ? `an object with ${Object.keys(decision).join(", ") || "nothing"}`
        : String(decision);
    const message = `Expected what is decided about step ${key} to be { record: output }, "run" or { fail: error }, got ${found}.`;
    throw new StemmaError("usage.invalid", message, { data: { step: key } });
  }
  if ("fail" in decision) return { decision: "fail", error: toRecord(decision.fail) };
  const { text } = toValue(decision.record, `output of step ${key}`);
  return { decision: "record", ...(text === undefined ? {} : { text }) };
}

/** Records the decision, and what follows from it. */
export function decide(ask: Ask, decided: Decided, journal: Journal, steps: { tryAgain(ask: Ask): void }): void {
  const { key } = ask.ref;
  const { decision, text, error, by, reason, message } = decided;
  const data: EventOf<"step.decided">["data"] = { key, decision };
  if (by !== undefined) data.by = by;
  if (reason !== undefined) data.reason = reason;
  if (message !== undefined) data.message = message;
  ask.doubtful = false;
  ask.cleared = true;
  const causes = [ask.begunAt ?? journal.head];
  ask.begunAt = journal.append({ type: "step.decided", data, causes }).seq;
  if (decision === "run") return steps.tryAgain(ask);
  if (decision === "fail") {
    const failure: ErrorRecord = error ?? { name: "Error", message: "it was decided that the step has failed" };
    journal.recordOutcome(ask, { type: "step.failed", data: { key, error: failure } });
    return;
  }
  if (ask.work.kind !== "step") throw new StemmaError("engine.bug", `${key} is no step.`);
  const result = returned(ask, ask.work.ask, text === undefined ? undefined : parse(text), 0);
  if (!result.ok) throw result.error;
  journal.recordOutcome(ask, result.recording.draft, result.recording.extra);
}
