/** What a step's function came to, as the event that puts it on record. */
import type { EventOf } from "../core/event.ts";
import { decode } from "../core/json.ts";
import type { Extra } from "./appender.ts";
import type { Ask } from "./ask.ts";
import type { StepAsk } from "./body.ts";
import { toRecord } from "./failure.ts";
import type { OutcomeDraft } from "./journal.ts";
import type { Encoded } from "./value.ts";
import { keepRefused, toValue } from "./value.ts";

/** An event to append, with what goes to the store beside it. */
export type Recording<D = OutcomeDraft> = { draft: D; extra: Extra };

type Failure = { type: "step.failed"; data: EventOf<"step.failed">["data"] };
type Doubt = { type: "step.in_doubt"; data: EventOf<"step.in_doubt">["data"] };

/** What a function returned: the success, or why it cannot be one, with the value kept as far as it can be. */
export type Returned = { ok: true; recording: Recording } | { ok: false; error: unknown; kept: Encoded | undefined };

export function returned(ask: Ask, step: StepAsk, value: unknown, ms: number): Returned {
  const { key } = ask.ref;
  let encoded: Encoded;
  try {
    encoded = toValue(value, `output of step ${key}`);
  } catch (error) {
    return { ok: false, error, kept: keepRefused(value) };
  }
  const data: EventOf<"step.succeeded">["data"] = { key, output: encoded.value };
  const { attempt = 1 } = ask;
  if (attempt > 1) data.attempt = attempt;
  if (ms > 0) data.ms = ms;
  const cost = costOf(step, encoded);
  if (cost !== undefined) data.cost = cost;
  if (step.compensate !== undefined) data.compensate = true;
  const extra: Extra = {};
  if (encoded.payload !== undefined) extra.payloads = [encoded.payload];
  return { ok: true, recording: { draft: { type: "step.succeeded", data }, extra } };
}

/** What the author says that an output has cost. It is for people to read: one that cannot be told is left out. */
function costOf({ cost }: StepAsk, { text }: Encoded): number | undefined {
  if (cost === undefined) return undefined;
  try {
    const found = cost(text === undefined ? undefined : decode(text));
    return typeof found === "number" && Number.isFinite(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** The failure of a step, with the value that could not be its output if there is one. */
export function failed(ask: Ask, error: unknown, ms: number, kept?: Encoded): Recording<Failure> {
  const data: EventOf<"step.failed">["data"] = { key: ask.ref.key, error: toRecord(error) };
  const { attempt = 1 } = ask;
  if (attempt > 1) data.attempt = attempt;
  if (ms > 0) data.ms = ms;
  if (kept !== undefined) data.kept = kept.value;
  return { draft: { type: "step.failed", data }, extra: payloadsOf(kept) };
}

/** What leaves a `once` step in doubt: the error of its attempt, if it had one, and the value it returned, if it did. */
export function inDoubt(ask: Ask, attempt: number, error?: unknown, kept?: Encoded): Recording<Doubt> {
  const data: EventOf<"step.in_doubt">["data"] = { key: ask.ref.key, attempt };
  if (error !== undefined) data.error = toRecord(error);
  if (kept !== undefined) data.kept = kept.value;
  if (ask.withdrawn !== undefined) data.unwanted = ask.withdrawn;
  return { draft: { type: "step.in_doubt", data }, extra: payloadsOf(kept) };
}

function payloadsOf(kept: Encoded | undefined): Extra {
  return kept?.payload === undefined ? {} : { payloads: [kept.payload] };
}
