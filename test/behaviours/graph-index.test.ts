/** That no behaviour of message graphs is without a test that names it. The files' heads say which is where. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const title = /\btest(?:\.each\([\s\S]*?\))?\(\s*["'`]((?:[GX]?\d+(?:, )?)+):/gu;

/** Rows of the list, and the letters of the invariants and of what the reference gets wrong, that titles begin with. */
function named(): Set<string> {
  const folder = import.meta.dirname;
  const files = readdirSync(folder).filter((name) => /^graph-.*\.test\.ts$/u.test(name));
  const texts = files.map((name) => readFileSync(join(folder, name), "utf8"));
  return new Set(texts.flatMap((text) => [...text.matchAll(title)].flatMap(([, rows = ""]) => rows.split(", "))));
}

test("every behaviour 1 to 72, every invariant G1 to G13, and X1 to X29 is in the title of a test", () => {
  const rows = (letter: string, count: number): string[] =>
    Array.from({ length: count }, (_, n) => `${letter}${n + 1}`);
  const there = named();
  const missing = [...rows("", 72), ...rows("G", 13), ...rows("X", 29)].filter((row) => !there.has(row));
  expect(missing).toEqual([]);
});
