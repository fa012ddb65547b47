/**
 * A table for the terminal: columns as wide as their widest cell, counted in the places that characters take. Where the
 * terminal is too narrow for it, the columns that may be are cut; where that is not enough, each row becomes lines.
 */
import type { Style } from "./terminal.ts";
import { paint, visible } from "./terminal.ts";
import { cut, widthOf } from "./width.ts";

/** `cut`: what stands in this column is a name, and may be shortened. */
export type Column = { title: string; align?: "left" | "right"; cut?: boolean };
/** A cell; its text is made visible here, so a table can hold anything. */
export type Cell = { text: string; style?: Style };

const gap = "  ";
const cutMin = 10;

/** The lines of the table, its head first, for a terminal of `width` places. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  width: number = Infinity,
): string[] {
  const cellsOf = (row: readonly Cell[]): Cell[] => columns.map((_, i) => row[i] ?? { text: "" });
  const head = columns.map(({ title }): Cell => ({ text: title, style: "bold" }));
  const lines = [head, ...rows.map(cellsOf)];
  const widths = columns.map((_, i) =>
    lines.reduce((most, row) => Math.max(most, widthOf(visible(row[i]?.text ?? ""))), 0),
  );
  for (const [i, column] of columns.entries()) {
    const over = widths.reduce((sum, each) => sum + each + gap.length, -gap.length) - width;
    if (over > 0 && column.cut === true) widths[i] = Math.max(cutMin, (widths[i] ?? 0) - over);
  }
  const total = widths.reduce((sum, each) => sum + each + gap.length, -gap.length);
  if (total > width) return rows.flatMap((row) => flow(row, width));
  return lines.map((row) => lineOf(row, columns, widths));
}

export function paintCell({ text, style }: Cell): string {
  return style === undefined ? visible(text) : paint(text, style);
}

/** Cells one after the other, on as many lines as they need; all but the first are indented. */
export function flow(cells: readonly Cell[], width: number): string[] {
  const lines: string[] = [];
  let line = "";
  let used = 0;
  for (const cell of cells) {
    if (cell.text === "") continue;
    const places = widthOf(visible(cell.text));
    if (line !== "" && used + gap.length + places > width) {
      lines.push(line);
      line = gap;
      used = gap.length;
    } else if (line !== "") {
      line += gap;
      used += gap.length;
    }
    const shown = cut(visible(cell.text), Math.max(1, width - used));
    line += paintCell({ ...cell, text: shown });
    used += widthOf(shown);
  }
  return line === "" ? lines : [...lines, line];
}

function lineOf(row: readonly Cell[], columns: readonly Column[], widths: readonly number[]): string {
  const parts = row.map((cell, i) => {
    const width = widths[i] ?? 0;
    const shown = cut(visible(cell.text), Math.max(1, width));
    const padding = " ".repeat(width - widthOf(shown));
    const painted = paintCell({ ...cell, text: shown });
    if (columns[i]?.align === "right") return `${padding}${painted}`;
    // Nothing is put behind the last cell, so that lines do not wrap for nothing.
    return i === columns.length - 1 ? painted : `${painted}${padding}`;
  });
  return parts.join(gap);
}
