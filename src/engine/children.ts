/**
 * Runs called by runs. A child is created in the very commit that says so in its parent, so there is one child for a
 * call, whatever crashes; when it ends, its last commit puts a message into the parent's inbox, so no end is lost. A
 * run that ends, or is cancelled or paused, tells its children first: what happens, happens from the leaves on.
 */
import type { EventData, Origin, Produced, ReuseKey, RunId, Value } from "../core/event.ts";
import { decode } from "../core/json.ts";
import type { RunState } from "../core/reduce.ts";
import type { Message, NewRun } from "../store/store.ts";
import type { Ask } from "./ask.ts";
import type { CallAsk, Log } from "./body.ts";
import { newRunId } from "./id.ts";
import type { ChildMessage, CancelMessage, PauseMessage } from "./messages.ts";
import type { Journal } from "./journal.ts";
import type { CalledFrom } from "./line.ts";
import { buildRun } from "./new-run.ts";
import { isFunctionName } from "./node-function.ts";
import type { Recall } from "./recall.ts";
import type { Encoded } from "./value.ts";
import type { WaitSurroundings } from "./waits.ts";

/** What is handed on to called runs: the context, unless they are given another; what may be reused, where all of a tree shares it. */
export type Inherited = {
  context: Value | undefined;
  offered: Partial<Pick<EventData["run.created"], "offers" | "matching">>;
};

export function inheritedOf(created: EventData["run.created"]): Inherited {
  const { context, offers, matching } = created;
  const shared = sharesOffers(created) && offers !== undefined && matching !== undefined ? { offers, matching } : {};
  return { context, offered: shared };
}

/** Whether the runs that this one calls are offered what it is. */
export function sharesOffers({ workflow, matching }: EventData["run.created"]): boolean {
  return matching === "earliest" && isFunctionName(workflow);
}

/** A child that has not ended, and the seq of the event that says so. */
type OpenChild = { run: RunId; seq: number };

export type ChildrenSurroundings = WaitSurroundings & {
  log: Log;
  cancelUnheld(run: RunId, request: CancelMessage | undefined): Promise<unknown>;
  changed(): void;
  /** The key under which the beginning of a call can be found again. */
  begunKey(ask: Ask): ReuseKey;
  /** The line that a called run belongs to, and the calls that lead to it. */
  lineOf(ask: Ask): CalledFrom;
};

/** A store that did not answer is not asked again at once. */
const againMs = 1000;

export class Children {
  readonly #run: RunId;
  readonly #inherited: Inherited;
  readonly #journal: Journal;
  readonly #with: ChildrenSurroundings;
  #looking = 0;
  readonly #open = new Map<string, OpenChild>();

  /** @param inherited by its children */
  constructor(run: RunId, inherited: Inherited, recall: Recall, journal: Journal, surroundings: ChildrenSurroundings) {
    this.#run = run;
    this.#inherited = inherited;
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
    const caller: Produced = { run: this.#run, key, seq: this.#journal.head + 1 };
    const child = ask.remake?.({ id, at: now(), caller }) ?? this.#newChild(id, ask, ask.input, call, caller);
    const reuse = this.#with.begunKey(ask);
    const data = { ...firstRef(ask), run: id, reuse };
    ask.begunAt = append({ type: "child.started", data, causes: ask.causes }, { create: [child], reuse }).seq;
    this.#open.set(key, { run: id, seq: ask.begunAt });
  }

  #newChild(id: RunId, ask: Ask, input: Encoded, call: CallAsk, caller: Produced): NewRun {
    const { lineOf, now } = this.#with;
    return buildRun({
      id,
      workflow: call.workflow,
      input,
      origin: { kind: "child", ...caller },
      family: this.#journal.state.family,
      at: now(),
      ...ask.anew,
      more: { ...lineOf(ask), ...ask.anew?.more, ...this.#offered(call) },
      ...(call.context === undefined ? this.#context() : { context: call.context }),
      ...(call.tags === undefined ? {} : { tags: call.tags }),
      ...(call.timeoutMs === undefined ? {} : { timeoutMs: call.timeoutMs }),
    });
  }

  #context(): { context?: { value: Value } } {
    const { context } = this.#inherited;
    return context === undefined ? {} : { context: { value: context } };
  }

  #offered({ workflow }: CallAsk): Inherited["offered"] {
    return isFunctionName(workflow.name) ? this.#inherited.offered : {};
  }

  /** Whether it is being found out if one can be ended without a worker. */
  get busy(): boolean {
    return this.#looking > 0;
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
    this.#journal.send([cancelMessage(this.#run, child.run, reason)]);
  }

  /**
   * Messages of this run are with their runs. A called run that no worker may come to is ended here; until that is
   * through, this run is not given back, so that a crash cannot come between. So is a caller that no worker may come to
   * and that was only waiting for this one to be cancelled.
   */
  sent(messages: readonly Message[]): void {
    for (const { run, kind, body } of messages) {
      if (kind === "cancel") void this.#endUnheld(run, decode(body) as CancelMessage);
      else if (kind === "child" && (decode(body) as unknown as ChildMessage).status === "cancelled")
        void this.#endUnheld(run, undefined);
    }
  }

  async #endUnheld(run: RunId, request: CancelMessage | undefined): Promise<void> {
    const { cancelUnheld, clock, isOver, log, changed } = this.#with;
    this.#looking += 1;
    for (let done = false; !done && !isOver();) {
      done = await cancelUnheld(run, request).then(
        () => true,
        (error: unknown) => {
          log.error("A run of the family could not be looked at; it is tried again", { run, error: String(error) });
          return new Promise<false>((resolve) => clock.after(againMs, () => resolve(false)));
        },
      );
    }
    this.#looking -= 1;
    changed();
  }

  cancelAll(reason: string): void {
    for (const key of this.#open.keys()) this.cancel(key, reason);
  }

  /** @param seq of the event that says so of the parent: each pause of it is another one for the child */
  pauseAll(kind: "pause" | "unpause", seq: number, body: PauseMessage): void {
    const handedOn: PauseMessage = { ...body, caller: this.#run };
    const messages = [...this.#open.values()].map(({ run }) =>
      message(run, `${kind} ${seq} by ${this.#run}`, kind, handedOn),
    );
    if (messages.length > 0) this.#journal.send(messages);
  }
}

function message(run: RunId, key: string, kind: string, body: object): Message {
  return { run, key, kind, body: JSON.stringify(body) };
}

/** What a run tells one that it called and does not want any more. */
export function cancelMessage(caller: RunId, child: RunId, reason: string): Message {
  return message(child, `cancel by ${caller}`, "cancel", unwantedBy(caller, reason));
}

export function unwantedBy(caller: RunId, reason: string): CancelMessage {
  return { by: caller, reason: `the run that called it does not want it any more: ${reason}` };
}

/** What a child tells its parent with its last commit. */
export function endMessage(run: RunId, state: RunState, end: Omit<ChildMessage, "run" | "key">): Message | undefined {
  const caller = callerOf(state.origin);
  if (caller === undefined) return undefined;
  const body: ChildMessage = { run, key: caller.key, ...end };
  return message(caller.run, `child ${run}`, "child", body);
}

/** The call that made a run; one that was restarted inside the restart of its caller was called by that. */
export function callerOf(origin: Origin): Produced | undefined {
  if (origin.kind === "child") return origin;
  return origin.kind === "restart" || origin.kind === "fork" ? origin.caller : undefined;
}
