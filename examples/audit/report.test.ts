import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cell, jsonReport, markdownReport, summarise, writeReport } from "./report.ts";
import type { Finding } from "./report.ts";

function finding(name: string, more: Partial<Finding> = {}): Finding {
  return {
    name,
    version: "1.0.0",
    path: name,
    declared: "MIT",
    licence: "MIT",
    confidence: 1,
    conflict: false,
    bundled: [],
    facts: { hasReadme: true, readmeWords: 10, hasInstallSection: true, hasExample: true, copyrightHolders: ["Ada"] },
    ...more,
  };
}

const findings = [
  finding("a"),
  finding("b", { licence: "unknown", declared: null, confidence: 0 }),
  finding("c", { licence: "ISC", conflict: true }),
  finding("d", { licence: "ISC", declared: "ISC", confidence: 0.5 }),
  finding("e", {
    facts: { hasReadme: false, readmeWords: 0, hasInstallSection: false, hasExample: false, copyrightHolders: [] },
  }),
];

describe("the summary", () => {
  test("counts each package once, under its licence", () => {
    expect(summarise(findings)).toMatchObject({
      packages: 5,
      byLicence: [
        { licence: "ISC", packages: 2 },
        { licence: "MIT", packages: 2 },
        { licence: "unknown", packages: 1 },
      ],
      documentation: { withoutReadme: 1, withoutInstall: 1, withoutExample: 1, words: 40 },
    });
  });

  test("names every package that needs a person's eye, and no other", () => {
    const { unknown, conflicting, withoutText } = summarise(findings);
    expect(unknown.map((one) => one.package)).toEqual(["b@1.0.0"]);
    expect(conflicting).toEqual([{ package: "c@1.0.0", path: "c", declared: "MIT", licence: "ISC" }]);
    expect(withoutText.map((one) => one.package)).toEqual(["d@1.0.0"]);
  });
});

describe("the texts", () => {
  test("every table row of any report has as many cells as its head, whatever packages are called", () => {
    const hostile = fc.string({ unit: fc.constantFrom("|", "\\", "\n", "\r", "`", "<", "a", "\u2028", "[x](y)") });
    fc.assert(
      fc.property(fc.array(hostile), hostile, (names, holder) => {
        const facts = { ...finding("x").facts, copyrightHolders: [holder] };
        const list = names.map((name) => finding(name, { facts, conflict: true, declared: name }));
        let columns = 0;
        for (const line of markdownReport(summarise(list), list).split("\n")) {
          const bars = line.replaceAll(/\\./g, "").split("|").length;
          if (!line.startsWith("|")) columns = 0;
          else if (columns === 0) columns = bars;
          else expect(bars).toBe(columns);
        }
      }),
    );
  });

  test("a cell can neither format nor link nor embed", () => {
    expect(cell("<img src=x>|`a`\n[b](c)_d_")).toBe("&lt;img src=x&gt;\\|\\`a\\` \\[b\\](c)\\_d\\_");
  });

  test("the JSON report holds the summary and every finding", () => {
    expect(JSON.parse(jsonReport(summarise(findings), findings))).toEqual({
      summary: summarise(findings),
      packages: findings,
    });
  });
});

describe("writing", () => {
  test("both files are whole, replace earlier ones, and leave nothing else behind", async () => {
    const parent = await mkdtemp(join(tmpdir(), "stemma-report-"));
    try {
      const out = join(parent, "deep/out");
      const files = await writeReport(out, summarise(findings), findings);
      await writeFile(files.markdown, "old");
      expect(await writeReport(out, summarise(findings), findings)).toEqual(files);
      expect((await readdir(out)).sort()).toEqual(["report.json", "report.md"]);
      expect(await readFile(files.markdown, "utf8")).toBe(markdownReport(summarise(findings), findings));
      expect(await readFile(files.json, "utf8")).toBe(jsonReport(summarise(findings), findings));
    } finally {
      await rm(parent, { recursive: true });
    }
  });
});
