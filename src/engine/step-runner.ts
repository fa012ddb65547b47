/**
 * Enters the functions of steps, and settles what comes of them. A step is entered at most `limit` at a time in its
 * group, never while the worker's lease is in question, and a `once` step only after its intent is on record.
 */
import { StemmaError } from "../core/error.ts";
import type { Draft, Event, EventOf, RunId, Seq, StepRef } from "../core/event.ts";
import { idempotencyKey, reuseKey } from "../core/identity.ts";
import { decode } from "../core/json.ts";
import type { Extra } from "./appender.ts";
import type { Ask } from "./ask.ts";
import type { Group, Log, StepAsk, StepTools } from "./body.ts";
import type { Clock } from "./clock.ts";
import { toRecord } from "./failure.ts";
import { sha256 } from "./hash.ts";
import type { OutcomeDraft } from "./journal.ts";
import { toValue } from "./value.ts";

/** What the activation does for its steps. */
export type StepSurroundings = {
  clock: Clock;
  log: Log;
  /** First run of the restart / fork line. */
  line: RunId;
  hold(): Promise<void> | undefined;
  append(draft: Draft, extra?: Extra): Event;
  /** Gives the seq of the outcome. */
  recordOutcome(ask: Ask, draft: OutcomeDraft, extra?: Extra): Seq;
  firstRef(ask: Ask): StepRef;
  afterCommit(seq: Seq, call: () => void): void;
  isOver(): boolean;
  /** Whether the run takes on anything new. */
  mayBegin(): boolean;
  changed(): void;
  /** The run cannot go on. */
  fault(error: unknown): void;
};

/** After this long a running step is put on record, so that people see what is taking time. */
const slowMs = 1000;

type StepWork = { ask: Ask; spec: StepAsk; group: Gate | undefined; stopTimers: (() => void)[] };

/** How many of a group are running or not on record yet, and who waits for a place. */
type Gate = { limit: number; running: number; queue: Ask[] };

export class StepRunner {
  readonly #with: StepSurroundings;
  #running = new Map<Ask, StepWork>();
  readonly #gates = new WeakMap<object, Gate>();

  constructor(surroundings: StepSurroundings) {
    this.#with = surroundings;
  }

  /** Steps that were entered, or whose intent is being recorded, and are not settled. */
  get running(): number {
    return this.#running.size;
  }

  /** Enters the step, now or as soon as its group has a place. */
  begin(ask: Ask): void {
    if (ask.work.kind !== "step" || ask.withdrawn !== undefined || !this.#with.mayBegin()) return;
    const gate = this.#gateOf(ask.work.ask.group);
    if (gate !== undefined && gate.running >= gate.limit) {
      gate.queue.push(ask);
      return;
    }
    const hold = this.#with.hold();
    if (hold !== undefined) {
      void hold.then(() => this.begin(ask));
      return;
    }
    if (ask.work.ask.effect !== "once") return this.#enter(ask, ask.work.ask, gate);
    if (ask.recorded?.started !== undefined) this.#doubt(ask, attemptOf(ask) - 1);
    else this.#intend(ask, ask.work.ask, gate);
  }

  #gateOf(group: Group | undefined): Gate | undefined {
    if (group === undefined) return undefined;
    let gate = this.#gates.get(group.key);
    if (gate === undefined) {
      gate = { limit: group.limit, running: 0, queue: [] };
      this.#gates.set(group.key, gate);
    }
    return gate;
  }

  /** Records the intent of a `once` step; the function is entered when the record is durable, and not before. */
  #intend(ask: Ask, spec: StepAsk, gate: Gate | undefined): void {
    const work = this.#occupy(ask, spec, gate);
    const data = { ...this.#with.firstRef(ask), attempt: 1, effect: "once" as const };
    const event = this.#with.append({ type: "step.started", data, causes: ask.causes });
    ask.begunAt = event.seq;
    this.#with.afterCommit(event.seq, () => {
      if (this.#running.get(ask) === work && !this.#with.isOver()) this.#call(work);
    });
  }

  #enter(ask: Ask, spec: StepAsk, gate: Gate | undefined): void {
    const work = this.#occupy(ask, spec, gate);
    const slow = this.#with.clock.after(
      slowMs,
      () => {
        if (this.#with.isOver() || ask.begunAt !== undefined || this.#running.get(ask) !== work) return;
        const data = { ...this.#with.firstRef(ask), attempt: attemptOf(ask) };
        ask.begunAt = this.#with.append({ type: "step.started", data, causes: ask.causes }).seq;
      },
      true,
    );
    work.stopTimers.push(slow);
    this.#call(work);
  }

  #occupy(ask: Ask, spec: StepAsk, gate: Gate | undefined): StepWork {
    const work: StepWork = { ask, spec, group: gate, stopTimers: [] };
    if (gate !== undefined) gate.running += 1;
    ask.abort = new AbortController();
    this.#running.set(ask, work);
    return work;
  }

  #call(work: StepWork): void {
    const { ask, spec } = work;
    const startedAt = this.#with.clock.monotonic();
    const ms = (): number => Math.round(this.#with.clock.monotonic() - startedAt);
    const { input } = ask;
    const tools = this.#toolsOf(ask);
    // The function gets a decoded copy, so what it does to its input cannot reach the body or another attempt.
    const given = input?.text === undefined ? undefined : decode(input.text);
    let result: Promise<unknown>;
    try {
      result = Promise.resolve(spec.run(given, tools));
    } catch (error) {
      result = Promise.reject(error);
    }
    result.then(
      (value) => this.#settle(work, () => this.#succeed(ask, spec, value, ms())),
      (error: unknown) => this.#settle(work, () => this.#fail(ask, spec, error, ms())),
    );
  }

  #toolsOf(ask: Ask): StepTools {
    const { line, log } = this.#with;
    const { identity, abort } = ask;
    let key: string | undefined;
    return {
      // Most steps send it nowhere, so it is made when it is asked for.
      get idempotencyKey(): string {
        key ??= idempotencyKey(sha256, line, [], identity);
        return key;
      },
      attempt: attemptOf(ask),
      abort: (abort ?? new AbortController()).signal,
      log,
    };
  }

  #settle(work: StepWork, record: () => Seq): void {
    // A result that comes after the attempt was given up is refused.
    if (this.#running.get(work.ask) !== work) return;
    try {
      this.#running.delete(work.ask);
      // A map that is emptied at each step leaves tables behind that keep each other in memory for long.
      if (this.#running.size === 0) this.#running = new Map();
      for (const stop of work.stopTimers) stop();
      // Its outcome may wait long for its turn, behind those of thousands of others.
      work.ask.abort = undefined;
      if (this.#with.isOver()) return;
      const seq = record();
      // The place is free when the outcome is durable: until then a crash would repeat it, and the limit says how much
      // may have to be repeated.
      if (work.group !== undefined) this.#with.afterCommit(seq, () => this.#vacate(work.group as Gate));
      this.#with.changed();
    } catch (error) {
      this.#with.fault(error);
    }
  }

  #vacate(gate: Gate): void {
    gate.running -= 1;
    // One that was taken back while it waited leaves its place to the next.
    while (gate.running < gate.limit && this.#with.mayBegin()) {
      const next = gate.queue.shift();
      if (next === undefined) return;
      this.begin(next);
    }
  }

  #succeed(ask: Ask, spec: StepAsk, value: unknown, ms: number): Seq {
    const { key } = ask.ref;
    let encoded;
    try {
      encoded = toValue(value, `output of step ${key}`);
    } catch (error) {
      return this.#fail(ask, spec, error, ms);
    }
    const attempt = attemptOf(ask);
    const input = ask.identity.input;
    const { scope, name } = ask.identity;
    const reuse =
      input === null ? undefined : reuseKey(sha256, { scope, name, version: spec.version ?? 1, input, context: [] });
    const data: EventOf<"step.succeeded">["data"] = { key, output: encoded.value };
    if (attempt > 1) data.attempt = attempt;
    if (ms > 0) data.ms = ms;
    if (reuse !== undefined) data.reuse = reuse;
    const extra: Extra = {};
    if (encoded.payload !== undefined) extra.payloads = [encoded.payload];
    if (reuse !== undefined) extra.reuse = reuse;
    return this.#with.recordOutcome(ask, { type: "step.succeeded", data }, extra);
  }

  #fail(ask: Ask, spec: StepAsk, error: unknown, ms: number): Seq {
    const { key } = ask.ref;
    if (spec.effect === "once") return this.#doubt(ask, attemptOf(ask), error);
    if (ask.withdrawn !== undefined) {
      return this.#with.recordOutcome(ask, { type: "step.cancelled", data: { key, reason: ask.withdrawn } });
    }
    const data: EventOf<"step.failed">["data"] = { key, error: toRecord(error) };
    if (ms > 0) data.ms = ms;
    return this.#with.recordOutcome(ask, { type: "step.failed", data });
  }

  /** It may have happened: nobody enters it again without a decision. */
  #doubt(ask: Ask, attempt: number, error?: unknown): Seq {
    ask.doubtful = true;
    const cause = ask.begunAt;
    if (cause === undefined)
      throw new StemmaError("engine.bug", `The step ${ask.ref.key} is in doubt without an intent.`);
    const data = { key: ask.ref.key, attempt, ...(error === undefined ? {} : { error: toRecord(error) }) };
    const known = ask.recorded?.doubtful === true;
    const seq = known ? cause : this.#with.append({ type: "step.in_doubt", data, causes: [cause] }).seq;
    this.#with.changed();
    return seq;
  }

  /** Aborts a running attempt and settles it within the grace. False when it is not running. */
  withdraw(ask: Ask, graceMs: number): boolean {
    const work = this.#running.get(ask);
    if (work === undefined) return false;
    ask.abort?.abort(new StemmaError("step.failed", `The result of step ${ask.ref.key} is not wanted any more.`));
    const stop = this.#with.clock.after(graceMs, () => {
      this.#settle(work, () => {
        if (work.spec.effect === "once") return this.#doubt(ask, attemptOf(ask));
        const data = { key: ask.ref.key, reason: "abandoned" as const };
        return this.#with.recordOutcome(ask, { type: "step.cancelled", data });
      });
    });
    work.stopTimers.push(stop);
    return true;
  }

  abortAll(): void {
    for (const ask of this.#running.keys()) ask.abort?.abort();
  }
}

/** Which attempt this is: those on record count, and so does one that a crash cut off. */
function attemptOf(ask: Ask): number {
  return 1 + Math.max(ask.recorded?.attempts ?? 0, ask.recorded?.started === undefined ? 0 : 1);
}
