/** What is known of the progress of a plan: one ledger, kept in the shared state beside the conversation. */
import type { Conversation, PatternContext } from "./conversation.ts";
import { conversationOf } from "./conversation.ts";

/** All that is known of the work. */
export type Ledger<C = string, P = readonly string[]> = {
  readonly conversation: Conversation<C>;
  /** Null before the first. */
  readonly plan: P | null;
  /** Turns of participants so far. */
  readonly round: number;
  /** How much more often a turn brought nothing than something, since the plan was made. */
  readonly stalls: number;
  /** How often the plan was made anew because nothing moved. */
  readonly replans: number;
  /** What the manager found last. */
  readonly progress: Progress<C> | null;
};

/** What the manager finds: whether it is done, whether the last turn brought something, and who does what next. */
export type Progress<C = string> =
  | { readonly done: true }
  | { readonly done?: false; readonly moving: boolean; readonly next: string; readonly instruction?: C };

/** How it ended; `conversation` and the rest as they were then. */
export type PlanOutcome<C = string, P = readonly string[]> = Ledger<C, P> & {
  readonly ended: "done" | "stalled" | "out of rounds";
};

/** Whoever started the run lets the plan pass, or says what is wrong with it. */
export type PlanReview<C = string> = { readonly approve: true } | { readonly approve: false; readonly comment: C };

/** The conversation is kept by itself, where it costs its own words only. */
type Kept<C, P> = Omit<Ledger<C, P>, "conversation">;

const fresh: Kept<never, never> = { plan: null, round: 0, stalls: 0, replans: 0, progress: null };

export function keptOf<C, P>(ctx: PatternContext<never>): Kept<C, P> {
  return (ctx.getState("ledger") ?? fresh) as Kept<C, P>;
}

export function ledgerOf<C, P>(ctx: PatternContext<never>): Ledger<C, P> {
  return { ...keptOf<C, P>(ctx), conversation: conversationOf<C>(ctx) };
}

/** A turn that brought nothing counts up and one that brought something down; before the first of a plan nothing counts. */
export function stallsOf<C, P>({ stalls }: Ledger<C, P>, progress: Progress<C>, worked: boolean): number {
  if (!worked || progress.done === true) return stalls;
  return progress.moving ? Math.max(0, stalls - 1) : stalls + 1;
}
