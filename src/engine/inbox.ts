/**
 * Messages from outside, and what they become in the history of the run that they are for. They are taken in one after
 * the other, in the order in which they came; one that waits for a schema to look at it holds up those behind it.
 */
import type { Digest, RunId } from "../core/event.ts";
import { decode, parse } from "../core/json.ts";
import type { Received } from "../store/store.ts";
import type { Answers } from "./answers.ts";
import type { Ask, Asks } from "./ask.ts";
import type { Log } from "./body.ts";
import type { Children } from "./children.ts";
import { decide } from "./decision.ts";
import type { Journal } from "./journal.ts";
import type {
  AnswerMessage,
  CancelMessage,
  ChildMessage,
  DecideMessage,
  PauseMessage,
  SignalMessage,
} from "./messages.ts";
import type { PauseKind } from "./pausing.ts";
import type { Signals } from "./signals.ts";
import type { StepRunner } from "./step-runner.ts";
import { toValue } from "./value.ts";

/** Messages that wait, with the texts of what they refer to. */
export type Mail = { messages: readonly Received[]; texts: ReadonlyMap<Digest, string> };

/** Where messages go. */
export type InboxParts = {
  log: Log;
  journal: Journal;
  asks: Asks;
  answers: Answers;
  signals: Signals;
  children: Children;
  steps: StepRunner;
};

export type InboxLife = {
  run: RunId;
  /** Whether the run can still be given anything. */
  isOpen(): boolean;
  cancel(request: CancelMessage): void;
  pause(kind: PauseKind, request: PauseMessage): void;
  changed(): void;
  fault(error: unknown): void;
};

export class Inbox {
  readonly #with: InboxParts & InboxLife;
  #waiting: { message: Received; texts: Mail["texts"] }[] = [];
  /** Number of the last message that is taken in or waits here. */
  #seen: number;
  /** How many values are being looked at. */
  #busy = 0;

  constructor(parts: InboxParts & InboxLife) {
    this.#with = parts;
    this.#seen = parts.journal.inbox;
  }

  /** Whether a message is being looked at. */
  get busy(): boolean {
    return this.#busy > 0;
  }

  /** The run is taken up again: what came is looked at from where its record stands. */
  reopen(): void {
    this.#waiting = [];
    this.#seen = this.#with.journal.inbox;
  }

  /** Something else looks at a value; what comes next waits for it. */
  wait(later: Promise<void> | void): void {
    if (later instanceof Promise) this.#after(later);
  }

  /** Takes in what is new. */
  take({ messages, texts }: Mail): void {
    for (const message of messages) {
      if (message.number <= this.#seen) continue;
      this.#seen = message.number;
      this.#waiting.push({ message, texts });
    }
    this.#next();
  }

  /** What was held back may be due. */
  look(): void {
    if (this.#waiting.length > 0) this.#next();
  }

  /**
   * Whether it answers a wait that a checkpoint carried and the body has not asked again yet: it will, or ask for something
   * else, as soon as its own code comes to it. A run that is to be cancelled does not wait for that.
   */
  #isEarly({ kind, body }: Received): boolean {
    if (kind !== "answer" || !this.#with.asks.carried.owes((decode(body) as unknown as AnswerMessage).key))
      return false;
    return !this.#waiting.some(({ message }) => message.kind === "cancel");
  }

  #next(): void {
    while (!this.busy && this.#with.isOpen()) {
      const next = this.#waiting[0];
      if (next === undefined || this.#isEarly(next.message)) return;
      this.#waiting.shift();
      const { number } = next.message;
      const later = this.#takeOne(next.message, next.texts);
      // One that is still looked at is not taken in: if this process dies or is stopped now, the next one looks at it.
      if (later instanceof Promise) this.#after(later.then(() => this.#with.journal.takenIn(number)));
      else this.#with.journal.takenIn(number);
    }
  }

  #after(later: Promise<void>): void {
    this.#busy += 1;
    later.then(
      () => {
        this.#busy -= 1;
        this.#next();
        this.#with.changed();
      },
      (error: unknown) => this.#with.fault(error),
    );
  }

  /** A promise where it takes a while. */
  #takeOne(message: Received, texts: Mail["texts"]): Promise<void> | void {
    const body = decode(message.body);
    switch (message.kind) {
      case "child":
        return this.#childEnded(body as unknown as ChildMessage, texts);
      case "answer":
        return this.#answered(message, body as unknown as AnswerMessage);
      case "signal":
        return this.#signalled(message, body as unknown as SignalMessage);
      case "cancel":
        return this.#cancelled(message, body as CancelMessage);
      case "pause":
      case "unpause":
        return this.#with.pause(message.kind, body as PauseMessage);
      case "decide":
        return this.#decided(body as unknown as DecideMessage);
      default:
        return this.#unanswered(message);
    }
  }

  #childEnded(end: ChildMessage, texts: Mail["texts"]): undefined {
    const { journal, children, asks } = this.#with;
    const { run, key, status, output, error } = end;
    const opened = children.ended(key);
    if (opened === undefined) return;
    const data = {
      key,
      run,
      status,
      ...(output === undefined ? {} : { output }),
      ...(error === undefined ? {} : { error }),
    };
    const ask = asks.waiting(key);
    // Nobody waits for it any more, or nobody asked, in a run that ends without its body; it is on record all the same.
    asks.forgetLost(key);
    if (ask === undefined) journal.append({ type: "child.ended", data, causes: [opened] });
    else journal.recordOutcome(ask, { type: "child.ended", data }, { known: known(output, texts) });
  }

  #answered(message: Received, answer: AnswerMessage): Promise<void> | void {
    const { asks, answers } = this.#with;
    const ask = asks.waiting(answer.key);
    if (ask?.work.kind !== "wait" || ask.work.ask.kind === "timer") return this.#unanswered(message);
    return answers.take(ask, answer, message.key, () => this.#unanswered(message));
  }

  #signalled(received: Received, message: SignalMessage): Promise<void> | void {
    const { asks, answers, signals } = this.#with;
    const { name, text, by } = message;
    const { key } = received;
    const value = toValue(text === undefined ? undefined : parse(text), `signal ${name}`);
    const ask = waitingFor(asks, name);
    if (ask === undefined) return signals.keep(name, value, by, key);
    const source = { message: key, ...(by === undefined ? {} : { by }) };
    // Somebody else may wait for it by then.
    return answers.accept(ask, value, source, () => this.wait(this.#signalled(received, message)));
  }

  /** A kept signal was not taken after all: somebody else may wait for it by now. */
  offer(name: string): void {
    const ask = waitingFor(this.#with.asks, name);
    if (ask?.work.kind === "wait") this.#with.signals.answer(ask, ask.work.ask);
  }

  #cancelled({ key }: Received, { by, reason }: CancelMessage): undefined {
    const { journal } = this.#with;
    const request = { ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) };
    // Asked again, it is cancelled all the same, by whom asked first.
    if (journal.state.cancel !== undefined) return;
    journal.append({ type: "cancel.requested", data: { ...request, message: key }, causes: [journal.head] });
    this.#with.cancel(request);
  }

  #decided(message: DecideMessage): undefined {
    const { asks, journal, steps, log, run } = this.#with;
    const ask = asks.inDoubt(message.key);
    const { key, entered } = message;
    if (ask === undefined) log.warn("A decision is about a step that is not in doubt", { run, step: key });
    // Meanwhile it was found out otherwise that it may be entered again; of that attempt nobody has said anything.
    else if (entered !== undefined && entered !== enteredIn(ask))
      log.warn("A decision is about an attempt before the one that is in doubt", { run, step: key });
    else decide(ask, message, journal, steps);
  }

  #unanswered({ kind, key }: Received): undefined {
    this.#with.log.warn("A message answers nothing that is open", { run: this.#with.run, kind, key });
  }
}

/** Number of the attempt that a step was entered by last; 0 where there is none. */
function enteredIn({ attempt, recorded }: Ask): number {
  return attempt ?? recorded?.entered ?? 0;
}

function known(output: ChildMessage["output"], texts: Mail["texts"]): { digest: Digest; text: string }[] {
  if (output === undefined || !("digest" in output)) return [];
  const text = texts.get(output.digest);
  return text === undefined ? [] : [{ digest: output.digest, text }];
}

/** The first of those who wait for a signal. */
function waitingFor(asks: Asks, name: string): Ask | undefined {
  for (const ask of asks.open()) {
    if (ask.stage !== "begun" || ask.withdrawn !== undefined || ask.work.kind !== "wait") continue;
    const { kind, signal = ask.work.ask.name } = ask.work.ask;
    if (kind === "signal" && signal === name) return ask;
  }
  return undefined;
}
