/** What a recorded outcome is for a body: a value or an error, made from the record each time it is delivered. */
import { StemmaError } from "../core/error.ts";
import type { Digest, Value } from "../core/event.ts";
import type { Outcome } from "./body.ts";
import { StepError } from "./failure.ts";
import { rememberFailure } from "./frontier.ts";
import type { OutcomeEvent } from "./recall.ts";
import { fromValue } from "./value.ts";

/**
 * The outcome that an event stands for; `undefined` where it settles its ask without giving the body anything.
 *
 * @param own whether nobody else holds the event, so that the body may be given what is in it
 */
export function outcomeFor(
  event: OutcomeEvent,
  texts: ReadonlyMap<Digest, string>,
  own: boolean = false,
): Outcome | undefined {
  if (event.type === "step.cancelled" || event.type === "wait.withdrawn") return undefined;
  const { seq } = event;
  const error = failureOf(event);
  if (error === undefined) {
    const value = valueOf(event);
    return { seq, ok: true, value: own && "inline" in value ? value.inline : fromValue(value, texts) };
  }
  rememberFailure(error, event.data.key);
  return { seq, ok: false, error };
}

function valueOf(event: OutcomeEvent): Value {
  const data = event.data as { output?: Value; value?: Value };
  return data.output ?? data.value ?? { undefined: true };
}

function failureOf(event: OutcomeEvent): Error | undefined {
  switch (event.type) {
    case "step.failed":
    case "wait.failed":
      return new StepError(event.data.error, event.data.key);
    case "child.ended":
      return event.data.error === undefined ? undefined : new StepError(event.data.error, event.data.key);
    case "wait.expired":
      if (event.data.value !== undefined) return undefined;
      return new StemmaError("wait.expired", `The wait ${event.data.key} expired without an answer.`, {
        data: { wait: event.data.key },
      });
    default:
      return undefined;
  }
}
