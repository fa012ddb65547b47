/**
 * Runs called by runs. A child is created in the very commit that says so in its parent, so there is one child for a
 * call, whatever crashes; when it ends, its last commit puts a message into the parent's inbox, so no end is lost. A
 * run that ends, or is cancelled or paused, tells its children first: what happens, happens from the leaves on.
 */
import type { RunId, Value } from "../core/event.ts";
import type { RunState } from "../core/reduce.ts";
import type { Message } from "../store/store.ts";
import type { Ask } from "./ask.ts";
import type { CallAsk } from "./body.ts";
import { newRunId } from "./id.ts";
import type { ChildMessage, CancelMessage, PauseMessage } from "./messages.ts";
import type { Journal } from "./journal.ts";
import { buildRun } from "./new-run.ts";
import type { Recall } from "./recall.ts";
import type { WaitSurroundings } from "./waits.ts";

/** A child that has not ended, and the seq of the event that says so. */
type OpenChild = { run: RunId; seq: number };

export class Children {
  readonly #run: RunId;
  readonly #context: Value | undefined;
  readonly #journal: Journal;
  readonly #with: WaitSurroundings;
  readonly #open = new Map<string, OpenChild>();

  /** @param context of the run, which its children inherit */
  constructor(
    run: RunId,
    context: Value | undefined,
    recall: Recall,
    journal: Journal,
    surroundings: WaitSurroundings,
  ) {
    this.#run = run;
    this.#context = context;
    this.#journal = journal;
    this.#with = surroundings;
    for (const { key, child, outcome, first } of recall.noted()) {
      if (child !== undefined && outcome === undefined) this.#open.set(key, { run: child, seq: first });
    }
  }

  /** How many have not ended. */
  get open(): number {
    return this.#open.size;
  }

  /** Creates the child of a call, unless it is on record already. Its end comes as a message. */
  begin(ask: Ask, call: CallAsk): void {
    if (ask.recorded !== undefined || ask.input === undefined) return;
    const { now, append, firstRef } = this.#with;
    const id = newRunId(now());
    const { key } = ask.ref;
    const { state } = this.#journal;
    const child = buildRun({
      id,
      workflow: call.workflow,
      input: ask.input,
      origin: { kind: "child", run: this.#run, key, seq: this.#journal.head + 1 },
      family: state.family,
      at: now(),
      ...(call.context === undefined ? this.#inherited() : { context: call.context }),
      ...(call.tags === undefined ? {} : { tags: call.tags }),
      ...(call.timeoutMs === undefined ? {} : { timeoutMs: call.timeoutMs }),
    });
    const data = { ...firstRef(ask), run: id };
    ask.begunAt = append({ type: "child.started", data, causes: ask.causes }, { create: [child] }).seq;
    this.#open.set(key, { run: id, seq: ask.begunAt });
  }

  #inherited(): { context?: { value: Value } } {
    return this.#context === undefined ? {} : { context: { value: this.#context } };
  }

  /** A child has ended: false where that is known already. Gives the seq of the event that started it. */
  ended(key: string): number | undefined {
    const child = this.#open.get(key);
    this.#open.delete(key);
    return child?.seq;
  }

  cancel(key: string, reason: string): void {
    const child = this.#open.get(key);
    if (child === undefined) return;
    const body: CancelMessage = {
      by: this.#run,
      reason: `the run that called it does not want it any more: ${reason}`,
    };
    this.#journal.send([message(child.run, `cancel by ${this.#run}`, "cancel", body)]);
  }

  cancelAll(reason: string): void {
    for (const key of this.#open.keys()) this.cancel(key, reason);
  }

  /** @param seq of the event that says so of the parent: each pause of it is another one for the child */
  pauseAll(kind: "pause" | "unpause", seq: number, body: PauseMessage): void {
    const messages = [...this.#open.values()].map(({ run }) =>
      message(run, `${kind} ${seq} by ${this.#run}`, kind, body),
    );
    if (messages.length > 0) this.#journal.send(messages);
  }
}

function message(run: RunId, key: string, kind: string, body: object): Message {
  return { run, key, kind, body: JSON.stringify(body) };
}

/** What a child tells its parent with its last commit. */
export function endMessage(run: RunId, state: RunState, end: Omit<ChildMessage, "run" | "key">): Message | undefined {
  if (state.origin.kind !== "child") return undefined;
  const body: ChildMessage = { run, key: state.origin.key, ...end };
  return message(state.origin.run, `child ${run}`, "child", body);
}
