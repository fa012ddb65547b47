/** Licences of installed packages as they really are, and what they ask of whoever ships them, with the words that say so. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

export type Duty = { duty: string; quote: string };
export type Finding = { name: string; licence: string; duties: Duty[] };

/** What is looked for, and by which words a licence says it. */
const duties: readonly { duty: string; words: RegExp }[] = [
  { duty: "keep the copyright notice", words: /above copyright notice|retain, in the Source form/iu },
  { duty: "say what was changed", words: /stating that You changed the files/iu },
  { duty: "use no names to endorse", words: /(?:name|names) of .{0,120}(?:endorse|promote)/iu },
  { duty: "expect no warranty", words: /"AS IS"/iu },
];

/** Packages in a folder of modules that have the text of a licence, by name. */
export function packagesIn(folder: string): string[] {
  const names = readdirSync(folder).flatMap((name) => {
    if (name.startsWith(".")) return [];
    return name.startsWith("@") ? readdirSync(join(folder, name)).map((inner) => `${name}/${inner}`) : [name];
  });
  return names.filter((name) => textOf(folder, name) !== "" && licenceOf(folder, name) !== "").toSorted();
}

/** A few of them: of each licence the first, then others in their order. */
export function pick(folder: string, count: number): string[] {
  const names = packagesIn(folder);
  const licences = new Set<string>();
  const first = names.filter((name) => {
    const licence = licenceOf(folder, name);
    return !licences.has(licence) && licences.add(licence);
  });
  return [...new Set([...first, ...names])].slice(0, count).toSorted();
}

export function licenceOf(folder: string, name: string): string {
  try {
    const { license } = JSON.parse(readFileSync(join(folder, name, "package.json"), "utf8")) as { license?: unknown };
    return typeof license === "string" ? license : "";
  } catch {
    return "";
  }
}

/** The text of the licence with single spaces; empty where there is none. */
export function textOf(folder: string, name: string): string {
  try {
    const file = readdirSync(join(folder, name)).find((one) => /^licen[cs]e(?:\.\w+)?$/iu.test(one));
    return file === undefined ? "" : readFileSync(join(folder, name, file), "utf8").replaceAll(/\s+/gu, " ");
  } catch {
    return "";
  }
}

/** What the licence of a package asks, each with the words around that say it. */
export function assess(folder: string, name: string): Finding {
  const text = textOf(folder, name);
  const found = duties.flatMap(({ duty, words }) => {
    const [quote] = new RegExp(`[^.;:]{0,80}(?:${words.source})[^.;:]{0,80}`, "iu").exec(text) ?? [];
    return quote === undefined ? [] : [{ duty, quote: quote.trim() }];
  });
  return { name, licence: licenceOf(folder, name), duties: found };
}

/** Quotes that do not stand in the text that they are said to be from. */
export function unproven(folder: string, findings: readonly Finding[]): string[] {
  return findings.flatMap(({ name, duties: found }) =>
    found.filter(({ quote }) => !textOf(folder, name).includes(quote)).map(({ duty }) => `${name}: ${duty}`),
  );
}

export type Style = "full" | "brief";

/** One line for each duty: who asks it. */
export function report(findings: readonly Finding[], style: Style): string {
  const all = [...new Set(findings.flatMap((finding) => finding.duties.map(({ duty }) => duty)))].toSorted();
  const lines = all.map((duty) => {
    const asking = findings.filter((finding) => finding.duties.some((one) => one.duty === duty));
    const who = style === "brief" ? `${asking.length} packages` : asking.map(({ name }) => name).join(", ");
    return `${duty}: ${who}`;
  });
  return lines.join("\n");
}
