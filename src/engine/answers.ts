/**
 * Answers to open waits. A value is looked at by the wait's own schema before it counts: one that does not fit is
 * refused, on record, and the wait stays open. An error is an answer too; and so is that it has to wait on.
 */
import { StemmaError } from "../core/error.ts";
import type { EventOf } from "../core/event.ts";
import { decode, parse } from "../core/json.ts";
import type { Ask } from "./ask.ts";
import { toRecord } from "./failure.ts";
import type { Journal } from "./journal.ts";
import type { AnswerMessage } from "./messages.ts";
import type { Encoded } from "./value.ts";
import { toValue } from "./value.ts";

/** Where an answer comes from: a message and who sent it, or a signal that was kept. */
export type Source = { message?: string; by?: string; signal?: number };

export type AnswersParts = {
  journal: Journal;
  /** Tries an ask again whose kept signal was refused. */
  begin(ask: Ask): void;
  /** Sets the clock of a wait anew. */
  rearm(ask: Ask, until: number | undefined): void;
};

/** Whoever was asked first said that it has to wait on, so this is to a question that is not asked now. */
function notAsked(key: string): StemmaError {
  return new StemmaError(
    "wait.not_open",
    `The wait ${key} was asked anew before this answer came. Look at what it asks now, and answer that.`,
  );
}

export class Answers {
  readonly #with: AnswersParts;

  constructor(parts: AnswersParts) {
    this.#with = parts;
  }

  /** Takes an answer that somebody sent. A promise where its schema takes a while; `late` as in `accept`. */
  take(ask: Ask, answer: AnswerMessage, message: string, late: () => void): Promise<void> | void {
    const { key } = ask.ref;
    const source: Source = { message, ...(answer.by === undefined ? {} : { by: answer.by }) };
    if (answer.to !== undefined && answer.to !== ask.begunAt) return this.#refuse(ask, notAsked(key), source);
    if (answer.again !== undefined) return this.#openAgain(ask, answer, source);
    if (answer.error !== undefined) {
      const data = { key, error: answer.error, ...source };
      return void this.#with.journal.recordOutcome(ask, { type: "wait.failed", data });
    }
    const value = toValue(answer.text === undefined ? undefined : parse(answer.text), `answer to ${key}`);
    return this.accept(ask, value, source, late);
  }

  /**
   * Records a value as the answer if it fits the schema of the wait, or its refusal.
   *
   * @param late what becomes of it where the wait was over before its schema had looked at it: its time may have run
   * out, or another branch won
   */
  accept(ask: Ask, value: Encoded, source: Source, late: () => void): Promise<void> | void {
    const { key } = ask.ref;
    const validate = ask.work.kind === "wait" ? ask.work.ask.validate : undefined;
    const settle = (thrown: unknown, fitting?: Encoded): void => {
      if (ask.stage !== "begun" || ask.withdrawn !== undefined) late();
      else if (fitting === undefined) this.#refuse(ask, thrown, source);
      else this.#record(ask, fitting, source);
    };
    if (validate === undefined) return settle(undefined, value);
    try {
      const checked = validate(value.text === undefined ? undefined : decode(value.text));
      if (!(checked instanceof Promise)) return settle(undefined, toValue(checked, `answer to ${key}`));
      return checked
        .then((fitting) => toValue(fitting, `answer to ${key}`))
        .then(
          (fitting) => settle(undefined, fitting),
          (error: unknown) => settle(error),
        );
    } catch (error) {
      return settle(error);
    }
  }

  #record(ask: Ask, { value, payload }: Encoded, source: Source): void {
    const extra = payload === undefined ? {} : { payloads: [payload] };
    const data = { key: ask.ref.key, value, ...source };
    this.#with.journal.recordOutcome(ask, { type: "wait.answered", data }, extra, source.signal);
  }

  #refuse(ask: Ask, thrown: unknown, source: Source): void {
    const { journal } = this.#with;
    const error = toRecord(thrown);
    const first = ask.begunAt === undefined;
    const data: EventOf<"wait.refused">["data"] = {
      ...(first ? journal.firstRef(ask) : { key: ask.ref.key }),
      error,
      ...source,
    };
    const causes = first
      ? [...new Set([...ask.causes, ...(source.signal === undefined ? [] : [source.signal])])]
      : [ask.begunAt as number];
    const { seq } = journal.append({ type: "wait.refused", data, causes });
    if (source.signal === undefined) return;
    // The next kept signal may fit; without one, the wait is opened.
    ask.begunAt ??= seq;
    this.#with.begin(ask);
  }

  /** Whoever was asked says that the run has to wait on. */
  #openAgain(ask: Ask, { again = {}, text }: AnswerMessage, source: Source): void {
    const wait = ask.work.kind === "wait" ? ask.work.ask : undefined;
    if (wait === undefined || ask.begunAt === undefined)
      throw new StemmaError("engine.bug", "Only an open wait is opened again.");
    const { prompt = wait.prompt, reason = wait.reason, until = ask.until } = again;
    const data: EventOf<"wait.opened">["data"] = { key: ask.ref.key, kind: wait.kind, ...source };
    if (prompt !== undefined) data.prompt = prompt;
    if (reason !== undefined) data.reason = reason;
    if (until !== undefined) data.until = until;
    if (wait.schema !== undefined) data.schema = wait.schema;
    if (wait.tags !== undefined) data.tags = wait.tags;
    const value = text === undefined ? undefined : toValue(parse(text), `value with ${ask.ref.key}`);
    if (value !== undefined) data.value = value.value;
    const extra = value?.payload === undefined ? {} : { payloads: [value.payload] };
    ask.begunAt = this.#with.journal.append({ type: "wait.opened", data, causes: [ask.begunAt] }, extra).seq;
    this.#with.rearm(ask, until);
  }
}
