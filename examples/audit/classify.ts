/**
 * What the paid service sells: it reads the licence text and the README of a package and says which licence the text
 * really is, whether that contradicts what the package declares, and what the documentation holds. Pure functions;
 * the ledger and the HTTP server around them know nothing of licences.
 */
import { licenceAliases, licencePatterns } from "./licences.ts";
import type { LicencePattern } from "./licences.ts";

/** One package as it is sent to the service. Absent files are empty texts, an absent field is null. */
export type Subject = {
  name: string;
  version: string;
  /** What is asked. Default: the usual. */
  prompt?: string | undefined;
  licenceField: string | null;
  licenceText: string;
  readme: string;
};

export type Classification = {
  /** SPDX id, two or more joined by ` OR ` for a choice, or `unknown`. */
  licence: string;
  /** 1: every characteristic phrase of the text was found; 0.5: only declared, without a text; 0: unknown. */
  confidence: number;
  /** The text is another licence than the declared one. False where one of the two is missing. */
  conflict: boolean;
  /** Further licences whose text is in the file: of bundled parts, not of the package itself. */
  bundled: string[];
  facts: {
    hasReadme: boolean;
    readmeWords: number;
    hasInstallSection: boolean;
    hasExample: boolean;
    copyrightHolders: string[];
  };
};

/** Confidence in a licence that is only declared, and in one that is declared beside a text nobody recognises. */
const declaredConfidence = 0.5;
const unrecognisedConfidence = 0.3;
/** Below this share of its phrases a text is not taken for the licence whose beginning it has. */
const shareMin = 0.6;
const holdersMax = 20;
const holderCharsMax = 200;
/** No copyright line is longer. Texts come from strangers: every pattern runs over bounded text only. */
const lineCharsMax = 500;
/** A file with more beginnings of one licence than this is a collection; the first ones decide. */
const beginningsMax = 20;

/** Classifies one package. Equal subjects give equal answers. */
export function classify(subject: Subject): Classification {
  const found = recognise(subject.licenceText);
  const declared = declaredLicences(subject.licenceField);
  const facts = {
    ...readmeFacts(subject.readme),
    copyrightHolders: copyrightHolders(subject.licenceText || subject.readme),
  };

  const own = found.length > 0 ? found : recognise(subject.readme).slice(0, 1);
  if (own.length === 0) {
    const unknown = { licence: "unknown", confidence: 0, conflict: false, bundled: [], facts };
    if (declared.ids.length === 0 || asksForTextOnly(subject)) return unknown;
    const confidence = subject.licenceText.trim() === "" ? declaredConfidence : unrecognisedConfidence;
    return { licence: joined(declared), confidence, conflict: false, bundled: [], facts };
  }

  const chosen = isChoice(subject.licenceText, declared, own) ? own : own.slice(0, 1);
  const rest = own.filter((match) => !chosen.includes(match));
  const ids = chosen.map((match) => match.id).sort();
  return {
    licence: ids.join(" OR "),
    confidence: Math.min(...chosen.map((match) => match.confidence)),
    conflict: declared.ids.length > 0 && !ids.every((id) => declared.ids.includes(id)),
    bundled: rest.map((match) => match.id).sort(),
    facts,
  };
}

function asksForTextOnly({ prompt = "" }: Subject): boolean {
  return /\btext only\b/i.test(prompt);
}

type Match = { id: string; at: number; confidence: number };

/** The licences whose text is in `text`, each once, in the order in which they begin. */
export function recognise(text: string): Match[] {
  const plain = normalise(text);
  const matches: Match[] = [];
  for (const pattern of licencePatterns) {
    const match = firstMatch(plain, pattern);
    if (match) matches.push(match);
  }
  return matches.sort((a, b) => a.at - b.at);
}

function firstMatch(plain: string, pattern: LicencePattern): Match | undefined {
  for (const { index } of plain.matchAll(pattern.key).take(beginningsMax)) {
    const span = plain.slice(index, index + pattern.span);
    if (pattern.unless?.some((phrase) => span.includes(phrase))) continue;
    if (pattern.must?.some((phrase) => !span.includes(phrase))) continue;
    const hits = pattern.also.filter((phrase) => span.includes(phrase)).length;
    const share = (1 + hits) / (1 + pattern.also.length);
    if (share >= shareMin) return { id: pattern.id, at: index, confidence: Math.round(share * 100) / 100 };
  }
  return undefined;
}

/** Lower case, letters and digits only, single blanks: what is left is what lawyers did not change. */
export function normalise(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, " ")
    .trim();
}

type Declared = { ids: string[]; choice: boolean };

/** SPDX ids of a `license` field; empty where it names none (`SEE LICENSE IN …`, `UNLICENSED`, nothing). */
export function declaredLicences(field: string | null): Declared {
  const value = field?.trim() ?? "";
  if (value === "" || /^(see licen[cs]e|unlicensed$|none$|custom)/i.test(value)) return { ids: [], choice: false };
  // Own names only: a package may declare "__proto__" or "constructor" as its licence.
  const name = value.toLowerCase();
  const alias = Object.hasOwn(licenceAliases, name) ? licenceAliases[name] : undefined;
  if (alias) return { ids: [...alias], choice: alias.length > 1 };
  const ids = value
    .replaceAll(/[()]/g, " ")
    .split(/\s+(?:or|and)\s+/i)
    .map((part) => part.trim().replace(/\s+with\s.*$/i, ""))
    .map((part) => part.replace(/(-only|-or-later|\+)$/, ""))
    .filter((part) => /^[A-Za-z0-9][A-Za-z0-9.-]*$/.test(part));
  return { ids: [...new Set(ids)], choice: /\sor\s/i.test(value) };
}

function joined({ ids, choice }: Declared): string {
  return [...ids].sort().join(choice ? " OR " : " AND ");
}

/**
 * Whether several licence texts are a choice for the user, not those of bundled parts: the package says so, in its
 * field or in the words that lawyers use for it, before the second text begins.
 */
function isChoice(text: string, declared: Declared, matches: Match[]): boolean {
  if (matches.length < 2) return false;
  if (declared.choice && matches.filter((match) => declared.ids.includes(match.id)).length > 1) return true;
  const before = normalise(text).slice(0, matches[1]?.at ?? 0);
  return /(dual licen[sc]e|at your option|under either|either of the following licen|choose either)/.test(before);
}

function readmeFacts(readme: string): Omit<Classification["facts"], "copyrightHolders"> {
  const prose = readme.replaceAll(/```[\s\S]*?```/g, " ");
  const titles = headings(prose);
  return {
    hasReadme: readme.trim() !== "",
    readmeWords: prose.match(/[\p{L}\p{N}][\p{L}\p{N}'’-]*/gu)?.length ?? 0,
    hasInstallSection:
      titles.some((title) => /\b(install|installation|installing|getting started|quick start|setup)\b/i.test(title)) ||
      /\b(npm (i|install)|yarn add|pnpm (add|i|install)) +\S/i.test(readme),
    hasExample: /^(```|~~~)/m.test(readme) || titles.some((title) => /\b(usage|examples?|quick start)\b/i.test(title)),
  };
}

/** Titles of a Markdown text: lines after `#`, and lines that are underlined. */
function headings(text: string): string[] {
  const lines = text.split(/\r?\n/);
  return lines.filter(
    (line, at) => /^#{1,6}\s/.test(line) || (line.trim() !== "" && /^(={3,}|-{3,})$/.test(lines[at + 1] ?? "")),
  );
}

/**
 * Names behind a copyright mark at the beginning of a line. A line without `(c)` or a year is not a notice but a
 * sentence about copyright, and a `(c)` alone, without a year, is an item of a list.
 */
export function copyrightHolders(text: string): string[] {
  const holders = new Set<string>();
  for (const line of text.split(/\r?\n/)) {
    if (line.length > lineCharsMax) continue;
    const notice =
      /^[\s>*#/_-]*copyright:?\s*(?:(?:\(c\)|©|&copy;)|(?=[\d[]|[^<]+<[^>]+>))(.*)$/i.exec(line) ??
      /^[\s>*#/_-]*(?:\(c\)|©)\s*(?=\d)(.*)$/i.exec(line);
    const name = holderOf(notice?.[1] ?? "");
    if (name !== "" && name.length <= holderCharsMax) holders.add(name);
    if (holders.size === holdersMax) break;
  }
  return [...holders];
}

/** The name in the rest of a notice: without years, addresses and phrases; empty if it is a blank to fill in. */
function holderOf(notice: string): string {
  const name = notice
    .replace(/^(?:\(c\)|©|[\d\s,+–—-]|present\b|now\b|by\b)+/i, "")
    .replace(/[.,;]?\s*all rights reserved.*$/i, "")
    .replaceAll(/<[^>]*>|\([^)]*(?:@|:\/\/|\.\w)[^)]*\)|https?:\/\/\S+|\S+@\S+/g, "")
    .replaceAll(/[*_`]/g, "")
    .replaceAll(/\s+/g, " ")
    .replace(/[\s.,;:-]+$/, "")
    .trim();
  return /^(\[|\{|<|"|yyyy|year\b|name of\b)/i.test(name) ? "" : name;
}
