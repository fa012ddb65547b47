/**
 * Keys under which recorded successes are found again. Two asks have one key only if what was recorded for the one is
 * right for the other: because their declared inputs are equal, or because everything is equal that the code in front
 * of them had been given. Where neither can be known, keys differ, and the step runs.
 */
import type { Digest, ReuseKey } from "./event.ts";
import type { Hash } from "./identity.ts";
import { reuseKeyDigits, scopeWithoutIndices } from "./identity.ts";
import { canonical } from "./json.ts";
import type { Json } from "./json.ts";

/** What a body is given at its start. */
export type Beginning = { seed: string; input: Digest; context: Digest | null };

/** The digest of everything given to a body that has been given nothing yet. */
export function prefixAtStart(hash: Hash, { seed, input, context }: Beginning): ReuseKey {
  return short(hash, ["start", seed, input, context]);
}

/** The digest behind something that the body was given. `what` says to which ask, and `outcome` is its text. */
export function prefixBehind(hash: Hash, prefix: ReuseKey, what: string, outcome: string): ReuseKey {
  return hash(`${prefix} ${what.length} ${what}${outcome}`).slice(0, reuseKeyDigits);
}

/** An ask in a place: the n-th there, by a body of this code, which had been given `prefix` before. */
export type Placed = { scope: string; name: string; n: number; code: string; prefix: ReuseKey };

/** The key of a step with undeclared input: it may use whatever the body had been given before it was asked. */
export function undeclaredKey(hash: Hash, { scope, name, n, code, prefix }: Placed, version: number): ReuseKey {
  return short(hash, ["undeclared", scope, name, n, version, code, prefix]);
}

/** The key of a step whose author says that it is always the same, whatever is before it. */
export function alwaysKey(hash: Hash, step: { scope: string; name: string; n: number; version: number }): ReuseKey {
  return short(hash, ["always", step.scope, step.name, step.n, step.version]);
}

/** What a wait asks for. */
export type Question = { kind: string; prompt: string | null; schema: Json };

/** The key of a wait with declared input: its answer is right exactly where the same is asked about the same. */
export function waitKey(hash: Hash, name: string, input: Digest, { kind, prompt, schema }: Question): ReuseKey {
  return short(hash, ["wait", name, input, kind, prompt, schema]);
}

/** The key of a wait that does not say what it is about: it is about whatever was before it. */
export function undeclaredWaitKey(hash: Hash, { scope, name, n, code, prefix }: Placed, question: Question): ReuseKey {
  const { kind, prompt, schema } = question;
  return short(hash, ["undeclared wait", scope, name, n, kind, prompt, schema, code, prefix]);
}

/** What a call calls: the workflow, and what it is given. */
export type Called = {
  scope: string;
  name: string;
  workflow: string;
  version: number;
  /** Its code; null where it does not matter. */
  code: string | null;
  input: Digest;
  context: Digest | null;
};

/** The key of a call. A called run is a function of its workflow's code, its input and its context. */
export function callKey(hash: Hash, { scope, name, workflow, version, code, input, context }: Called): ReuseKey {
  return short(hash, ["call", scopeWithoutIndices(scope), name, workflow, version, code, input, context]);
}

/**
 * The key under which a call's beginning is found, whatever code it was carried out by, and in whatever context: a run
 * that failed, or whose code is another by now, can be restarted inside the restart of its caller, and then it reuses
 * what it can. Whoever does not go on with it has to know of it all the same, because both have one place in the line.
 */
export function begunKey(hash: Hash, { scope, name, workflow, input }: Begun): ReuseKey {
  return short(hash, ["begun", scopeWithoutIndices(scope), name, workflow, input]);
}

export type Begun = Pick<Called, "scope" | "name" | "workflow" | "input">;

function short(hash: Hash, parts: Json): ReuseKey {
  return hash(canonical(parts)).slice(0, reuseKeyDigits);
}
