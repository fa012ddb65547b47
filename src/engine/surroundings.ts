/** What a worker gives to the activations of its runs. */
import type { RunId } from "../core/event.ts";
import type { Message, Store } from "../store/store.ts";
import type { Ask } from "./ask.ts";
import type { Log } from "./body.ts";
import type { Clock } from "./clock.ts";
import type { Committer } from "./committer.ts";
import type { Delivery } from "./delivery.ts";
import type { CancelMessage } from "./messages.ts";

/** Durations are milliseconds. */
export type Surroundings = {
  store: Store;
  clock: Clock;
  committer: Committer;
  delivery: Delivery;
  log: Log;
  worker: string;
  fingerprint: string;
  /** How long a body must have been quiet before its run is suspended. */
  lingerMs: number;
  /** How long a body may do nothing that the engine sees while records are still unasked. */
  recallGraceMs: number;
  /** How long an aborted attempt may take to settle. */
  abortGraceMs: number;
  /** How often a run may be claimed without moving on before it is set aside. */
  poisonAfter: number;
  /** A promise while the worker's lease is too old to begin anything new; undefined when it is fresh. */
  hold(): Promise<void> | undefined;
  /** Where nothing is to happen: told of what would be begun, which is not. */
  missed?: (ask: Ask) => void;
  /** Messages were sent to other runs, or runs created; some may be this very process's to see to. */
  sent(messages: readonly Message[]): void;
  /** Reads the inbox of a run that is held here, which a flush has told of. */
  look(run: RunId): void;
  /** Ends a run that nobody holds and that no worker may come to; without a request, if somebody has asked for it. */
  cancelUnheld(run: RunId, request: CancelMessage | undefined): Promise<unknown>;
};
