/** Guides that say they are programs: their code as it stands there, in one piece, and what it prints. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

/** Packages as their users name them, and where their sources are. */
const entries = {
  stemma: "index",
  "stemma/agents": "agents",
  "stemma/graph": "graph",
  "stemma/server": "server",
  "stemma/sqlite": "sqlite",
  "stemma/tasks": "tasks",
};

const blocks = (text: string, language: string): string =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gmu"))].map(([, code]) => code).join("");

/** What a guide's program prints, and what the guide says that it does. */
export function runGuide(name: string): { printed: string; said: string } {
  const text = readFileSync(join(root, "docs/guide", name), "utf8");
  const parent = join(root, ".stemma");
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, "guide-"));
  try {
    let code = blocks(text, "ts");
    for (const [package_, entry] of Object.entries(entries)) {
      code = code.replaceAll(`from "${package_}";`, `from ${JSON.stringify(join(root, "src", `${entry}.ts`))};`);
    }
    const file = join(folder, "guide.ts");
    writeFileSync(file, code);
    return {
      printed: execFileSync(process.execPath, [file], { encoding: "utf8", cwd: folder }),
      said: blocks(text, "text"),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
