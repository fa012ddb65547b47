/** The entries of a run's tree as lines of text. */
import { formatDuration } from "../core/duration.ts";
import type { ErrorRecord } from "../core/event.ts";
import { lookOf, relativeText, timeText, wordsOf } from "./look.ts";
import type { Branch, Child, Entry } from "./run-tree.ts";
import { entriesOf } from "./run-tree.ts";
import { paint, shorten, visible } from "./terminal.ts";
import type { TreeNode } from "./tree.ts";
import type { Texts } from "./value-text.ts";
import { fullLines, shortText } from "./value-text.ts";

export type EntryOptions = {
  now: number;
  /** Outputs in full, with the texts of the large ones. */
  outputs: boolean;
  texts: Texts;
  /** Every sibling, however many there are. */
  all: boolean;
  /** Whether somebody works on the run: if not, a step that was begun is not running. */
  held: boolean;
};

const outputCharsMax = 60;
const messageCharsMax = 200;
/** More quiet siblings than this are folded to the first of them; what is folded is counted, never dropped. */
const quietMax = 12;
const quietShown = 8;
const causesMax = 8;

/** The branches of a tree, ready to be drawn. */
export function treeNodes(branch: Branch, options: EntryOptions): TreeNode[] {
  const quiet = branch.children.filter(isQuiet);
  if (options.all || quiet.length <= quietMax) return branch.children.map((child) => nodeOf(child, options));
  const folded = new Set(quiet.slice(quietShown));
  const nodes = branch.children.filter((child) => !folded.has(child)).map((child) => nodeOf(child, options));
  const rest = entriesOf({ name: "", path: "", children: [...folded] });
  return [...nodes, { line: paint(`… ${countText(rest)} more (--all shows them)`, "dim") }];
}

/** What went as it should: the first to be folded when there is much of it. */
function isQuiet({ entry, branch }: Child): boolean {
  if (entry === undefined) return branch.children.every(isQuiet);
  return ["succeeded", "reused", "answered"].includes(entry.status);
}

function nodeOf({ entry, branch }: Child, options: EntryOptions): TreeNode {
  if (entry !== undefined) return { line: entryLine(entry, options), below: belowEntry(entry, options) };
  const kind = branch.kind === undefined ? "" : kindWords[branch.kind];
  const summary = [kind, countText(entriesOf(branch)), spanText(branch)].filter((part) => part !== "").join(" · ");
  return { line: `${paint(branch.name, "bold")}  ${paint(summary, "dim")}`, children: treeNodes(branch, options) };
}

const kindWords = { scope: "", map: "map", all: "branch of all", race: "won the race" } as const;

/** `120 succeeded, 1 failed` */
function countText(entries: readonly Entry[]): string {
  const counts = new Map<string, number>();
  for (const { status } of entries) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts].map(([status, count]) => `${count} ${wordsOf(status)}`).join(", ");
}

/** From the first event of a branch to its last. */
function spanText(branch: Branch): string {
  const entries = entriesOf(branch);
  const first = entries.reduce((at, entry) => Math.min(at, entry.firstAt - (entry.ms ?? 0)), Infinity);
  const last = entries.reduce((at, entry) => Math.max(at, entry.lastAt), -Infinity);
  return entries.length === 0 ? "" : formatDuration(last - first);
}

function entryLine(entry: Entry, options: EntryOptions): string {
  const { glyph, style } = lookOf(entry.status);
  const timer = entry.waitsFor === "timer";
  const mark = timer && entry.status === "answered" ? paint("◷", style) : paint(glyph, style);
  const name = entry.kind === "wait" ? paint(entry.name, "italic") : visible(entry.name);
  const facts = entry.kind === "wait" ? waitFacts(entry, options.now) : stepFacts(entry, options);
  const output = options.outputs ? "" : shortText(entry.output, options.texts, outputCharsMax);
  return [`${mark} ${name}`, ...facts, ...(output === "" ? [] : [`${paint("→", "dim")} ${output}`])].join("  ");
}

function stepFacts(entry: Entry, { now, held }: EntryOptions): string[] {
  const { style } = lookOf(entry.status);
  const facts: string[] = [];
  if (entry.status === "running" && !held) facts.push(paint("begun and not settled", "yellow"));
  else if (entry.status !== "succeeded") facts.push(paint(wordsOf(entry.status), style));
  if (entry.status === "running" && held) facts.push(paint(`for ${formatDuration(now - entry.firstAt)}`, "dim"));
  if (entry.ms !== undefined) facts.push(paint(formatDuration(entry.ms), "dim"));
  if (entry.kind === "child" && entry.from !== undefined) facts.push(paint(`run ${entry.from.run}`, "dim"));
  if (entry.status === "reused" && entry.from !== undefined) {
    facts.push(paint(`from ${entry.from.run} ${entry.from.key ?? ""}`.trimEnd(), "dim"));
  }
  if (entry.attempt > 1) facts.push(paint(`attempt ${entry.attempt}`, "yellow"));
  if (entry.effect === "once") facts.push(paint("once", "dim"));
  if (entry.reason !== undefined) facts.push(paint(`(${entry.reason})`, "dim"));
  return facts;
}

function waitFacts(entry: Entry, now: number): string[] {
  const kind = entry.waitsFor ?? "wait";
  const { style } = lookOf(entry.status);
  if (entry.status !== "waiting") {
    const took = formatDuration(entry.lastAt - entry.firstAt);
    const why = entry.reason === undefined ? "" : ` (${entry.reason})`;
    const done = kind === "timer" && entry.status === "answered" ? "fired" : wordsOf(entry.status);
    return [paint(kind, "dim"), paint(`${done} after ${took}${why}`, "dim")];
  }
  const facts = [paint(kind === "timer" ? "timer" : `waits for ${kindNames[kind] ?? "an answer"}`, style)];
  if (entry.until !== undefined) {
    const verb = kind === "timer" ? (entry.until > now ? "fires" : "was due") : "expires";
    facts.push(`${verb} ${relativeText(entry.until, now)} ${paint(`(${timeText(entry.until)})`, "dim")}`);
  }
  return facts;
}

const kindNames: Readonly<Record<string, string>> = {
  approval: "an approval",
  signal: "a signal",
  external: "an external result",
};

function belowEntry(entry: Entry, options: EntryOptions): string[] {
  const lines: string[] = [];
  if (entry.prompt !== undefined) lines.push(paint(entry.prompt, "italic"));
  if (entry.error !== undefined) lines.push(...errorLines(entry.error));
  if (options.outputs) lines.push(...fullLines(entry.output, options.texts));
  return lines;
}

/** An error and what it comes from, a line each. */
export function errorLines(error: ErrorRecord): string[] {
  const lines: string[] = [];
  let at: ErrorRecord | undefined = error;
  for (let depth = 0; at !== undefined && depth <= causesMax; depth += 1) {
    const code = at.code === undefined ? "" : ` [${shorten(at.code, messageCharsMax)}]`;
    const text = `${shorten(at.name, messageCharsMax)}${code}: ${shorten(at.message, messageCharsMax)}`;
    lines.push(depth === 0 ? paint(text, "red") : paint(`caused by ${text}`, "dim"));
    at = at.cause;
  }
  return lines;
}
