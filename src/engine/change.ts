/** What a restart or fork changes, as it is asked for, and whether it can be meant so. */
import { StemmaError } from "../core/error.ts";
import { checkId, checkTags } from "../core/name.ts";

/** What a restart or fork changes. With nothing in it, a restart repairs what failed and a fork begins anew. */
export type Change = {
  /** Key of a step that runs again, and with it everything that was caused by it. */
  from?: string;
  /**
   * Where `from` is a call of a function of a node: keys of further calls, down to the step that is meant. The calls on the
   * way are carried out again, but what stands beside them is not given up. With `matching: "earliest"` only.
   */
  inside?: readonly string[];
  /** Key of a step behind which everything runs again. */
  after?: string;
  /** The state checkpoint to go on from: seq of its event, or "last". In a fork, what is behind it runs again. */
  checkpoint?: number | "last";
  /** In the place of the source's input. */
  input?: unknown;
  /** A change of the source's input, as a JSON Merge Patch (RFC 7396). */
  patch?: unknown;
  /** In the place of the source's context. */
  context?: unknown;
  /** What steps, waits or calls return, by key, without being carried out. */
  outputs?: { readonly [key: string]: unknown };
  /** "none" runs everything again; "all" also offers what earlier restarts and forks had cut. */
  reuse?: "default" | "all" | "none";
  /**
   * Which recorded success an ask gets where several are equal: "in order", the nth of equal asks the nth success (so
   * loops and polling stay right), or "earliest", any number of equal asks the earliest success, and no failure is
   * replayed. It holds for this one run, and for called runs that are restarted inside it.
   */
  matching?: "in order" | "earliest";
  /**
   * Keys or names of `once` steps that may be entered again although they were, with another input or on purpose. A name
   * stands for all steps of that name, wherever they are; one of several is meant by its number: `charge#2`, and the first
   * by `charge#1`. Those of a called run stand behind the name of the call: `shop/charge`.
   */
  allowEffects?: readonly string[];
  /** Whether `outputs` and `allowEffects` may name what the source never asked for. */
  allowUnused?: boolean;
  /** Why, and by whom; kept on record. */
  reason?: string;
  by?: string;
  /** In the place of the tags that the source was started with. */
  tags?: readonly string[];
  /** However often it is asked for with this key, it is one run. */
  idempotencyKey?: string;
};

const known: ReadonlySet<string> = new Set([
  "from",
  "inside",
  "after",
  "checkpoint",
  "input",
  "patch",
  "context",
  "outputs",
  "reuse",
  "matching",
  "allowEffects",
  "allowUnused",
  "reason",
  "by",
  "tags",
  "idempotencyKey",
] satisfies (keyof Change)[]);

/** Whether the new run differs from its source in more than where it goes on: then it is a fork, whatever it is called. */
export function isFork(change: Change): boolean {
  return "input" in change || "patch" in change || "context" in change || change.outputs !== undefined;
}

/** Throws usage.invalid, name.invalid where a change cannot be meant so: nothing is guessed. */
export function checkChange(change: Change): Change {
  if (typeof change !== "object" || change === null) throw invalid(`Expected a change, got ${typeof change}`);
  const stranger = Object.keys(change).find((name) => !known.has(name));
  if (stranger !== undefined) throw invalid(`${JSON.stringify(stranger)} is no part of a change`);
  const places = (["from", "after", "checkpoint"] as const).filter((name) => change[name] !== undefined);
  if (places.length > 1) throw invalid(`Expected one of from, after and checkpoint, got ${places.join(" and ")}`);
  if ("input" in change && "patch" in change) throw invalid("Expected input or patch, got both");
  const { reuse = "default", from, after, checkpoint } = change;
  if (!["default", "all", "none"].includes(reuse)) {
    throw invalid(`Expected reuse to be "default", "all" or "none", got ${JSON.stringify(reuse)}`);
  }
  if (reuse !== "default" && (from !== undefined || after !== undefined)) {
    throw invalid(`reuse: "${reuse}" leaves nothing for ${from === undefined ? "after" : "from"} to say`);
  }
  const { matching = "in order" } = change;
  if (matching !== "in order" && matching !== "earliest") {
    throw invalid(`Expected matching to be "in order" or "earliest", got ${JSON.stringify(matching)}`);
  }
  if (change.inside !== undefined && (from === undefined || matching !== "earliest")) {
    throw invalid('"inside" says more of "from", and takes matching "earliest"');
  }
  if (checkpoint !== undefined && checkpoint !== "last" && !(Number.isSafeInteger(checkpoint) && checkpoint >= 0)) {
    throw invalid(`Expected checkpoint to be "last" or the seq of one, got ${JSON.stringify(checkpoint)}`);
  }
  for (const name of ["from", "after"] as const) checkKey(change[name], name);
  checkKeys(change.allowEffects, "allowEffects");
  checkKeys(change.inside, "inside");
  const { outputs } = change;
  if (outputs !== undefined && (typeof outputs !== "object" || outputs === null || Array.isArray(outputs))) {
    throw invalid("Expected outputs to be an object with a value for each key");
  }
  if (change.reason !== undefined) checkId(change.reason, "reason");
  if (change.by !== undefined) checkId(change.by, "by");
  if (change.idempotencyKey !== undefined) checkId(change.idempotencyKey, "idempotencyKey");
  if (change.tags !== undefined) checkTags(change.tags);
  return change;
}

function checkKey(key: unknown, name: string): void {
  if (key === undefined || (typeof key === "string" && key !== "")) return;
  throw invalid(`Expected ${name} to be the key of a step such as "charge", got ${JSON.stringify(key)}`);
}

function checkKeys(keys: unknown, name: string): void {
  if (keys === undefined || (Array.isArray(keys) && keys.every((key) => typeof key === "string"))) return;
  throw invalid(`Expected ${name} to be a list of keys, got ${JSON.stringify(keys)}`);
}

function invalid(why: string): StemmaError {
  return new StemmaError("usage.invalid", `${why}. See the options of restart and fork.`);
}
