/**
 * What a store says about itself beyond the twelve promises: its schema, its settings as read back, the health of its
 * files, its clock, its workers. For people and for `stemma doctor`; the engine never asks. A store that has nothing
 * of the kind to say need not implement it.
 */
import type { Json } from "../core/json.ts";

/** One thing that was looked at. */
export type Finding = {
  /** What was looked at: a short name, the same in every version, such as `schema` or `leases`. */
  check: string;
  /** `warning`: somebody should look at it some day. `problem`: something does not work, or will be lost. */
  level: "ok" | "warning" | "problem";
  /** What was found, in a sentence. */
  message: string;
  /** What to do; left out where there is nothing to do. */
  advice?: string;
  /** The figures, for programs. Times are milliseconds since 1970 by the store's clock, sizes are bytes. */
  data?: { readonly [name: string]: Json };
};

export type Inspectable = {
  /**
   * Looks at the store and changes nothing. What cannot be looked at is a finding too, so that one damaged part does not
   * hide the rest; it throws only where the store cannot be opened at all.
   *
   * @throws StemmaError `store.*`
   */
  inspect(): Promise<readonly Finding[]>;
};

/** Whether a store can say something about itself. */
export function isInspectable(store: object): store is Inspectable {
  return "inspect" in store && typeof store.inspect === "function";
}
