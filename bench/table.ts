/** The lines of all measurements as Markdown, and the machine that they were measured on. */
import { readFileSync } from "node:fs";
import { cpus, totalmem, type as system, release } from "node:os";

import type { Line } from "./found.ts";
import { spreadText } from "./spread.ts";

export type Section = { name: string; title: string; rounds: number; seconds: number; lines: readonly Line[] };

export function markdown(sections: readonly Section[]): string {
  return sections
    .map(({ title, rounds, lines }) => {
      const of = rounds === 1 ? "one round" : `${rounds} rounds, median [range]`;
      return `### ${title}\n\n${of}\n\n${table(lines)}`;
    })
    .join("\n\n");
}

function table(lines: readonly Line[]): string {
  const peers = lines.some(({ peer }) => peer !== undefined);
  const rows = [["what", "figure", "floor", "figure / floor", "target", ...(peers ? ["best peer"] : [])]];
  for (const { what, unit, figure, floor, ratio, target = "", peer = "" } of lines) {
    const cells = [what, `${spreadText(figure)} ${unit}`.trim()];
    rows.push([
      ...cells,
      floor === undefined ? "" : spreadText(floor),
      ratio === undefined ? "" : spreadText(ratio, 2),
      target,
      ...(peers ? [peer] : []),
    ]);
  }
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => (row[at] ?? "").length)));
  const lined = rows.map((row) => `| ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`);
  return [lined[0], `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...lined.slice(1)].join("\n");
}

/** Machine and versions, in one line; that of PostgreSQL if something was measured on it. */
export function surroundings(postgres?: string): string {
  const [first] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const machine = `${cpus().length} × ${first?.model.trim() ?? "unknown"}, ${memory} GB, ${system()} ${release()}`;
  const databases = [
    `SQLite ${process.versions["sqlite"]}`,
    ...(postgres === undefined ? [] : [`PostgreSQL ${postgres}`]),
  ];
  return `${machine}; Node ${process.versions.node}, ${databases.join(", ")}, Stemma ${version}`;
}
