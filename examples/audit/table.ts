/** A table for the terminal: columns as wide as their widest cell, numbers to the right. */
import { styleText } from "node:util";

export type Cell = string | number;

/** The lines of the table, its head first. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => String(row[column] ?? "").length)),
  );
  const line = (cells: readonly Cell[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return typeof cell === "number" ? String(cell).padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  return [styleText("bold", line(head)), ...rows.map(line)].map((text) => `  ${text}`);
}
