/**
 * The outcome of the audit: a summary by licence, what needs a person's eye, and the report in Markdown and JSON. Equal
 * findings give equal texts (no time, no path of the machine), so writing a report again changes nothing.
 */
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Classification } from "./classify.ts";

/** What the audit knows of one package. */
export type Finding = Classification & {
  name: string;
  version: string;
  path: string;
  /** The licence as `package.json` declares it. */
  declared: string | null;
};

export type Summary = {
  packages: number;
  /** Most frequent first, then by name. */
  byLicence: { licence: string; packages: number }[];
  /** No licence could be recognised, nor is one declared. */
  unknown: Flag[];
  /** The licence text is not the declared licence. */
  conflicting: Flag[];
  /** The licence is only declared: there is no text that says so. */
  withoutText: Flag[];
  documentation: { withoutReadme: number; withoutInstall: number; withoutExample: number; words: number };
};

/** One package that is named in a report, as `name@version`, with what was declared and what was found. */
export type Flag = { package: string; path: string; declared: string | null; licence: string };

export type ReportFiles = { markdown: string; json: string };

/** A confidence below this means that no text was recognised. */
const recognisedMin = 0.6;

export function summarise(findings: readonly Finding[]): Summary {
  const counts = new Map<string, number>();
  for (const { licence } of findings) counts.set(licence, (counts.get(licence) ?? 0) + 1);
  const count = (has: (facts: Finding["facts"]) => boolean): number =>
    findings.filter(({ facts }) => !has(facts)).length;
  return {
    packages: findings.length,
    byLicence: [...counts]
      .map(([licence, packages]) => ({ licence, packages }))
      .sort((a, b) => b.packages - a.packages || (a.licence < b.licence ? -1 : 1)),
    unknown: findings.filter(({ licence }) => licence === "unknown").map(flag),
    conflicting: findings.filter(({ conflict }) => conflict).map(flag),
    withoutText: findings
      .filter(({ licence, confidence }) => licence !== "unknown" && confidence < recognisedMin)
      .map(flag),
    documentation: {
      withoutReadme: count((facts) => facts.hasReadme),
      withoutInstall: count((facts) => facts.hasInstallSection),
      withoutExample: count((facts) => facts.hasExample),
      words: findings.reduce((sum, { facts }) => sum + facts.readmeWords, 0),
    },
  };
}

function flag({ name, version, path, declared, licence }: Finding): Flag {
  return { package: `${name}@${version}`, path, declared, licence };
}

/** The report for people. */
export function markdownReport(summary: Summary, findings: readonly Finding[]): string {
  const { documentation } = summary;
  const parts = [
    "# Licence and documentation audit",
    `${summary.packages} packages, ${summary.byLicence.length} licences, ${summary.unknown.length} unknown, ` +
      `${summary.conflicting.length} conflicting.`,
    "## Licences",
    table(
      ["Licence", "Packages"],
      summary.byLicence.map(({ licence, packages }) => [licence, String(packages)]),
    ),
    "## Unknown",
    flags(summary.unknown),
    "## Conflicting",
    flags(summary.conflicting),
    "## Declared, without a recognised text",
    flags(summary.withoutText),
    "## Documentation",
    table(
      ["", "Packages"],
      [
        ["without a README", String(documentation.withoutReadme)],
        ["without installation", String(documentation.withoutInstall)],
        ["without an example", String(documentation.withoutExample)],
      ],
    ),
    "## All packages",
    table(["Package", "Licence", "Confidence", "Bundled", "README words", "Copyright"], findings.map(findingRow)),
  ];
  return `${parts.join("\n\n")}\n`;
}

function findingRow({ name, version, licence, confidence, bundled, facts }: Finding): string[] {
  const percent = `${Math.round(confidence * 100)} %`;
  return [
    `${name}@${version}`,
    licence,
    percent,
    bundled.join(", "),
    String(facts.readmeWords),
    facts.copyrightHolders.join("; "),
  ];
}

function flags(list: readonly Flag[]): string {
  if (list.length === 0) return "None.";
  return table(
    ["Package", "Declared", "Found", "Path"],
    list.map((one) => [one.package, one.declared ?? "nothing", one.licence, one.path]),
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(" | ")} |`;
  return [line(head), `| ${head.map(() => "---").join(" | ")} |`, ...rows.map(line)].join("\n");
}

/** Text that comes from strangers, as a cell: it can neither end the cell or the row, nor format, link or embed. */
export function cell(text: string): string {
  return text
    .replaceAll(/[\r\n\t\u2028\u2029]+/g, " ")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll(/[\\|`*_[\]~]/g, "\\$&")
    .trim();
}

/** The report for programs. */
export function jsonReport(summary: Summary, findings: readonly Finding[]): string {
  return `${JSON.stringify({ summary, packages: findings }, null, 2)}\n`;
}

/**
 * Writes both reports into `out`. Each file is complete or not there: it is written beside its place, made durable, and
 * renamed. So the step that does this can be repeated at any time.
 */
export async function writeReport(out: string, summary: Summary, findings: readonly Finding[]): Promise<ReportFiles> {
  await mkdir(out, { recursive: true });
  const files = { markdown: join(out, "report.md"), json: join(out, "report.json") };
  await replaceFile(files.markdown, markdownReport(summary, findings));
  await replaceFile(files.json, jsonReport(summary, findings));
  return files;
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await using file = await open(temporary, "w");
    await file.writeFile(text);
    await file.sync();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
