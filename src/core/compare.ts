/**
 * Two runs side by side: their steps aligned, what was inserted, removed, moved or changed, and the first step from which
 * on they differ. Values are compared by their digests, so a large one is read only when somebody wants to see it.
 */
import type { Pairs } from "./align.ts";
import { alignSteps } from "./align.ts";
import type { Digest, ErrorRecord, Value } from "./event.ts";
import type { JsonDifference } from "./json-differences.ts";
import { differences } from "./json-differences.ts";
import type { Json } from "./json.ts";
import { decode, equal } from "./json.ts";
import { movedSteps } from "./moved-steps.ts";
import type { RecordedStep, RecordedSteps } from "./recorded-step.ts";

/** What of a step differs: whether it is a step, a wait or a call, what it was given, what it gave, how it ended. */
export type Aspect = "kind" | "input" | "output" | "error" | "ending";

export type ComparedStep = {
  a?: RecordedStep;
  b?: RecordedStep;
  change: "same" | "changed" | "added" | "removed";
  /** It stands elsewhere: before something that it was behind, or behind something that it was before. */
  moved: boolean;
  differs: readonly Aspect[];
};

/** The steps of both runs, each once, in the order of `a`; what only `b` has stands behind what it has before it. */
export function compareSteps(a: RecordedSteps, b: RecordedSteps): ComparedStep[] {
  const pairs = alignSteps(a, b);
  const moved = movedSteps(a, b, pairs);
  const added = addedBehind(b, pairs);
  const rows: ComparedStep[] = [];
  /** Added ones that stand behind added ones are reached through them. */
  const put = (behind: RecordedStep | undefined): void => {
    for (const step of added.get(behind) ?? []) rows.push({ b: step, change: "added", moved: false, differs: [] });
  };
  put(undefined);
  for (const step of a.list) {
    const other = pairs.get(step);
    if (other === undefined) rows.push({ a: step, change: "removed", moved: false, differs: [] });
    else {
      const differs = aspectsOf(step, other);
      const change = differs.length === 0 ? "same" : "changed";
      rows.push({ a: step, b: other, change, moved: moved.has(step), differs });
      put(other);
    }
  }
  return rows;
}

/** The steps that only `b` has, by the last step before them that both have. */
function addedBehind(b: RecordedSteps, pairs: Pairs): Map<RecordedStep | undefined, RecordedStep[]> {
  const paired = new Set(pairs.values());
  const added = new Map<RecordedStep | undefined, RecordedStep[]>();
  let last: RecordedStep | undefined;
  for (const step of b.list) {
    const behind = added.get(last);
    if (paired.has(step)) last = step;
    else if (behind === undefined) added.set(last, [step]);
    else behind.push(step);
  }
  return added;
}

function aspectsOf(a: RecordedStep, b: RecordedStep): Aspect[] {
  const differs: Aspect[] = [];
  if (a.kind !== b.kind && a.kind !== "reused" && b.kind !== "reused") differs.push("kind");
  if (a.input !== b.input) differs.push("input");
  if (a.ending !== b.ending) differs.push("ending");
  else if (a.ending === "value" && !sameValue(a.output, b.output)) differs.push("output");
  else if (a.ending === "error" && !equal(errorJson(a.error), errorJson(b.error))) differs.push("error");
  return differs;
}

/** Whether two recorded values are one. Equal values are recorded in one form, so no text is needed for that. */
export function sameValue(a: Value | undefined, b: Value | undefined): boolean {
  const [x, y] = [a ?? nothing, b ?? nothing];
  if ("inline" in x && "inline" in y) return equal(x.inline, y.inline);
  if ("digest" in x && "digest" in y) return x.digest === y.digest;
  return "undefined" in x && "undefined" in y;
}

const nothing: Value = { undefined: true };

function errorJson(error: ErrorRecord | undefined): Json {
  return error ?? null;
}

/** The first row that differs: from there on the two runs are two. */
export function firstDivergence(rows: readonly ComparedStep[]): ComparedStep | undefined {
  return rows.find((row) => row.change !== "same" || row.moved);
}

/** Places of one value that differ. `unread`: it is too large to be in the events and was not read. */
export type Differences = { aspect: Aspect; places: readonly JsonDifference[]; unread?: boolean };

/** How many places of one value are named. */
const placesMax = 20;

/**
 * Where a row differs, by JSON paths.
 *
 * @param texts those of large values that were read; `digestsOfRow` says which there are
 */
export function differencesOf(row: ComparedStep, texts: ReadonlyMap<Digest, string>): Differences[] {
  const { a, b } = row;
  return row.differs.map((aspect) => {
    if (aspect === "kind") return { aspect, places: [{ path: "$", a: a?.kind ?? null, b: b?.kind ?? null }] };
    if (aspect === "ending") return { aspect, places: [{ path: "$", a: a?.status ?? null, b: b?.status ?? null }] };
    if (aspect === "error") return { aspect, places: differences(errorJson(a?.error), errorJson(b?.error), placesMax) };
    const [x, y] = aspect === "input" ? [a?.given, b?.given] : [a?.output, b?.output];
    return { aspect, ...valueDifferences(x, y, texts) };
  });
}

/** As `differencesOf`, of two values. */
export function valueDifferences(
  a: Value | undefined,
  b: Value | undefined,
  texts: ReadonlyMap<Digest, string>,
): Omit<Differences, "aspect"> {
  const [x, y] = [a, b].map((value) => jsonOf(value, texts));
  if (x === undefined || y === undefined) return { places: [], unread: true };
  return { places: differences(x.json, y.json, placesMax) };
}

/** The value; undefined where its text was not read. */
function jsonOf(value: Value | undefined, texts: ReadonlyMap<Digest, string>): { json: Json | undefined } | undefined {
  if (value === undefined || "undefined" in value) return { json: undefined };
  if ("inline" in value) return { json: value.inline };
  const text = texts.get(value.digest);
  return text === undefined ? undefined : { json: decode(text) };
}

/** The large values that are needed to say where a row differs. */
export function digestsOfRow({ a, b, differs }: ComparedStep): { digest: Digest; bytes: number }[] {
  const values = differs.flatMap((aspect) => {
    if (aspect === "input") return [a?.given, b?.given];
    return aspect === "output" ? [a?.output, b?.output] : [];
  });
  return values.flatMap((value) => (value !== undefined && "digest" in value ? [value] : []));
}
