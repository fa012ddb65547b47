/** The parts of an activation, put together: what each is told of the others, and of the life that they share. */
import type { Digest, Draft, OfferedRun, Seq } from "../core/event.ts";
import { byReconcile } from "../core/event.ts";
import type { Emitted, RunRow } from "../store/store.ts";
import { Answers } from "./answers.ts";
import type { Extra } from "./appender.ts";
import type { Ask } from "./ask.ts";
import { Asks, isWithin } from "./ask.ts";
import type { Log, Workflow } from "./body.ts";
import { CarriedWaits } from "./carried.ts";
import { Checkpoints } from "./checkpoints.ts";
import { Children, inheritedOf, sharesOffers } from "./children.ts";
import type { Clock } from "./clock.ts";
import { guarded } from "./clock.ts";
import { Compensation } from "./compensation.ts";
import { compensationScope } from "./compensation-scope.ts";
import { decide, decisionOf } from "./decision.ts";
import type { Stopped } from "./ending.ts";
import { cancelled } from "./ending.ts";
import { Effects } from "./effects.ts";
import { Inbox } from "./inbox.ts";
import type { InboxParts } from "./inbox.ts";
import { Journal } from "./journal.ts";
import type { OutcomeDraft, Over } from "./journal.ts";
import type { Loaded } from "./load.ts";
import type { CalledFrom } from "./line.ts";
import { allowedInCall, calledLine, lineOf } from "./line.ts";
import { labelled } from "./log.ts";
import { Marks } from "./marks.ts";
import type { PauseMessage } from "./messages.ts";
import type { PauseKind } from "./pausing.ts";
import { patience } from "./patience.ts";
import { Prefix } from "./prefix.ts";
import type { OutcomeEvent } from "./recall.ts";
import { RecallCursor } from "./recall-cursor.ts";
import { remakeChild, renewChild } from "./restart.ts";
import { Reuse } from "./reuse.ts";
import { ReuseKeys } from "./reuse-keys.ts";
import { readSource } from "./source.ts";
import { Signals } from "./signals.ts";
import { readList } from "./stored-list.ts";
import { StepRunner } from "./step-runner.ts";
import type { Surroundings } from "./surroundings.ts";
import { Undertakings } from "./undertakings.ts";
import type { WaitSurroundings } from "./waits.ts";
import { rearmWait } from "./waits.ts";

export type Phase = "recall" | "live" | "ending" | "releasing" | "resting" | "over";

/** What the activation does for its parts. */
export type Life = {
  phase(): Phase;
  /** The run is being handed back: nothing new begins. */
  draining(): boolean;
  /** An outcome is on record and may go to the body. */
  outcome(ask: Ask, event: OutcomeEvent, texts: ReadonlyMap<Digest, string>): void;
  /** Something changed. */
  wake(): void;
  finish(over: Over): void;
  fault(error: unknown): void;
  stop(stopped: Stopped): void;
  pause(kind: PauseKind, request: PauseMessage): void;
};

export type Parts = {
  clock: Clock;
  log: Log;
  asks: Asks;
  cursor: RecallCursor;
  journal: Journal;
  prefix: Prefix;
  marks: Marks;
  steps: StepRunner;
  children: Children;
  undertakings: Undertakings;
  reuse: Reuse;
  checkpoints: Checkpoints;
  compensation: Compensation;
  inbox: Inbox;
  emit(value: Emitted): void;
};

export function assemble(row: RunRow, code: Workflow, loaded: Loaded, surroundings: Surroundings, life: Life): Parts {
  const log = labelled(surroundings.log, { run: row.id, workflow: code.name });
  const clock = guarded(surroundings.clock, life.fault);
  const { recall } = loaded;
  const asks = new Asks(recall, new CarriedWaits(recall, loaded.start, loaded.answers));
  const cursor = new RecallCursor(recall, loaded.outcomes, surroundings.delivery.afterAsks);
  const prefix = new Prefix(loaded, code.dataflow !== true);
  const keys = new ReuseKeys(loaded, surroundings.fingerprint);
  const journal = journalOf(row, loaded, { ...surroundings, log, keys }, life, () => ({ compensation, children }));
  const emit = (value: Emitted): void => {
    if (life.phase() === "live" || life.phase() === "ending") journal.emit(value);
  };
  const waits = waitsOf(clock, loaded, journal, life);
  const marks = marksOf(row, loaded, life, { waits, prefix, cursor });
  const others = (): Pick<Parts, "undertakings" | "reuse"> => ({ undertakings, reuse });
  const steps = stepsOf(row, loaded, { ...surroundings, log }, life, { journal, waits, emit }, others);
  const { cancelUnheld } = surroundings;
  const reuse = reuseOf(
    row,
    loaded,
    surroundings,
    life,
    { journal, keys },
    {
      begin: (ask) => undertakings.begin(ask),
      enter: (ask) => steps.begin(ask),
    },
  );
  const withChildren = { ...waits, log, cancelUnheld, changed: life.wake, ...reuse.ofCalls };
  const children: Children = new Children(row.id, inheritedOf(loaded.created.data), recall, journal, withChildren);
  const answers = new Answers({
    journal,
    begin: (ask) => undertakings.begin(ask),
    rearm: (ask, until) => rearmWait(ask, until, waits),
  });
  const signals = new Signals(loaded.signals, journal, (ask, value, from, late) =>
    inbox.wait(answers.accept(ask, value, from, () => inbox.offer(late()))),
  );
  const undertakings: Undertakings = new Undertakings(row.state.status === "paused", {
    recall,
    asks,
    journal,
    steps,
    signals,
    children,
    reuse,
    missed: surroundings.missed,
    waits,
    isOpen: () => life.phase() === "live" && !life.draining(),
  });
  const checkpoints = new Checkpoints(
    journal,
    loaded.pieces,
    asks,
    () => inbox.busy,
    () => signals.kept,
    prefix,
  );
  const compensation: Compensation = new Compensation(recall, asks, steps);
  const inbox: Inbox = inboxOf(row, life, { log, journal, asks, answers, signals, children, steps });
  return {
    clock,
    log,
    asks,
    cursor,
    journal,
    prefix,
    marks,
    steps,
    children,
    undertakings,
    reuse,
    checkpoints,
    compensation,
    inbox,
    emit,
  };
}

function inboxOf(row: RunRow, life: Life, parts: InboxParts): Inbox {
  return new Inbox({
    ...parts,
    run: row.id,
    isOpen: () => (life.phase() === "live" || life.phase() === "ending") && !parts.journal.releasing,
    cancel: (request) => life.stop(cancelled(row.id, request)),
    pause: life.pause,
    changed: life.wake,
    fault: life.fault,
  });
}

function marksOf(
  row: RunRow,
  { recall }: Loaded,
  { phase }: Life,
  { waits, prefix, cursor }: Pick<Parts, "prefix" | "cursor"> & { waits: WaitSurroundings },
): Marks {
  return new Marks(recall, row.state, {
    append: waits.append,
    phase,
    said: (what, answer) => prefix.said(what, answer),
    allRecalled: () => cursor.atEnd(),
  });
}

function journalOf(
  row: RunRow,
  loaded: Loaded,
  surroundings: Surroundings & { keys: ReuseKeys },
  life: Life,
  others: () => Pick<Parts, "compensation" | "children">,
): Journal {
  return new Journal(row, loaded, {
    ...surroundings,
    reuseKey: (ask) => surroundings.keys.of(ask),
    outcome(ask, event, texts) {
      others().compensation.note(ask, event, texts);
      life.outcome(ask, event, texts);
      life.wake();
    },
    flushed: life.wake,
    news: () => surroundings.look(row.id),
    sent(messages) {
      surroundings.sent(messages);
      others().children.sent(messages);
    },
    over: life.finish,
  });
}

function waitsOf(clock: Clock, loaded: Loaded, journal: Journal, life: Life): WaitSurroundings {
  return {
    clock,
    now: loaded.now,
    append: (draft: Draft, extra?: Extra) => journal.append(draft, extra),
    recordOutcome: (ask: Ask, draft: OutcomeDraft, extra?: Extra): Seq => journal.recordOutcome(ask, draft, extra),
    firstRef: (ask) => journal.firstRef(ask),
    isOver: () => life.phase() === "over",
  };
}

function reuseOf(
  row: RunRow,
  loaded: Loaded,
  surroundings: Surroundings,
  life: Life,
  { journal, keys }: { journal: Journal; keys: ReuseKeys },
  { begin, enter }: { begin: (ask: Ask) => void; enter: (ask: Ask) => void },
): Reuse {
  const { store, fingerprint } = surroundings;
  const { created } = loaded;
  const line = lineOf(row.id, created);
  const { allowEffects = [] } = created.data;
  const calledFrom = (ask: Ask): CalledFrom => {
    const allowed = allowedInCall(allowEffects, ask);
    return {
      ...calledLine(line, ask, reuse.generation(ask)),
      ...(allowed.length === 0 ? {} : { allowEffects: allowed }),
    };
  };
  const clock = guarded(surroundings.clock, life.fault);
  const patiently = patience(clock, life.fault);
  const effects = new Effects({
    run: row.id,
    store,
    clock,
    patiently,
    now: loaded.now,
    line,
    allowed: allowEffects,
    journal,
    keyOf: (ask) => keys.of(ask),
    begin: enter,
    // What is found out when the run is on its way to somebody else, they find out too.
    isOver: () => life.phase() !== "live",
    changed: life.wake,
    fault: life.fault,
  });
  const reuse: Reuse = new Reuse({
    run: row.id,
    store,
    loaded,
    journal,
    keys,
    fingerprint,
    begin,
    effects,
    patiently,
    clock,
    now: loaded.now,
    isDry: surroundings.missed !== undefined,
    next: clock.turn,
    async goOnWithChild(ask, child, isCut) {
      const source = await readSource(store, child);
      if (isCut || !keys.isCalledBy(ask, source.created)) {
        ask.anew = await renewChild(store, source, isCut);
        return;
      }
      const workflow = ask.work.kind === "call" ? ask.work.ask.workflow : undefined;
      const { matching } = created.data;
      const offers = sharesOffers(created.data)
        ? (await readList<OfferedRun[]>(store, row.id, created.data.offers, [])).value
        : [];
      const called = { ...calledFrom(ask), matching, offers };
      ask.remake = await remakeChild({ store, workflow: () => workflow }, source, called);
    },
    lineOf: calledFrom,
    changed: life.wake,
  });
  return reuse;
}

function stepsOf(
  row: RunRow,
  loaded: Loaded,
  { log, abortGraceMs, hold }: Surroundings,
  life: Life,
  { journal, waits, emit }: Pick<Parts, "journal" | "emit"> & { waits: WaitSurroundings },
  others: () => Pick<Parts, "undertakings" | "reuse">,
): StepRunner {
  const steps: StepRunner = new StepRunner({
    ...waits,
    log,
    emit,
    // What the body was given of what others did is durable before anything new is done.
    hold: () => hold() ?? others().reuse.unready() ?? journal.unsettled(),
    abortGraceMs,
    resumed: row.state.startedAt !== undefined,
    run: row.id,
    ...lineOf(row.id, loaded.created),
    generation: (ask) => others().reuse.generation(ask),
    admits: (ask) => others().reuse.admits(ask),
    cautious: row.claims > 1,
    mayBegin: (ask) => mayEnter(ask, life, others().undertakings.paused),
    holdBack: (ask) => others().undertakings.hold(ask),
    decided: (ask, decision) => decide(ask, { ...decisionOf(decision, ask.ref.key), by: byReconcile }, journal, steps),
    afterCommit: (seq, call) => journal.afterCommit(seq, call),
    changed: life.wake,
    fault: life.fault,
  });
  return steps;
}

/** Whether a step may be entered now. While a run ends, only what makes up for others. */
function mayEnter(ask: Ask, life: Life, paused: boolean): boolean {
  if (life.draining()) return false;
  if (life.phase() === "ending") return isWithin(ask.identity.scope, compensationScope);
  return life.phase() === "live" && !paused;
}
