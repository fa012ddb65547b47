/** Two runs side by side as lines of text: how each stands, where they part, and every step that differs. */
import type { Differences } from "../core/compare.ts";
import { formatDuration } from "../core/duration.ts";
import type { JsonDifference } from "../core/json-differences.ts";
import type { Json } from "../core/json.ts";
import type { Comparison, RunSide, StepComparison, StepSide } from "../engine/compare.ts";
import { lookOf, wordsOf } from "./look.ts";
import type { Cell } from "./table.ts";
import { paintCell, table } from "./table.ts";
import type { Style } from "./terminal.ts";
import { jsonText, paint, shorten, visible } from "./terminal.ts";
import { wrap } from "./width.ts";

export type ComparisonOptions = { width: number; all: boolean };

/** How many steps that differ are shown, and how much of a value. */
const shownMax = 100;
const valueCharsMax = 80;

/** The lines of `stemma compare`. */
export function comparisonLines(comparison: Comparison, { width, all }: ComparisonOptions): string[] {
  const { a, b, steps, totals, first } = comparison;
  const differing = steps.filter(differs);
  const shown = all ? steps : differing.slice(0, shownMax);
  const left = all ? 0 : differing.length - shown.length;
  const firstStep = first === undefined ? undefined : steps[first];
  return [
    ...table(
      [
        { title: "" },
        { title: "run" },
        { title: "status" },
        { title: "took", align: "right" },
        { title: "cost", align: "right" },
      ],
      [sideCells("a", a), sideCells("b", b)],
      width,
    ),
    ...partingLines(comparison, width),
    ...wholeLines(comparison, width),
    "",
    ...(shown.length === 0 ? [] : [...shown.flatMap((step) => stepLines(step, width)), ""]),
    ...(left === 0 ? [] : [paint(`… ${left} more that differ (--all shows them)`, "dim")]),
    paint(totalsText(totals), "dim"),
    ...(firstStep === undefined
      ? []
      : wrapped(`They differ from ${(firstStep.a ?? firstStep.b)?.key ?? ""} on.`, width)),
    ...(comparison.same ? wrapped("Nothing differs but times and costs.", width) : []),
  ];
}

export function differs({ change, moved }: StepComparison): boolean {
  return change !== "same" || moved;
}

function sideCells(name: string, { run, status, ms, cost }: RunSide): Cell[] {
  const { glyph, style } = lookOf(status);
  return [
    { text: name, style: "bold" },
    { text: run },
    { text: `${glyph} ${wordsOf(status)}`, style },
    { text: ms === undefined ? "" : formatDuration(ms) },
    { text: costText(cost) },
  ];
}

/** A cost to three places at most: it is a sum of fractions. */
export function costText(cost: number): string {
  return String(Math.round(cost * 1000) / 1000);
}

function partingLines({ a, b, parting }: Comparison, width: number): string[] {
  if (parting === undefined) return wrapped("They are of different families.", width);
  const { run } = parting;
  if (run === a.run && run === b.run) return wrapped("They are one and the same run.", width);
  if (run === a.run) return wrapped(`b comes from a, and left it at seq ${parting.b ?? 0}.`, width);
  if (run === b.run) return wrapped(`a comes from b, and left it at seq ${parting.a ?? 0}.`, width);
  return wrapped(`Both come from ${run}: a left it at seq ${parting.a ?? 0}, b at seq ${parting.b ?? 0}.`, width);
}

function wholeLines({ a, b, ...comparison }: Comparison, width: number): string[] {
  const lines = (["input", "context", "output"] as const).flatMap((name) => {
    const found = comparison[name];
    return found === undefined ? [] : placeLines(`${name} of the run`, found, "  ", width);
  });
  const [x, y] = [a.error?.message, b.error?.message];
  if (x === y) return lines;
  return [
    ...lines,
    ...placeLines("error of the run", { places: [{ path: "", ...given("a", x), ...given("b", y) }] }, "  ", width),
  ];
}

function given(name: "a" | "b", text: string | undefined): { [key: string]: Json } {
  return text === undefined ? {} : { [name]: text };
}

const marks: Readonly<Record<StepComparison["change"], Cell & { style: Style }>> = {
  same: { text: "=", style: "dim" },
  changed: { text: "~", style: "yellow" },
  added: { text: "+", style: "green" },
  removed: { text: "-", style: "red" },
};

function stepLines({ change, moved, a, b, differences }: StepComparison, width: number): string[] {
  const mark = moved && change === "same" ? { text: "↕", style: "cyan" as const } : marks[change];
  const key = a?.key ?? b?.key ?? "";
  const renamed = a !== undefined && b !== undefined && a.key !== b.key ? ` (${b.key} in b)` : "";
  const facts = [
    ...(moved ? ["moved"] : []),
    ...statusFacts(a, b),
    ...changeFacts("time", a?.ms, b?.ms, formatDuration),
    ...changeFacts("cost", a?.cost, b?.cost, costText),
  ];
  const head = `${paintCell(mark)} ${paint(`${key}${renamed}`, mark.style)}`;
  const line = facts.length === 0 ? head : `${head}  ${paint(facts.join("  "), "dim")}`;
  return [line, ...differences.flatMap((each) => placeLines(each.aspect, each, "    ", width))];
}

function statusFacts(a: StepSide | undefined, b: StepSide | undefined): string[] {
  const [x, y] = [a?.status, b?.status].map((status) => (status === undefined ? undefined : wordsOf(status)));
  if (x === undefined || y === undefined) return [x ?? y ?? ""];
  return x === y ? [x] : [`${x} → ${y}`];
}

function changeFacts(
  name: string,
  a: number | undefined,
  b: number | undefined,
  text: (value: number) => string,
): string[] {
  if (a === undefined && b === undefined) return [];
  const [x, y] = [a, b].map((value) => (value === undefined ? "–" : text(value)));
  if (a === undefined || b === undefined) return [`${name} ${a === undefined ? (y ?? "") : (x ?? "")}`];
  return x === y ? [] : [`${name} ${x} → ${y}`];
}

/** `output $.licence: "MIT" → "ISC"`, a line for each place. */
function placeLines(
  name: string,
  { places, unread }: Omit<Differences, "aspect">,
  indent: string,
  width: number,
): string[] {
  if (unread === true)
    return indented(`${name} differs; it is too large to be shown here, or not in the store any more`, indent, width);
  return places.flatMap((place) =>
    indented(`${name}${place.path === "" ? "" : ` ${place.path}`}: ${placeText(place)}`, indent, width),
  );
}

function placeText(place: JsonDifference): string {
  const [x, y] = (["a", "b"] as const).map((side) =>
    side in place ? shorten(jsonText(place[side]), valueCharsMax) : undefined,
  );
  if (x === undefined) return `only in b: ${y ?? ""}`;
  return y === undefined ? `only in a: ${x}` : `${x} → ${y}`;
}

function indented(text: string, indent: string, width: number): string[] {
  return wrapped(text, width - indent.length).map((line) => `${indent}${line}`);
}

function wrapped(text: string, width: number): string[] {
  return wrap(visible(text), Math.max(width, 20));
}

/** `412 same, 1 changed, 2 added` */
function totalsText(totals: Comparison["totals"]): string {
  const parts = Object.entries(totals).filter(([name, count]) => count > 0 || name === "same");
  return parts.map(([name, count]) => `${count} ${name}`).join(", ");
}
