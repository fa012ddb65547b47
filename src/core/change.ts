/**
 * What a restart or fork changes of the run it comes from. One shape for the API, the command line, the plan and the
 * engine, so that a plan that was looked at is the change that is then made.
 */
import type { Seq } from "./event.ts";

/** A place in the source: at most one of the three. */
export type Place = {
  /** Key of a step: it runs again, and so does everything that is causally behind it. */
  from?: string;
  /** Key of a step: it stands, and everything that is causally behind it runs again. */
  after?: string;
  /** Seq of a checkpoint of the source: the new run goes on from there. */
  checkpoint?: Seq | "last";
};

export type Change = Place & {
  /** The input in the place of the source's. */
  input?: unknown;
  /** JSON Merge Patch (RFC 7396) of the source's input. */
  patch?: unknown;
  /** The context in the place of the source's. */
  context?: unknown;
  /** Outputs of steps, by their keys, in the place of what is recorded. */
  outputs?: Readonly<Record<string, unknown>>;
  /** `all`: nothing is cut but the step of `from` itself. `none`: nothing is reused. Default: `default`. */
  reuse?: "default" | "all" | "none";
  /** Keys of `once` steps that may be entered again with another input. */
  allowEffects?: readonly string[];
  /** An output given for a step that the run never asks for is no error. */
  allowUnused?: boolean;
  /** Why, and who: kept on record. */
  reason?: string;
  by?: string;
  tags?: readonly string[];
  /** One new run for one key, however often it is asked for. */
  idempotencyKey?: string;
};
