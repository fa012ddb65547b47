/** The bench runs, and what it counts (not what it times) is within the bounds that the project has set itself. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";

type Line = { what: string; figure: { median: number }; ratio?: { median: number } };

let lines: readonly Line[] = [];

beforeAll(() => {
  const program = join(import.meta.dirname, "../bench/main.ts");
  const args = [program, "--quick", "--json", "--only", "cost"];
  const text = execFileSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const { sections } = JSON.parse(text) as { sections: readonly { lines: readonly Line[] }[] };
  lines = sections.flatMap((section) => section.lines);
});

function line(start: string): Line {
  const found = lines.find(({ what }) => what.startsWith(start));
  if (found === undefined) throw new Error(`The bench has no line "${start}".`);
  return found;
}

test("a workflow of ten steps alone takes one write transaction per step, and one each to be created, claimed and ended", () => {
  expect(line("write transactions per run, alone").figure.median).toBeLessThan(13.5);
});

test("many workflows share their write transactions", () => {
  expect(line("write transactions per step, 64 at a time").figure.median).toBeLessThan(0.05);
});

test("a workflow takes hardly more of the file than its rows do when nothing else writes them", () => {
  expect(line("bytes per run, against the same rows").ratio?.median).toBeLessThan(1.1);
});
