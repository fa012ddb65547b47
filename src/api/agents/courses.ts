/** Courses of executions, read from the histories of their runs; those asked for last are kept, and read on from there. */
import type { Event, RunId, Seq, Value } from "../../core/event.ts";
import { parseKey } from "../../core/identity.ts";
import { StemmaError } from "../../core/error.ts";
import { readHistory, readTexts } from "../../engine/history-pages.ts";
import { fromValue } from "../../engine/value.ts";
import type { RunRow, Store } from "../../store/store.ts";
import type { Dispatch } from "./course.ts";
import { Course } from "./course.ts";
import type { Message } from "./messages.ts";
import { dispatchStep, queue } from "./messages.ts";

export type Known = { row: RunRow; course: Course; input: Value; createdAt: number };

type Reading = { now: Promise<Known>; next?: Promise<Known> };

const keptMax = 500;

export class Courses {
  readonly #store: Store;
  readonly #kept = new Map<RunId, { seq: Seq; course: Course; input: Value; createdAt: number }>();
  /** Two that read one history at a time would put its events in twice; who comes while one is read shares the next. */
  readonly #reading = new Map<RunId, Reading>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** The course of a run up to now. Throws run.not_found. */
  read(run: RunId): Promise<Known> {
    const under = this.#reading.get(run);
    if (under === undefined) return this.#begin(run);
    under.next ??= this.#after(under.now, run);
    return under.next;
  }

  async #after(now: Promise<Known>, run: RunId): Promise<Known> {
    await now.catch(() => {});
    return this.#begin(run);
  }

  #begin(run: RunId): Promise<Known> {
    const now = this.#read(run);
    const reading: Reading = { now };
    this.#reading.set(run, reading);
    void this.#end(run, reading);
    return now;
  }

  /** Nobody waits for a next reading: then the next one who comes begins anew. */
  async #end(run: RunId, reading: Reading): Promise<void> {
    await reading.now.catch(() => {});
    if (reading.next === undefined && this.#reading.get(run) === reading) this.#reading.delete(run);
  }

  async #read(run: RunId): Promise<Known> {
    const kept = this.#kept.get(run) ?? { seq: -1, course: new Course(), input: { undefined: true }, createdAt: 0 };
    const { row, events } = await readHistory(this.#store, run, kept.seq);
    const texts = await readTexts(this.#store, run, digestsOf(events));
    for (const event of events) {
      if (event.type === "run.created") {
        kept.input = event.data.input;
        kept.createdAt = event.at;
      } else take(kept.course, event, (value) => fromValue(value, texts));
      kept.seq = event.seq;
    }
    this.#kept.delete(run);
    this.#kept.set(run, kept);
    for (const oldest of this.#kept.keys()) if (this.#kept.size > keptMax) this.#kept.delete(oldest);
    return { row, course: kept.course, input: kept.input, createdAt: kept.createdAt };
  }
}

/** Values that say what was done: messages from the node, and outcomes of dispatches. */
function digestsOf(events: readonly Event[]): string[] {
  return events.flatMap((event) => {
    const value =
      event.type === "wait.answered" && nameOf(event.data.key) === queue
        ? event.data.value
        : event.type === "step.succeeded" && nameOf(event.data.key) === dispatchStep
          ? event.data.output
          : undefined;
    return value !== undefined && "digest" in value ? [value.digest] : [];
  });
}

function nameOf(key: string): string {
  return parseKey(key).name;
}

function take(course: Course, event: Event, read: (value: Value) => unknown): void {
  switch (event.type) {
    case "wait.answered":
    case "wait.expired":
      if (nameOf(event.data.key) !== queue) return answer(course, event);
      course.take(event.type === "wait.expired" ? { kind: "late" } : (read(event.data.value) as Message));
      return;
    case "wait.opened": {
      const asked = course.questions.find(({ key }) => key === event.data.key);
      if (asked !== undefined) asked.askedAt = event.at;
      return;
    }
    case "wait.failed":
    case "wait.withdrawn":
      return answer(course, event);
    case "step.succeeded":
      if (nameOf(event.data.key) === dispatchStep) course.dispatched(dispatchOf(read(event.data.output)));
      return;
    case "child.started":
      return course.settled(event.data.key, { run: event.data.run });
    case "child.ended": {
      const { key, status, error } = event.data;
      const failed = { state: "failed" as const, ...(error === undefined ? {} : { error }) };
      return course.settled(key, { ended: event.seq, ...(status === "succeeded" ? { state: "succeeded" } : failed) });
    }
    case "step.reused": {
      const { key, from, origin, output } = event.data;
      answer(course, event, output);
      return course.settled(key, { state: "succeeded", reused: { from, origin }, ended: event.seq });
    }
    case "step.overridden":
      answer(course, event, event.data.output);
      return course.settled(event.data.key, { state: "succeeded", ended: event.seq });
    case "step.failed": {
      const { key, error, from, origin } = event.data;
      const reused = from === undefined || origin === undefined ? {} : { reused: { from, origin } };
      return course.settled(key, { state: "failed", error, ended: event.seq, ...reused });
    }
    default:
  }
}

function answer(course: Course, event: Event, reused?: Value): void {
  const key = "key" in event.data ? event.data.key : undefined;
  const question = course.questions.find((one) => one.key === key);
  if (question === undefined) return;
  const value = event.type === "wait.answered" ? event.data.value : reused;
  const { at } = event;
  if (reused !== undefined) question.askedAt ??= at;
  if (value !== undefined) question.answer = { state: "answered", at, value };
  else if (event.type === "wait.failed") question.answer = { state: "failed", at, error: event.data.error };
  else question.answer = { state: event.type === "wait.expired" ? "expired" : "withdrawn", at };
}

function dispatchOf(output: unknown): Dispatch {
  if (typeof output !== "object" || output === null || !("state" in output))
    throw new StemmaError("store.corrupt", "Expected the outcome of a dispatch to say what became of it.");
  return output as Dispatch;
}
