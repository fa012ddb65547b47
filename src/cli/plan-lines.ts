/** A plan as lines of text: of each step what becomes of it and why, and what that saves. */
import { formatDuration } from "../core/duration.ts";
import type { Plan, PlannedStep, PlanTotals, Verdict } from "../core/plan.ts";
import { costText } from "./comparison-lines.ts";
import type { Cell } from "./table.ts";
import { table } from "./table.ts";
import type { Style } from "./terminal.ts";
import { paint, visible } from "./terminal.ts";
import { wrap } from "./width.ts";

export type PlanOptions = { width: number; all: boolean };

/** Steps that are reused are counted where there are more of them than this, and others are cut off behind this many. */
const reusedMax = 12;
const othersMax = 100;

const looks: Readonly<Record<Verdict, { glyph: string; style: Style }>> = {
  reuse: { glyph: "↺", style: "blue" },
  run: { glyph: "▶", style: "yellow" },
  depends: { glyph: "~", style: "cyan" },
  decide: { glyph: "?", style: "magenta" },
};

const columns = [
  { title: "" },
  { title: "step", cut: true },
  { title: "why", cut: true },
  { title: "saves", align: "right" },
  { title: "cost", align: "right" },
] as const;

/** The lines of a plan, also of one that was carried out. */
export function planLines({ grade, steps, totals }: Plan, { width, all }: PlanOptions): string[] {
  const reused = steps.filter(({ verdict }) => verdict === "reuse").length;
  const fold = !all && reused > reusedMax;
  const rows = fold ? steps.filter(({ verdict }) => verdict !== "reuse") : steps;
  const shown = all ? rows : rows.slice(0, othersMax);
  const counted = fold ? [`${reused} steps are reused`] : [];
  const left = rows.length - shown.length;
  const more = [...counted, ...(left > 0 ? [`${left} more`] : [])];
  return [
    ...(shown.length === 0 ? [] : table(columns, shown.map(cellsOf), width)),
    ...(more.length === 0 ? [] : [paint(`… ${more.join(", and ")} (--all shows them)`, "dim")]),
    ...totalLines(totals, width),
    ...(grade === "history" ? notes(totals, width) : []),
  ];
}

function cellsOf({ key, verdict, reason, saves, run }: PlannedStep): Cell[] {
  const { glyph, style } = looks[verdict];
  return [
    { text: `${glyph} ${verdict}`, style },
    { text: key },
    { text: run === undefined ? reason : `${reason}, in ${run}`, style: "dim" },
    { text: saves.ms === 0 ? "" : formatDuration(saves.ms) },
    { text: saves.cost === 0 ? "" : costText(saves.cost) },
  ];
}

function totalLines({ reuse, run, depends, decide, runs, saves }: PlanTotals, width: number): string[] {
  const counts = Object.entries({ reuse, run, depends, decide }).filter(
    ([name, count]) => count > 0 || name === "reuse",
  );
  const saved = [
    rangeText(saves.ms, formatDuration),
    ...(saves.cost[1] === 0 ? [] : [`cost ${rangeText(saves.cost, costText)}`]),
  ];
  return [
    ...wrapped(counts.map(([name, count]) => `${count} ${name}`).join(", "), width),
    ...wrapped(
      `Of what is on record ${rangeText(runs, String)} ${runs[1] === 1 ? "step runs" : "steps run"}; it saves ${saved.join(" and ")}.`,
      width,
    ),
  ];
}

function rangeText([least, most]: readonly [number, number], text: (value: number) => string): string {
  return text(least) === text(most) ? text(least) : `${text(least)} to ${text(most)}`;
}

function notes({ depends }: PlanTotals, width: number): string[] {
  const why = "This is what the record says; what the code asks for now is not known to it.";
  const open = depends === 0 ? "" : " What depends is reused if its input comes out the same.";
  return wrapped(`${why}${open}`, width).map((line) => paint(line, "dim"));
}

function wrapped(text: string, width: number): string[] {
  return wrap(visible(text), Math.max(width, 20));
}
