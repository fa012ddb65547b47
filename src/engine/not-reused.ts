/** Why a step runs although its run had successes to reuse, as far as the source tells. */
import type { EventOf, NotReused, StepRef, Value } from "../core/event.ts";
import { decode, firstDifference } from "../core/json.ts";
import type { Ask } from "./ask.ts";
import type { Asked, SourceReader } from "./source-reader.ts";
import { referenceDigest } from "./reuse-keys.ts";

const pathCharsMax = 100;

/** @param fingerprint of the code that asks, @param created the run that asks */
export function whyNot(
  ask: Ask,
  reader: SourceReader,
  created: EventOf<"run.created">,
  fingerprint: string,
): NotReused {
  const asked = reader.asked(ask.ref.key);
  if (asked === undefined || !succeeded(asked)) return "not recorded";
  const ref: StepRef = asked.event.data as StepRef;
  const { input } = ask.identity;
  const changed = reader.created !== undefined && contextOf(reader.created) !== contextOf(created);
  if (input === null) {
    if (ask.work.kind === "step" && ask.work.ask.reuse === "always") return "version changed";
    if (reader.fingerprints.size > 0 && !reader.fingerprints.has(fingerprint)) return "code changed";
    return changed ? "context changed" : "no declared input";
  }
  if (ref.input === undefined) return "no declared input";
  if (ref.input !== input) return inputChanged(ref.given, ask);
  if (ask.work.kind === "call") return changed ? "context changed" : "code changed";
  const reads = ask.work.kind === "step" && ask.work.ask.context !== undefined;
  return changed && reads ? "context changed" : "version changed";
}

function succeeded({ outcome }: Asked): boolean {
  if (outcome === undefined) return false;
  if (outcome.type === "child.ended") return outcome.data.error === undefined;
  return ["step.succeeded", "step.reused", "step.overridden", "wait.answered"].includes(outcome.type);
}

function inputChanged(was: Value | undefined, { input: is }: Ask): NotReused {
  if (was === undefined || !("inline" in was) || is?.text === undefined) return "input changed";
  const path = firstDifference(was.inline, decode(is.text));
  return path === undefined || path.length > pathCharsMax ? "input changed" : `input changed at ${path}`;
}

function contextOf({ data: { context } }: EventOf<"run.created">): string {
  return context === undefined ? "-" : referenceDigest(context);
}
