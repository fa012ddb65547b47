/**
 * What a run does on behalf of its body: asks are begun here, held back while the run recalls or is paused, and taken
 * back when nobody wants them any more. What began is settled on record; what never began leaves no trace.
 */
import type { Unwanted } from "../core/event.ts";
import type { Ask, Asks } from "./ask.ts";
import { isWithin, isWithinAny } from "./ask.ts";
import type { CallAsk } from "./body.ts";
import { notAskedAgain } from "./carried.ts";
import type { Children } from "./children.ts";
import type { Journal } from "./journal.ts";
import type { Recall } from "./recall.ts";
import type { Signals } from "./signals.ts";
import type { StepRunner } from "./step-runner.ts";
import { closings } from "./unasked.ts";
import type { WaitSurroundings } from "./waits.ts";
import { beginWait, rearmWait } from "./waits.ts";

export type UndertakingsParts = {
  recall: Recall;
  asks: Asks;
  journal: Journal;
  steps: StepRunner;
  signals: Signals;
  children: Children;
  reuse: { takes(ask: Ask): boolean };
  /** Told of what would be begun, where nothing is. */
  missed: ((ask: Ask) => void) | undefined;
  waits: WaitSurroundings;
  /** Whether the run takes on anything: recall is over, and it is not being handed back. */
  isOpen(): boolean;
};

export class Undertakings {
  readonly #with: UndertakingsParts;
  #held = new Set<Ask>();
  /** Scopes that lost a race. */
  readonly #lost = new Set<string>();
  /** Steps in flight finish, and answers are recorded; nothing else begins. */
  paused: boolean;

  constructor(paused: boolean, parts: UndertakingsParts) {
    this.#with = parts;
    this.paused = paused;
  }

  /** Asks that wait for the run to go live or to be unpaused. */
  get held(): readonly Ask[] {
    return [...this.#held];
  }

  /** Whether asks of a scope are not wanted any more. */
  isLost(scope: string): boolean {
    return isWithinAny(scope, this.#lost);
  }

  /** Begins an ask, or holds it until it may begin. */
  begin(ask: Ask): void {
    // While it was held, somebody may have decided what became of it.
    if (ask.withdrawn !== undefined || ask.stage === "recorded" || ask.stage === "delivered") return;
    if (!this.#with.isOpen() || (this.paused && !isOpenOnRecord(ask))) return this.hold(ask);
    if (this.#with.reuse.takes(ask)) return;
    if (this.#with.missed !== undefined) return this.#with.missed(ask);
    ask.stage = "begun";
    const { work } = ask;
    if (work.kind === "step") this.#with.steps.begin(ask);
    else if (work.kind === "call") this.#call(ask, work.ask);
    else if (!this.#with.signals.answer(ask, work.ask)) beginWait(ask, work.ask, this.#with.waits);
  }

  /** A step that was begun and may not go on now. */
  hold(ask: Ask): void {
    this.#held.add(ask);
  }

  /** Begins what was held and may begin now. */
  release(): void {
    const held = this.#held;
    this.#held = new Set();
    for (const ask of held) this.begin(ask);
  }

  /** The run was at rest and is taken up: an open wait has its clock set again. */
  takeUp(ask: Ask): void {
    if (ask.stage === "begun" && ask.until !== undefined) rearmWait(ask, ask.until, this.#with.waits);
  }

  #call(ask: Ask, call: CallAsk): void {
    this.#with.children.begin(ask, call);
  }

  /** Closes the waits that were carried and that the body has not asked for again before it goes on; whether there were any. */
  closeCarried(reason: string = notAskedAgain): boolean {
    const { carried } = this.#with.asks;
    if (!carried.areLeft) return false;
    for (const { key, seq } of carried.close())
      this.#with.journal.append({ type: "wait.withdrawn", data: { key, reason }, causes: [seq] });
    return true;
  }

  /** Takes back all asks of a scope. */
  withdrawScope(scope: string): void {
    this.#lost.add(scope);
    for (const ask of this.#with.asks.open()) if (isWithin(ask.identity.scope, scope)) this.withdraw(ask, "lost race");
  }

  withdrawAll(reason: Unwanted): void {
    const { asks, journal, recall } = this.#with;
    this.closeCarried(reason);
    for (const ask of asks.open()) this.withdraw(ask, reason);
    // Where the body was recalled, there is none of these.
    for (const draft of closings(recall, reason)) journal.append(draft);
  }

  withdraw(ask: Ask, reason: Unwanted): void {
    if (ask.withdrawn !== undefined) return;
    ask.withdrawn = reason;
    ask.stop?.();
    if (ask.stage === "recorded") return;
    const { asks, journal, steps, children } = this.#with;
    if (ask.work.kind === "step" && (steps.withdraw(ask) || steps.leaveInDoubt(ask))) return;
    if (ask.begunAt === undefined) return asks.forget(ask);
    const { key } = ask.ref;
    // A child goes on until it has ended; its end is what settles the call.
    if (ask.work.kind === "call") children.cancel(key, reason);
    else if (ask.work.kind === "step") journal.recordOutcome(ask, { type: "step.cancelled", data: { key, reason } });
    else journal.recordOutcome(ask, { type: "wait.withdrawn", data: { key, reason } });
  }
}

/** Whether a wait or a call is under way already, so that its end may come while the run is paused. */
function isOpenOnRecord({ work, recorded }: Ask): boolean {
  return work.kind !== "step" && recorded !== undefined && (work.kind === "call" || recorded.opened !== undefined);
}
