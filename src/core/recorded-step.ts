/**
 * What the events of a run say of each of its steps, waits and calls: one record each, and how they are linked by
 * cause. The plan and the comparison of two runs are made from it. It grows event by event, so a history can be read
 * page by page.
 */
import type { Digest, Effect, ErrorRecord, Event, RunId, Seq, Value, WaitKind } from "./event.ts";
import { outcomeOf } from "./event.ts";
import { identityOf, identityText, parseKey } from "./identity.ts";

/** How it ended: with a value, with an error, without either (withdrawn, cancelled), or not at all. */
export type Ending = "value" | "error" | "none" | "open";

export type RecordedStep = {
  readonly key: string;
  /** What was reused may have been any of them. */
  readonly kind: "step" | "wait" | "call" | "reused";
  readonly scope: string;
  readonly name: string;
  /** Digest of the declared input. */
  readonly input: Digest | null;
  /** Its identity as one text, and the number in its key. */
  readonly identity: string;
  readonly k: number;
  /** Seq of the first event about it, and of its outcome. */
  readonly first: Seq;
  outcome?: Seq;
  /** Seq of the last outcome that the body had been given when it asked. */
  readonly after: Seq;
  ending: Ending;
  /** `succeeded`, `reused`, `waiting` …: as the trace shows it. */
  status: string;
  effect?: Effect;
  given?: Value;
  output?: Value;
  error?: ErrorRecord;
  /** Milliseconds and cost of what was carried out; of what was reused, what that saved. */
  ms?: number;
  cost?: number;
  /** Where it was reused from. */
  from?: { run: RunId; key: string; seq: Seq };
  /** Of a call: the called run. */
  run?: RunId;
  waitsFor?: WaitKind;
  /** Its success is this run's alone: it was recorded without a key by which others could find it. */
  alone?: true;
  /** Where its outcome is what was said of it while it was in doubt: the event that says so. A step that ran then has none. */
  decided?: Seq;
  /** Seq at which making up for it was begun. */
  compensated?: Seq;
  /** It can be made up for by who carried it out: the success with this seq, of this run where none is named. */
  made?: { run?: RunId; seq: Seq };
};

export type RecordedSteps = {
  readonly list: RecordedStep[];
  readonly byKey: Map<string, RecordedStep>;
  /** By seq: the causes of each event, and which step it is about. */
  readonly causes: (readonly Seq[])[];
  readonly stepAt: (RecordedStep | undefined)[];
};

export function newSteps(): RecordedSteps {
  return { list: [], byKey: new Map(), causes: [], stepAt: [] };
}

/** What the events add up to, of a whole history. */
export function stepsOf(history: Iterable<Event>): RecordedSteps {
  const steps = newSteps();
  for (const event of history) addToSteps(steps, event);
  return steps;
}

/** The steps that make up for others stand here; no body asks for them. */
const compensation = "compensate/";

/** Takes in the next event of the history. */
export function addToSteps(steps: RecordedSteps, event: Event): void {
  const { causes: named, seq } = event;
  const causes = "same" in named ? (steps.causes[named.same] ?? []) : named;
  steps.causes[seq] = causes;
  if (!("key" in event.data)) return;
  const { key } = event.data;
  if (key.startsWith(compensation)) {
    const success = steps.byKey.get(key.slice(compensation.length));
    if (success !== undefined) success.compensated ??= seq;
    return;
  }
  let step = steps.byKey.get(key);
  if (step === undefined) {
    step = begin(event as KeyedEvent, causes);
    steps.byKey.set(key, step);
    steps.list.push(step);
  }
  steps.stepAt[seq] = step;
  take(step, event as KeyedEvent);
}

type KeyedEvent = Extract<Event, { data: { key: string } }>;

function begin({ type, seq, data }: KeyedEvent, causes: readonly Seq[]): RecordedStep {
  const { scope, name, k } = parseKey(data.key);
  const [what] = type.split(".");
  return {
    key: data.key,
    kind: type === "step.reused" ? "reused" : what === "wait" ? "wait" : what === "child" ? "call" : "step",
    scope,
    name,
    input: data.input ?? null,
    identity: identityText(identityOf(data)),
    k,
    first: seq,
    after: data.after ?? causes.reduce((last, cause) => Math.max(last, cause), 0),
    ending: "open",
    status: "open",
    ...(data.given === undefined ? {} : { given: data.given }),
  };
}

const statuses: Readonly<Record<KeyedEvent["type"], string>> = {
  "step.started": "running",
  "step.attempt_failed": "retrying",
  "step.succeeded": "succeeded",
  "step.failed": "failed",
  "step.cancelled": "cancelled",
  "step.reused": "reused",
  "step.overridden": "overridden",
  "step.in_doubt": "in_doubt",
  "step.decided": "decided",
  "wait.opened": "waiting",
  "wait.answered": "answered",
  "wait.failed": "failed",
  "wait.refused": "waiting",
  "wait.expired": "expired",
  "wait.withdrawn": "withdrawn",
  "child.started": "running",
  "child.ended": "ended",
};

function take(step: RecordedStep, event: KeyedEvent): void {
  const { data, seq } = event;
  step.status = statuses[event.type];
  const ending = outcomeOf[event.type];
  if (ending !== null) {
    step.ending = ending;
    step.outcome = seq;
  }
  if ("output" in data && data.output !== undefined) step.output = data.output;
  if ("value" in data && data.value !== undefined) step.output = data.value;
  if ("error" in data && data.error !== undefined) step.error = data.error;
  if ("ms" in data && data.ms !== undefined) step.ms = data.ms;
  if ("cost" in data && data.cost !== undefined) step.cost = data.cost;
  switch (event.type) {
    case "step.succeeded":
    case "wait.answered":
      if (event.data.reuse === undefined) step.alone = true;
      if ("compensate" in event.data) step.made = { seq };
      break;
    case "step.started":
      if (event.data.effect !== undefined) step.effect = event.data.effect;
      break;
    case "step.decided":
      if (event.data.decision !== "run") step.decided = seq;
      break;
    case "step.reused":
      step.from = event.data.from;
      if (event.data.compensate === true) step.made = event.data.origin;
      if (event.data.saved?.ms !== undefined) step.ms = event.data.saved.ms;
      if (event.data.saved?.cost !== undefined) step.cost = event.data.saved.cost;
      break;
    case "wait.opened":
      step.waitsFor = event.data.kind;
      // What was said with a wait that is opened again is no answer.
      delete step.output;
      break;
    case "wait.expired":
      if (event.data.value === undefined) step.ending = "error";
      break;
    case "child.ended":
      // One that was heard of while there was no body to ask, in a run that was being cancelled.
      if (event.data.reuse === undefined) step.alone = true;
      step.status = event.data.status;
      if (event.data.error !== undefined) step.ending = "error";
      break;
    default:
  }
  if (event.type === "child.started" || event.type === "child.ended") step.run = event.data.run;
  if (step.ending === "value") delete step.error;
}
