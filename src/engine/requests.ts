/**
 * What is asked of a run from outside: answers, signals, decisions, to cancel, to pause. Each is checked first, so what
 * cannot be is refused at once and changes nothing; then it goes to the inbox of the run, under a key that makes it one
 * request however often it is sent. Whoever holds the run makes it an event.
 */
import { unseal } from "../core/chain.ts";
import { StemmaError } from "../core/error.ts";
import type { ErrorRecord, Event, EventOf, RunId, Seq } from "../core/event.ts";
import type { Json } from "../core/json.ts";
import { decode } from "../core/json.ts";
import { limits } from "../core/limits.ts";
import { checkId, checkName } from "../core/name.ts";
import type { Status } from "../core/run.ts";
import { isTerminal } from "../core/run.ts";
import type { Message, RunRow, Sent, Store } from "../store/store.ts";
import type { Log } from "./body.ts";
import type { Clock } from "./clock.ts";
import type { Decision } from "./decision.ts";
import { decidedBefore, expectSame } from "./decided.ts";
import { decisionOf } from "./decision.ts";
import { newRunId } from "./id.ts";
import { checkAnswer } from "./json-schema.ts";
import { readHistory } from "./history-pages.ts";
import type { AnswerMessage, CancelMessage, DecideMessage, SignalMessage } from "./messages.ts";
import { openWaits } from "./open-waits.ts";
import { cancelUnheld } from "./unheld.ts";
import { fromValue, toValue } from "./value.ts";

/** Who asks, and why; kept on record. */
export type By = { by?: string; reason?: string };

/** What pausing and unpausing answer: the status of the run when it was asked. */
export type Paused = { previous: Status };

/** A request under this key is made once, however often it is sent. */
export type Once = { idempotencyKey?: string };

/**
 * What became of an answer. `recorded`: it is the wait's answer, or another one was before it: `value` or `error` is
 * what is on record. `sent`: no worker has taken it in yet; it waits in the run's inbox.
 */
export type Answered =
  | { state: "recorded"; seq: Seq; value?: unknown; error?: ErrorRecord; by?: string }
  | { state: "sent" };

/** How often, and how long, an answer is waited for to become an event: a second. */
const lookMs = 10;
const looksMax = 100;

export class Requests {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #sent: (messages: readonly Message[]) => Promise<void>;
  readonly #log: Log;

  /** @param sent told of messages; resolves when the runs that this process holds have seen theirs */
  constructor(store: Store, clock: Clock, sent: (messages: readonly Message[]) => Promise<void>, log: Log) {
    this.#store = store;
    this.#log = log;
    this.#clock = clock;
    this.#sent = sent;
  }

  /** Answers an open wait. Throws wait.not_open, wait.invalid_answer. */
  async answer(row: RunRow, answer: AnswerMessage, { by, idempotencyKey }: By & Once): Promise<Answered> {
    const { key: wait } = answer;
    const waits = await openWaits(this.#store, row);
    const opened = waits.find(({ data }) => data.key === wait);
    if (opened === undefined) return this.#firstAnswer(row, wait, waits);
    if (answer.error === undefined && answer.again === undefined && opened.data.schema !== undefined) {
      checkAnswer(opened.data.schema, answer.text === undefined ? undefined : decode(answer.text), row.id, wait);
    }
    const message = withBy<AnswerMessage>({ ...answer, to: opened.seq }, by === undefined ? {} : { by });
    let key = checkId(idempotencyKey ?? `answer ${wait} ${opened.seq}`, "idempotencyKey");
    const sent = await this.#send(row.id, key, "answer", message);
    if (sent.reason !== "repeated") return this.#taken(row.id, answer, key, row.state.seq);
    if (idempotencyKey !== undefined) return this.#takenBefore(row.id, answer, key);
    const refused = await this.#lastRefusal(row.id, wait, opened.seq);
    // An answer that was refused is none, so the next one is not it again.
    if (refused !== undefined) await this.#send(row.id, (key = `${key} ${refused}`), "answer", message);
    return this.#taken(row.id, answer, key, refused ?? opened.seq);
  }

  /** Gives the answer that is on record already. Throws wait.not_open where there is none. */
  async #firstAnswer(row: RunRow, wait: string, waits: readonly EventOf<"wait.opened">[]): Promise<Answered> {
    const { events } = await readHistory(this.#store, row.id);
    const about = events.findLast((event) => "key" in event.data && event.data.key === wait);
    if (about?.type === "wait.answered" || about?.type === "wait.failed") return this.#recorded(about);
    const why = about === undefined ? "it has not been opened" : `it is over (${about.type}, run ${row.state.status})`;
    const open = waits.map(({ data }) => data.key);
    throw new StemmaError(
      "wait.not_open",
      `The wait ${JSON.stringify(wait)} of ${row.id} takes no answer: ${why}. Open are: ${named(open)}.`,
      { data: { run: row.id, wait, open } },
    );
  }

  async #recorded(event: EventOf<"wait.answered"> | EventOf<"wait.failed">): Promise<Answered> {
    const { by } = event.data;
    const common = { state: "recorded" as const, seq: event.seq, ...(by === undefined ? {} : { by }) };
    if (event.type === "wait.failed") return { ...common, error: event.data.error };
    const { value } = event.data;
    const texts = "digest" in value ? await this.#store.payloads([value.digest]) : new Map<string, string>();
    return { ...common, value: fromValue(value, texts) };
  }

  /** Seq of the event by which the latest answer to an open wait was refused. */
  async #lastRefusal(run: RunId, wait: string, after: Seq): Promise<Seq | undefined> {
    const { events } = await readHistory(this.#store, run, after);
    return events.findLast(({ type, data }) => type === "wait.refused" && data.key === wait)?.seq;
  }

  /** Waits for a worker to make the answer an event. One that was refused is an error for whoever gave it. */
  async #taken(run: RunId, answer: AnswerMessage, message: string, from: Seq): Promise<Answered> {
    let after = from;
    for (let looks = 0; ; looks += 1) {
      const page = await this.#store.history(run, { after, limit: limits.pageEventsMax });
      for (const stored of page?.events ?? []) {
        const event = unseal(stored);
        after = event.seq;
        const found = this.#settled(event, run, answer, message);
        if (found !== undefined) return found;
      }
      if (page?.more === true) continue;
      if (looks >= looksMax) return { state: "sent" };
      await this.#lookAgain();
    }
  }

  /** What became of an answer that was sent before under the same key, be it to an earlier question of the same wait. */
  async #takenBefore(run: RunId, answer: AnswerMessage, message: string): Promise<Answered> {
    const { row, events } = await readHistory(this.#store, run);
    const about = events.find(({ data }) => "message" in data && data.message === message);
    return (about && this.#settled(about, run, answer, message)) ?? this.#taken(run, answer, message, row.state.seq);
  }

  #settled(event: Event, run: RunId, answer: AnswerMessage, message: string): Answered | Promise<Answered> | undefined {
    const { key: wait } = answer;
    if (!("key" in event.data) || event.data.key !== wait) return undefined;
    if (event.type === "wait.opened") {
      if (event.data.message !== message) return undefined;
      if (answer.again !== undefined) return { state: "recorded", seq: event.seq };
      // Somebody else was first and said that it has to wait on, so this answer is to a question that is not asked now.
      throw new StemmaError(
        "wait.not_open",
        `The wait ${wait} of ${run} was asked anew before this answer came. Look at what it asks now, and answer that.`,
        { data: { run, wait } },
      );
    }
    if (event.type === "wait.refused" && event.data.message === message) {
      const { error } = event.data;
      if (error.code === "wait.not_open")
        throw new StemmaError("wait.not_open", `${error.message} (${run})`, { data: { run, wait } });
      throw new StemmaError("wait.invalid_answer", `The answer to ${wait} of ${run} is refused: ${error.message}`, {
        data: { run, wait, ...(isObject(error.data) ? error.data : {}) },
      });
    }
    return event.type === "wait.answered" || event.type === "wait.failed" ? this.#recorded(event) : undefined;
  }

  /** Sends a signal; whether it is a new one. Throws run.ended. */
  async signal(
    row: RunRow,
    name: string,
    payload: unknown,
    { by, idempotencyKey }: By & Once,
  ): Promise<{ accepted: boolean }> {
    checkName(name, "name of a signal");
    const { text } = toValue(payload, `signal ${name}`);
    const key = checkId(idempotencyKey ?? `signal ${newRunId(this.#clock.now())}`, "idempotencyKey");
    const said = by === undefined ? {} : { by };
    const body: SignalMessage = withBy({ name, ...(text === undefined ? {} : { text }) }, said);
    const sent = await this.#send(row.id, key, "signal", body);
    expectOpen(row, sent);
    return { accepted: sent.accepted };
  }

  /**
   * Says what is to become of a step in doubt; the same again changes nothing, also where another attempt came into doubt
   * since, if it has the same key. Throws step.not_in_doubt.
   */
  async decide(row: RunRow, key: string, decision: Decision, { idempotencyKey, ...by }: By & Once): Promise<void> {
    const { events } = await readHistory(this.#store, row.id);
    const once = idempotencyKey === undefined ? {} : { message: checkId(idempotencyKey, "idempotencyKey") };
    const wanted: DecideMessage = withBy({ key, ...decisionOf(decision, key), ...once }, by);
    const { message } = wanted;
    const said = message === undefined ? undefined : await decidedBefore(this.#store, row.id, events, wanted, message);
    if (said !== undefined) return expectSame(row.id, said.made, wanted.decision, said.same);
    const about = events.findLast((event) => "key" in event.data && event.data.key === key);
    const unwanted = about?.type === "step.in_doubt" ? about.data.unwanted : undefined;
    if (about?.type === "step.in_doubt" && unwanted === undefined && !isTerminal(row.state.status)) {
      const body: DecideMessage = { ...wanted, entered: enteredIn(events, key) };
      const sent = await this.#send(row.id, `decide ${key} ${about.seq}`, "decide", body);
      // Somebody else was faster. That they said the same is fine.
      if (sent.reason === "repeated") await this.#sameDecision(row.id, body, about.seq);
      return;
    }
    // It was said before, and is asked again because the answer was lost.
    if (about?.type !== "step.in_doubt" && (await decidedBefore(this.#store, row.id, events, wanted))?.same === true)
      return;
    const last = about === undefined ? "there is no such step" : `its last event is ${about.type}`;
    const why = unwanted === undefined ? last : `nobody waits for it any more (${unwanted})`;
    const doubtful = isTerminal(row.state.status) ? [] : inDoubt(events);
    throw new StemmaError(
      "step.not_in_doubt",
      `Step ${key} of ${row.id} needs no decision: ${why}. In doubt are: ${named(doubtful)}.`,
      { data: { run: row.id, step: key, inDoubt: doubtful } },
    );
  }

  /** Waits for a decision to become an event. Throws step.not_in_doubt where it is another one. */
  async #sameDecision(run: RunId, wanted: DecideMessage, after: Seq): Promise<void> {
    for (let looks = 0; ; looks += 1) {
      const { events } = await readHistory(this.#store, run, after);
      const before = await decidedBefore(this.#store, run, events, wanted);
      if (before !== undefined) return expectSame(run, before.made, wanted.decision, before.same);
      if (looks >= looksMax) return;
      await this.#lookAgain();
    }
  }

  #lookAgain(): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(lookMs, resolve, { kind: "look" }));
  }

  /** Asks for the end of a run; gives its status and whether the request counts. */
  async cancel(row: RunRow, by: By): Promise<{ accepted: boolean; status: Status }> {
    const { status } = row.state;
    if (isTerminal(status)) return { accepted: false, status };
    const request = withBy<CancelMessage>({}, by);
    const [store, clock] = [this.#store, this.#clock];
    const done = await cancelUnheld(row.id, request, {
      store,
      now: () => clock.now(),
      sent: (messages) => void this.#sent(messages),
      log: this.#log,
    });
    if (done !== undefined) return { accepted: true, status: done === "ended" ? "cancelled" : status };
    const sent = await this.#send(row.id, "cancel", "cancel", request);
    // Whoever asks again learns that it counts, not that it was said before.
    return { accepted: sent.accepted || sent.reason === "repeated", status: (await this.#rowAgain(row)).state.status };
  }

  async pause(row: RunRow, kind: "pause" | "unpause", { idempotencyKey, ...by }: By & Once): Promise<Paused> {
    const once = idempotencyKey === undefined ? newRunId(this.#clock.now()) : checkId(idempotencyKey, "idempotencyKey");
    expectOpen(row, await this.#send(row.id, `${kind} ${once}`, kind, withBy({}, by)));
    return { previous: row.state.status };
  }

  async #rowAgain(row: RunRow): Promise<RunRow> {
    const { runs } = await this.#store.list({ ids: [row.id] });
    return runs[0] ?? row;
  }

  async #send(run: RunId, key: string, kind: string, body: object): Promise<Sent> {
    const message = { run, key, kind, body: JSON.stringify(body) };
    const [sent] = await this.#store.send([message]);
    if (sent === undefined) throw new StemmaError("engine.bug", "The store gave no answer for a message.");
    if (sent.reason === "full") {
      throw new StemmaError(
        "limit.exceeded",
        `The inbox of ${run} is full (${limits.inboxMessagesMax} messages wait).`,
      );
    }
    const seen = this.#sent([message]);
    // Who has it here has heard of it when the request is acknowledged: behind that it begins nothing.
    if (kind === "cancel") await seen;
    return sent;
  }
}

/** The data of a refusal says where the answer does not fit, as `checkFit` wrote it. */
function isObject(data: Json | undefined): data is { [name: string]: Json } {
  return typeof data === "object" && data !== null && !Array.isArray(data);
}

const namedMax = 10;

/** `a, b and 3 more` */
function named(keys: readonly string[]): string {
  if (keys.length === 0) return "none";
  const more = keys.length > namedMax ? ` and ${keys.length - namedMax} more` : "";
  return keys.slice(0, namedMax).join(", ") + more;
}

/** Keys of the steps whose last event says so, and that somebody waits for. */
function inDoubt(events: readonly Event[]): string[] {
  const doubtful = new Set<string>();
  for (const { type, data } of events) {
    if (type === "step.in_doubt" && data.unwanted === undefined) doubtful.add(data.key);
    else if ("key" in data) doubtful.delete(data.key);
  }
  return [...doubtful];
}

/** Number of the attempt that a step was entered by last; 0 where there is none. */
function enteredIn(events: readonly Event[], key: string): number {
  const last = events.findLast(({ type, data }) => type === "step.started" && data.key === key);
  return last?.type === "step.started" ? last.data.attempt : 0;
}

function withBy<T extends object>(body: T, { by, reason }: By): T & By {
  if (by !== undefined) checkId(by, "by");
  if (reason !== undefined) checkId(reason, "reason");
  return { ...body, ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) };
}

function expectOpen(row: RunRow, sent: Sent): void {
  if (sent.reason !== "ended") return;
  throw new StemmaError("run.ended", `Run ${row.id} has ended (${row.state.status}); nothing can be sent to it.`, {
    data: { run: row.id, status: row.state.status },
  });
}
