/** Where a run stands in its restart / fork line: what services are sent so that they do not act twice depends on it. */
import type { EventOf, RunId } from "../core/event.ts";
import type { Identity } from "../core/identity.ts";
import { identityText, pathOf } from "../core/identity.ts";
import { canonical } from "../core/json.ts";
import type { Ask } from "./ask.ts";
import { sha256 } from "./hash.ts";

export type Line = { line: RunId; calls: readonly string[] };

export function lineOf(run: RunId, { data }: EventOf<"run.created">): Line {
  return { line: data.line ?? run, calls: data.calls ?? [] };
}

/**
 * The calls as the ledger of effects knows them. What was done once in a called run is done, also where the success of
 * the call was given up: that makes other keys for services, and not another effect.
 */
function callsInLedger(calls: readonly string[]): string[] {
  return calls.map((call) => call.replace(/~\d+$/, ""));
}

/**
 * Where a `once` step stands in the line's ledger. By what it is, because it may have another label where other steps
 * come before it; and by its label, because with another input it is another step in the same place.
 */
export function placesInLedger({ calls }: Line, identity: Identity, key: string): [is: string, label: string] {
  const place = (...names: string[]): string =>
    sha256(canonical([callsInLedger(calls), ...names])).slice(0, ledgerDigits);
  return [place("is", identityText(identity)), place(key)];
}

const ledgerDigits = 40;

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
