/**
 * What `stemma watch` draws: how the run stands, and as much of its tree as the terminal has room for. What goes on,
 * waits or failed is shown first; what went well is counted.
 */
import { isTerminal } from "../core/run.ts";
import type { EntryOptions } from "./entry-lines.ts";
import { elapsedText, treeNodes } from "./entry-lines.ts";
import { lookOf, wordsOf } from "./look.ts";
import { adviceLines, field, titleLines } from "./run-lines.ts";
import type { Entry } from "./run-tree.ts";
import { entriesOf, gatherRepeats, repeatsMin } from "./run-tree.ts";
import type { ShownRun } from "./shown-run.ts";
import { isHeld } from "./shown-run.ts";
import type { Cell } from "./table.ts";
import { flow, paintCell } from "./table.ts";
import { drawTree } from "./tree.ts";

export type Size = { width: number; height: number };

/** From much to little: how many quiet siblings may stand side by side before they are counted only. */
const details: readonly EntryOptions["quiet"][] = [
  { max: 6, shown: 4 },
  { max: 2, shown: 1 },
  { max: 0, shown: 0 },
];

/** The lines of a frame, no more than `height` of them. */
export function frameLines(run: ShownRun, size: Size, now: number): string[] {
  const { row } = run;
  const entries = entriesOf(run.tree);
  const head = [
    ...titleLines(run, size.width),
    ...summaryLines(run, entries, size.width, now),
    ...adviceLines(run, entries, now).flatMap((text) => field("", text, size.width, lookOf(row.state.status).style)),
  ];
  const gathered = gatherRepeats(run.tree, repeatsMin);
  const base = { now, width: size.width, outputs: false, texts: new Map(), all: false, brief: true };
  const called = run.called === undefined ? {} : { called: run.called };
  const options = { ...base, ...called, held: isHeld(row), open: !isTerminal(row.state.status) };
  let lines: string[] = [];
  for (const quiet of details) {
    const tree = drawTree(treeNodes(gathered, { ...options, quiet }), size.width);
    lines = tree.length === 0 ? head : [...head, "", ...tree];
    if (lines.length <= size.height) return lines;
  }
  const shown = lines.slice(0, Math.max(0, size.height - 1));
  return [...shown, paintCell({ text: `… ${lines.length - shown.length} lines more`, style: "dim" })].slice(
    -size.height,
  );
}

/** `12 done  3 running  1 failed  for 1m 20s` */
function summaryLines({ row }: ShownRun, entries: readonly Entry[], width: number, now: number): string[] {
  const { startedAt, endedAt, steps } = row.state;
  const counts = new Map<string, number>();
  for (const { status } of entries) counts.set(status, (counts.get(status) ?? 0) + 1);
  const running = isHeld(row) ? (counts.get("running") ?? 0) : 0;
  // A quick step is on record when it is done, so that none is known to run does not mean that none does.
  const cells: Cell[] = [{ text: `${steps.succeeded + steps.reused} done` }];
  if (running > 0) cells.push({ text: `${running} running`, style: lookOf("running").style });
  for (const status of ["retrying", "waiting", "in_doubt", "failed", "cancelled"]) {
    const count = counts.get(status) ?? 0;
    if (count > 0) cells.push({ text: `${count} ${wordsOf(status)}`, style: lookOf(status).style });
  }
  if (startedAt !== undefined) cells.push({ text: `for ${elapsedText((endedAt ?? now) - startedAt)}`, style: "dim" });
  return flow(cells, width - 2).map((line) => `  ${line}`);
}
