/**
 * A tree as lines of text, in columns: names behind their branches, times aligned to the right, and what else there is
 * to say. Where the terminal is narrow names are cut, and facts go on below; no fact is left out.
 */
import type { Cell } from "./table.ts";
import { flow, paintCell } from "./table.ts";
import { visible } from "./terminal.ts";
import { cut, widthOf, wrap } from "./width.ts";

export type TreeLine = {
  /** In front of the name, one place wide. */
  mark?: Cell;
  name: Cell;
  time?: string;
  facts?: readonly Cell[];
  /** Said last, and only as far as there is room: the record has it in full. */
  extra?: string;
  /** It says all with its name, which is then not cut, and stands in no column. */
  loose?: boolean;
};

/**
 * A line, text that belongs to it and stands below it, and what branches off. `chain` goes on from it one by one, in one
 * column, so that a long line of descent does not wander off to the right.
 */
export type TreeNode = {
  line: TreeLine;
  below?: readonly Below[];
  children?: readonly TreeNode[];
  chain?: readonly TreeNode[];
};
/** Text is wrapped. `whole`: it keeps its form, as a line of JSON does. `brief`: it is cut to one line. */
export type Below = Cell & { form?: "whole" | "brief" };

/** A node with the branches in front of it, and in front of what stands below it. */
type Row = { line: TreeLine; below: readonly Below[]; front: string; inner: string };
type Columns = { width: number; name: number; time: number };

/** Beyond this a long name stands out of its column, so that one of them does not push all others away. */
const nameColumnMax = 48;
const nameColumnMin = 14;
const namePlacesMin = 5;
/** An extra shorter than this says nothing. */
const extraPlacesMin = 8;
const gap = "  ";

/**
 * The lines of the nodes with their branches drawn in front, none longer than `width` places.
 *
 * @example drawTree([{ line: { name: { text: "a" } }, children: [{ line: { name: { text: "b" } } }] }], 80); // ["└─ a", "   └─ b"]
 */
export function drawTree(nodes: readonly TreeNode[], width: number): string[] {
  const rows: Row[] = [];
  collect(nodes, "", rows);
  const columns = columnsOf(rows, width);
  return rows.flatMap((row) => [
    ...(row.line.loose === true ? looseLines(row, width) : lineOf(row, columns)),
    ...belowLines(row, width),
  ]);
}

/** As deep as scopes are within scopes, which is bounded when they are opened, or as whoever made the nodes cut them. */
function collect(siblings: readonly TreeNode[], indent: string, rows: Row[]): void {
  for (const [at, { line, below = [], children = [], chain = [] }] of siblings.entries()) {
    const last = at === siblings.length - 1;
    const inner = `${indent}${last ? "   " : "│  "}`;
    const front = `${indent}${last ? "└─" : "├─"} `;
    rows.push({ line, below, front, inner: `${inner}${children.length > 0 ? "│  " : "   "}` });
    collect(children, inner, rows);
    for (const next of chain) {
      const more = next.children ?? [];
      const under = `${inner}${more.length > 0 ? "│  " : "   "}`;
      rows.push({ line: next.line, below: next.below ?? [], front: `${inner}↳ `, inner: under });
      collect(more, inner, rows);
    }
  }
}

function columnsOf(rows: readonly Row[], width: number): Columns {
  const placed = rows.filter(({ line }) => line.loose !== true);
  const most = (of: (row: Row) => number): number => placed.reduce((max, row) => Math.max(max, of(row)), 0);
  const time = most(({ line }) => widthOf(line.time ?? ""));
  const name = Math.min(most(labelWidth), nameColumnMax);
  if (width === Infinity) return { width, name, time };
  const facts = Math.min(
    most(({ line }) => factsWidth(line)),
    Math.floor(width * 0.45),
  );
  const room = width - (time === 0 ? 0 : time + gap.length) - (facts === 0 ? 0 : facts + gap.length);
  return { width, time, name: Math.min(name, Math.max(room, nameColumnMin)) };
}

function labelWidth({ line, front }: Row): number {
  return widthOf(front) + (line.mark === undefined ? 0 : 2) + widthOf(visible(line.name.text));
}

function factsWidth({ facts = [] }: TreeLine): number {
  return facts.reduce((width, { text }) => width + widthOf(visible(text)) + gap.length, -gap.length);
}

function lineOf(row: Row, columns: Columns): string[] {
  const { line, front } = row;
  const markWidth = line.mark === undefined ? 0 : 2;
  const places = Math.max(columns.name - widthOf(front) - markWidth, namePlacesMin);
  const name = visible(line.name.text);
  const shown = columns.width === Infinity ? name : cut(name, places);
  const mark = line.mark === undefined ? "" : `${paintCell(line.mark)} `;
  const label = `${front}${mark}${paintCell({ ...line.name, text: shown })}`;
  const filler = " ".repeat(Math.max(0, columns.name - widthOf(front) - markWidth - widthOf(shown)));
  const time =
    columns.time === 0 ? "" : `${gap}${paintCell({ text: (line.time ?? "").padStart(columns.time), style: "dim" })}`;
  const used =
    Math.max(columns.name, widthOf(front) + markWidth + widthOf(shown)) + (time === "" ? 0 : columns.time + 2);
  const { first, rest } = placeFacts(
    line,
    columns.width - used,
    Math.max(columns.width - widthOf(row.inner) - gap.length, namePlacesMin),
  );
  // Nothing is put behind the last text, so that lines do not wrap for nothing.
  const hasMore = first !== "" || line.time !== undefined;
  return [hasMore ? `${label}${filler}${time}${first}` : label, ...rest.map((text) => `${row.inner}${gap}${text}`)];
}

function looseLines({ line, front, inner }: Row, width: number): string[] {
  return wrapped(line.name, width - widthOf(inner)).map((text, i) => `${i === 0 ? front : inner}${text}`);
}

/** The facts that fit on the line, and the lines of the others. */
function placeFacts({ facts = [], extra }: TreeLine, room: number, below: number): { first: string; rest: string[] } {
  let first = "";
  let left = room;
  const waiting = [...facts];
  for (let fact = waiting[0]; fact !== undefined; fact = waiting[0]) {
    const width = widthOf(visible(fact.text)) + gap.length;
    if (width > left) break;
    first += `${gap}${paintCell(fact)}`;
    left -= width;
    waiting.shift();
  }
  const rest = flow(
    waiting.flatMap((fact) => wrap(visible(fact.text), below - gap.length).map((text): Cell => ({ ...fact, text }))),
    below,
  );
  if (extra !== undefined && rest.length === 0 && left >= extraPlacesMin + gap.length + 2) {
    first += `${gap}${paintCell({ text: "→", style: "dim" })} ${cut(visible(extra), left - gap.length - 2)}`;
  }
  return { first, rest };
}

function belowLines({ below, inner }: Row, width: number): string[] {
  return below.flatMap((cell) => {
    const places = Math.max(width - widthOf(inner), namePlacesMin);
    if (cell.form === "whole") return [`${inner}${paintCell(cell)}`];
    if (cell.form === "brief") return [`${inner}${paintCell({ ...cell, text: cut(visible(cell.text), places) })}`];
    return wrapped(cell, places).map((text) => `${inner}${text}`);
  });
}

function wrapped(cell: Cell, places: number): string[] {
  return wrap(visible(cell.text), Math.max(places, namePlacesMin)).map((text) => paintCell({ ...cell, text }));
}
