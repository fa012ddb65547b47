/** What a caller can say beside what is asked of a run: when it is started, planned, answered. */
import type { Duration } from "../core/duration.ts";
import type { RunId } from "../core/event.ts";
import type { Queryable } from "../store/store.ts";

export type PlanOptions = {
  /** Ask the code too, which has to be here: exact up to the first step of each branch that is not reused. */
  dryRun?: boolean;
  /** What is planned; by default a restart of a run that has ended, and a fork of another or with a change of values. */
  kind?: "restart" | "fork";
};

export type RunOptions = {
  /** A run id of one's own making: starting it again gives the run that is there. */
  id?: RunId;
  /** A second value given with the run: tenant, model, settings. */
  context?: unknown;
  /** Starting a workflow again with the same key gives the run that is there. */
  idempotencyKey?: string;
  /** When it may first be worked on. */
  delay?: Duration;
  /** Lower is more urgent; 0 is normal. */
  priority?: number;
  tags?: readonly string[];
  /** Who starts it; kept on record. */
  by?: string;
  /** How long it may take from its first start, waits included; in place of the workflow's own limit. */
  timeout?: Duration;
  /**
   * A client of `pg` in the midst of a transaction, for stores that offer it (`stemma/postgres`): the run is there from
   * the transaction's COMMIT on, and never if it is rolled back. Until then it can be neither found nor waited for.
   */
  client?: Queryable;
};

export type AgainOptions = {
  /** What was said, for the record. */
  value?: unknown;
  prompt?: string;
  reason?: string;
  /** From now. Default: as before. */
  expires?: Duration;
};

export type AnswerOptions = {
  /** A second answer with the same key is the same answer. Default: one answer for each wait. */
  idempotencyKey?: string;
  /** Who answers; kept on record. */
  by?: string;
};
