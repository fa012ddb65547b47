/** Where a run stands in its restart / fork line: what services are sent so that they do not act twice depends on it. */
import type { EventOf, ReuseKey, RunId } from "../core/event.ts";
import type { Identity } from "../core/identity.ts";
import { identityText, namesOf, pathOf } from "../core/identity.ts";
import { canonical } from "../core/json.ts";
import type { Json } from "../core/json.ts";
import type { Ask } from "./ask.ts";
import { sha256 } from "./hash.ts";

export type Line = {
  line: RunId;
  /** The calls that lead to the run: by what they are, and by their labels. */
  calls: readonly string[];
  callKeys: readonly string[];
};

/** What a called run is told of where it stands, and which of its steps may be entered again. */
export type CalledFrom = { line: RunId; calls: string[]; callKeys: string[]; allowEffects?: string[] };

export function lineOf(run: RunId, { data }: EventOf<"run.created">): Line {
  return { line: data.line ?? run, calls: data.calls ?? [], callKeys: data.callKeys ?? [] };
}

/** A step in the line's ledger of effects: a place, and with what it was done there. */
type Entry = { place: string; input: string };

/**
 * Where a step stands in the ledger. By what it is, because it may have another label where other steps come before it;
 * and by its label, or by what led to it where that is said, because with another input, of its own or of a call that
 * leads to it, it is another step in the same place.
 *
 * What was done once in a called run is done, also where the success of the call was given up: that makes other keys for
 * services, and not another effect.
 */
export function entriesInLedger(
  { calls, callKeys }: Line,
  { identity, key, way }: { identity: Identity; key: string; way?: string | undefined },
  reuse: ReuseKey,
): { byIdentity: Entry; byLabel: Entry } {
  const path = calls.map((call) => call.replace(/~\d+$/, ""));
  const inCall = path.length === 0 || reuse === "" ? reuse : short([path, reuse]);
  return {
    byIdentity: { place: short([path, "is", identityText(identity)]), input: reuse },
    byLabel: { place: short([[...callKeys], ...(way === undefined ? [key] : ["way", way])]), input: inCall },
  };
}

function short(of: Json): string {
  return sha256(canonical(of)).slice(0, 40);
}

const inputDigits = 16;

/**
 * The line of the run that a call makes. The call is told from others by its identity, like any step, and by how often
 * its success was given up on purpose.
 */
export function calledLine(
  { line, calls, callKeys }: Line,
  { identity, ref, way }: Pick<Ask, "identity" | "ref" | "way">,
  generation: number,
): { line: RunId; calls: string[]; callKeys: string[] } {
  const { scope, name, input, n } = identity;
  const call = `${pathOf(scope, name)}#${input?.slice(0, inputDigits) ?? "-"}#${n}`;
  return {
    line,
    calls: [...calls, generation === 0 ? call : `${call}~${generation}`],
    callKeys: [...callKeys, way === undefined ? ref.key : `way ${way}`],
  };
}

/** Of the steps that may be entered again, those of the run that a call makes: `shop/charge` is `charge` of what `shop` calls. */
export function allowedInCall(allowed: readonly string[], ask: Pick<Ask, "ref" | "identity">): string[] {
  const inside = namesOf(ask.ref.key, ask.identity).flatMap((name) =>
    allowed.filter((key) => key.startsWith(`${name}/`)).map((key) => key.slice(name.length + 1)),
  );
  return [...new Set(inside)];
}
