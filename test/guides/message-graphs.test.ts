/** The guides that say they are programs: their code is run as it stands there, and prints what they say it prints. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");

/** Packages as their users name them, and where their sources are. */
const entries = { stemma: "index", "stemma/graph": "graph", "stemma/sqlite": "sqlite" };

const blocks = (text: string, language: string): string =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gmu"))].map(([, code]) => code).join("");

test("the guide of message graphs is a program that prints what it says", () => {
  const text = readFileSync(join(root, "docs/guide/message-graphs.md"), "utf8");
  const parent = join(root, ".stemma");
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, "guide-"));
  try {
    let code = blocks(text, "ts");
    for (const [name, entry] of Object.entries(entries)) {
      code = code.replaceAll(`from "${name}";`, `from ${JSON.stringify(join(root, "src", `${entry}.ts`))};`);
    }
    const file = join(folder, "guide.ts");
    writeFileSync(file, code);
    const out = execFileSync(process.execPath, [file], { encoding: "utf8" });
    expect(out).toBe(blocks(text, "text"));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
