/** A table for the terminal: columns as wide as their widest cell, counted in the places that characters take. */
import type { Style } from "./terminal.ts";
import { paint, visible } from "./terminal.ts";

export type Column = { title: string; align?: "left" | "right" };
/** A cell; its text is made visible here, so a table can hold anything. */
export type Cell = { text: string; style?: Style };

/** The lines of the table, its head first. */
export function table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): string[] {
  const cellsOf = (row: readonly Cell[]): Cell[] => columns.map((_, i) => row[i] ?? { text: "" });
  const head = columns.map(({ title }): Cell => ({ text: title, style: "bold" }));
  const lines = [head, ...rows.map(cellsOf)];
  const widths = columns.map((_, i) =>
    lines.reduce((width, row) => Math.max(width, widthOf(visible(row[i]?.text ?? ""))), 0),
  );
  return lines.map((row) => lineOf(row, columns, widths));
}

function lineOf(row: readonly Cell[], columns: readonly Column[], widths: readonly number[]): string {
  const parts = row.map(({ text, style }, i) => {
    const shown = style === undefined ? visible(text) : paint(text, style);
    const padding = " ".repeat((widths[i] ?? 0) - widthOf(visible(text)));
    if (columns[i]?.align === "right") return `${padding}${shown}`;
    // Nothing is put behind the last cell, so that lines do not wrap for nothing.
    return i === columns.length - 1 ? shown : `${shown}${padding}`;
  });
  return parts.join("  ");
}

/** Wide and full-width characters (Unicode East Asian Width, UAX #11, in its large blocks) and emoji take two places. */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u;
const combining = /[\p{Mn}\p{Me}\p{Cf}]/u;

/** Places that a text takes in a terminal. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += combining.test(character) ? 0 : wide.test(character) ? 2 : 1;
  return width;
}
