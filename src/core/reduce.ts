/**
 * From events to the state of a run: the only place where a status, a count or an end time comes from. The appender
 * folds each event it writes and hands the result to the store in the same transaction; anybody who folds the whole
 * history gets the same (a test says so).
 */
import { StemmaError } from "./error.ts";
import type { Event, EventType, Origin, RunId, Seq, SuspendReason, Timestamp, ErrorRecord } from "./event.ts";
import { compensationScope } from "./identity.ts";
import type { Status } from "./run.ts";
import { isTerminal, nextStatus } from "./run.ts";

/** What the events of a run add up to. Plain data: it is stored as it is, and shown as it is. */
export type RunState = {
  workflow: string;
  version: number;
  family: RunId;
  origin: Origin;
  status: Status;
  /** Why it is suspended, or why it could not go on if it were not paused; absent in every other status. */
  reason?: SuspendReason;
  /** How many steps have ended how; waits and children are not counted. */
  steps: { succeeded: number; failed: number; cancelled: number; reused: number; attemptsFailed: number };
  createdAt: Timestamp;
  startedAt?: Timestamp;
  endedAt?: Timestamp;
  /** When it wants to be looked at again although nobody asks: the earliest open timer of a suspended run. */
  until?: Timestamp;
  /** Since when it has been waiting for what it has to settle before its end, once it had to rest for that. */
  endingSince?: Timestamp;
  /** The code that could not recall this run; another may. */
  refused?: string;
  error?: ErrorRecord;
  /** Open questions (timers are none): the events that opened them, up to a hundred. `more`: there were more at once. */
  waits?: { open: Seq[]; more?: true };
  /** The run that called this one, where this one is paused only because that one was. */
  pausedWith?: RunId;
  /** Who asked for the run to be cancelled, and why. */
  cancel?: { by?: string; reason?: string };
  /** The last state checkpoint: its event, and how many there have been. */
  checkpoint?: { seq: Seq; count: number };
  /** How many checkpoints lie before the one of its source that it started from, that one included. */
  startCount?: number;
  /** The first event of making up for its successes. */
  undoing?: Seq;
  tags: string[];
  /** Names for which `ctx.patched` says true in this run. */
  patches?: string[];
  /** Names for which it says false: the run had passed their place with older code. */
  unpatched?: string[];
  /** Position of the last event folded in. */
  seq: Seq;
};

/** The state after `event`. `state` is undefined before seq 0. Throws `run.transition` or `event.invalid`. */
export function reduce(state: RunState | undefined, event: Event): RunState {
  checkPlace(state, event);
  const status = nextStatus(state?.status, event.type);
  if (state === undefined) return created(event, status);
  const next: RunState = { ...state, status, seq: event.seq };
  if (status !== "suspended") {
    delete next.reason;
    delete next.until;
    delete next.refused;
  }
  if (status !== "paused") delete next.pausedWith;
  count(next, state, event.type);
  apply(next, event);
  if (isTerminal(status)) {
    next.endedAt = event.at;
    // Nothing waits in a run that is over, nor for its end.
    delete next.waits;
    delete next.endingSince;
  }
  return next;
}

/** The state of a whole history. */
export function reduceAll(events: Iterable<Event>): RunState {
  let state: RunState | undefined;
  for (const event of events) state = reduce(state, event);
  if (state === undefined) throw new StemmaError("event.invalid", "A history has at least one event, run.created.");
  return state;
}

function checkPlace(state: RunState | undefined, event: Event): void {
  const expected = state === undefined ? 0 : state.seq + 1;
  if (event.seq !== expected) {
    throw new StemmaError("event.invalid", `Expected the event with seq ${expected}, got seq ${event.seq}.`);
  }
  const { causes } = event;
  // The trace is connected because of these checks: whatever happens after seq 0 says why it happened.
  if ("same" in causes) return checkCause(event, causes.same, 1);
  if (event.seq > 0 && causes.length === 0) {
    throw new StemmaError(
      "event.invalid",
      `${event.type} at seq ${event.seq} names no cause; every later event has one.`,
    );
  }
  for (const cause of causes) checkCause(event, cause, 0);
}

/** @param first where causes can be: seq 0 has none itself, so no event can have the same as it */
function checkCause(event: Event, cause: Seq, first: Seq): void {
  if (Number.isInteger(cause) && cause >= first && cause < event.seq) return;
  throw new StemmaError(
    "event.invalid",
    `${event.type} at seq ${event.seq} names ${cause} as its cause: not an earlier event.`,
  );
}

function created(event: Event, status: Status): RunState {
  if (event.type !== "run.created") throw new StemmaError("engine.bug", "run.created is the first event.");
  const { workflow, version, family, origin, tags, start, patches, unpatched } = event.data;
  return {
    workflow,
    version,
    family,
    origin,
    status,
    steps: { succeeded: 0, failed: 0, cancelled: 0, reused: 0, attemptsFailed: 0 },
    createdAt: event.at,
    tags: tags ?? [],
    seq: event.seq,
    ...(start === undefined ? {} : { startCount: start.count }),
    ...(patches === undefined ? {} : { patches }),
    ...(unpatched === undefined ? {} : { unpatched }),
  };
}

const counted: Partial<Record<EventType, keyof RunState["steps"]>> = {
  "step.succeeded": "succeeded",
  "step.failed": "failed",
  "step.cancelled": "cancelled",
  "step.reused": "reused",
  "step.attempt_failed": "attemptsFailed",
};

function count(next: RunState, state: RunState, type: EventType): void {
  const counter = counted[type];
  if (counter !== undefined) next.steps = { ...state.steps, [counter]: state.steps[counter] + 1 };
}

function apply(next: RunState, event: Event): void {
  switch (event.type) {
    case "run.started":
      next.startedAt ??= event.at;
      break;
    case "run.suspended":
      next.reason = event.data.reason;
      if (event.data.ending === true) next.endingSince ??= event.at;
      if (event.data.until === undefined) delete next.until;
      else next.until = event.data.until;
      if (event.data.fingerprint === undefined) delete next.refused;
      else next.refused = event.data.fingerprint;
      break;
    case "run.paused":
      if (event.data.caller === undefined) delete next.pausedWith;
      else next.pausedWith = event.data.caller;
      break;
    case "run.failed":
      next.error = event.data.error;
      break;
    case "wait.opened":
      if (event.data.kind !== "timer") openWait(next, event);
      break;
    case "wait.answered":
    case "wait.failed":
    case "wait.expired":
    case "wait.withdrawn":
      closeWait(next, event);
      break;
    case "cancel.requested":
      next.cancel = request(event.data);
      // To end it, code that cannot recall it will do.
      delete next.refused;
      break;
    case "checkpoint":
      next.checkpoint = { seq: event.seq, count: (next.checkpoint?.count ?? next.startCount ?? 0) + 1 };
      break;
    case "step.started":
      if (next.undoing === undefined && event.data.key.startsWith(`${compensationScope}/`)) next.undoing = event.seq;
      break;
    case "run.set":
      next.tags = event.data.tags;
      break;
    case "run.patched":
      if (event.data.old === true) next.unpatched = [...(next.unpatched ?? []), event.data.name];
      else next.patches = [...(next.patches ?? []), event.data.name];
      break;
    default:
  }
}

function request({ by, reason }: { by?: string; reason?: string }): { by?: string; reason?: string } {
  return { ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) };
}

/** The state is written with every commit, so it names only so many open waits. */
const openWaitsMax = 100;

/** One that is opened again has the wait before it as its cause, and takes its place. */
function openWait(next: RunState, event: Event): void {
  closeWait(next, event);
  const { open, ...rest } = next.waits ?? { open: [] };
  next.waits = open.length < openWaitsMax ? { open: [...open, event.seq], ...rest } : { open, more: true };
}

/** What settles a wait is caused by the event that opened it, and by nothing else. */
function closeWait(next: RunState, { causes }: Event): void {
  if (next.waits === undefined || "same" in causes || causes.length !== 1) return;
  const { open, ...rest } = next.waits;
  const left = open.filter((seq) => seq !== causes[0]);
  if (left.length === 0 && rest.more === undefined) delete next.waits;
  else if (left.length < open.length) next.waits = { open: left, ...rest };
}
