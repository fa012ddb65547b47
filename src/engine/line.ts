/** Where a run stands in its restart / fork line: what services are sent so that they do not act twice depends on it. */
import type { EventOf, RunId } from "../core/event.ts";
import { pathOf } from "../core/identity.ts";
import type { Ask } from "./ask.ts";

export type Line = { line: RunId; calls: readonly string[] };

/** What a called run is told of where it stands, and which of its steps may be entered again. */
export type CalledFrom = { line: RunId; calls: string[]; allowEffects?: string[] };

export function lineOf(run: RunId, { data }: EventOf<"run.created">): Line {
  return { line: data.line ?? run, calls: data.calls ?? [] };
}

/**
 * The calls as the ledger of effects knows them. What was done once in a called run is done, also where the success of
 * the call was given up: that makes other keys for services, and not another effect.
 */
export function callsInLedger(calls: readonly string[]): string[] {
  return calls.map((call) => call.replace(/~\d+$/, ""));
}

const inputDigits = 16;

/**
 * The line of the run that a call makes. The call is told from others by its identity, like any step, and by how often
 * its success was given up on purpose.
 */
export function calledLine(
  { line, calls }: Line,
  { identity }: Pick<Ask, "identity">,
  generation: number,
): { line: RunId; calls: string[] } {
  const { scope, name, input, n } = identity;
  const call = `${pathOf(scope, name)}#${input?.slice(0, inputDigits) ?? "-"}#${n}`;
  return { line, calls: [...calls, generation === 0 ? call : `${call}~${generation}`] };
}

/** Names that steps are known by where somebody says which are meant: the key, the name, and the path without numbers. */
export function namesOf({ ref, identity }: Pick<Ask, "ref" | "identity">): string[] {
  return [ref.key, identity.name, pathOf(identity.scope, identity.name)];
}

/** Of the steps that may be entered again, those of the run that a call makes: `shop/charge` is `charge` of what `shop` calls. */
export function allowedInCall(allowed: readonly string[], ask: Pick<Ask, "ref" | "identity">): string[] {
  const inside = namesOf(ask).flatMap((name) =>
    allowed.filter((key) => key.startsWith(`${name}/`)).map((key) => key.slice(name.length + 1)),
  );
  return [...new Set(inside)];
}
