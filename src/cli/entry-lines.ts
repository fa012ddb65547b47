/** The entries of a run's tree as lines of text. */
import { formatDuration } from "../core/duration.ts";
import type { ErrorRecord } from "../core/event.ts";
import { lookOf, relativeText, timeText, wordsOf } from "./look.ts";
import { isTerminal } from "../core/run.ts";
import type { CalledRun } from "./called-runs.ts";
import type { Branch, Child, Entry } from "./run-tree.ts";
import { entriesOf } from "./run-tree.ts";
import { isHeld } from "./shown-run.ts";
import type { Cell } from "./table.ts";
import { shorten } from "./terminal.ts";
import type { Below, TreeLine, TreeNode } from "./tree.ts";
import type { Texts } from "./value-text.ts";
import { fullLines, shortText } from "./value-text.ts";

export type EntryOptions = {
  now: number;
  /** Places on a line; Infinity where nothing is cut. */
  width: number;
  /** Outputs in full, with the texts of the large ones. */
  outputs: boolean;
  texts: Texts;
  /** What stands below a step is cut to a line, as there is little room. */
  brief?: boolean;
  /** Every sibling, however many there are. */
  all: boolean;
  /** Runs that were called, by their ids, as far as they are to be shown below their calls. */
  called?: ReadonlyMap<string, CalledRun>;
  /** Whether somebody works on the run: if not, a step that was begun is not running. */
  held: boolean;
  /** Whether the run goes on, so that what is on record may not be all there will be. */
  open: boolean;
  /** How many siblings of which there is nothing to say may stand side by side before they are counted only. */
  quiet: { max: number; shown: number; hint?: string };
};

/** As a run that is looked at once is shown: what is folded is counted, never dropped. */
export const quietNormal: EntryOptions["quiet"] = { max: 12, shown: 8, hint: "--all shows them" };

const outputCharsMax = 60;
const messageCharsMax = 200;
const causesMax = 8;

/** The branches of a tree, ready to be drawn. */
export function treeNodes(branch: Branch, options: EntryOptions): TreeNode[] {
  const quiet = branch.children.filter(isQuiet);
  const { max, shown, hint } = options.quiet;
  if (options.all || quiet.length <= max) return branch.children.map((child) => nodeOf(child, options));
  const folded = new Set(quiet.slice(shown));
  const nodes = branch.children.filter((child) => !folded.has(child)).map((child) => nodeOf(child, options));
  const rest = entriesOf({ name: "", path: "", children: [...folded] });
  const text = `… ${countText(rest)} more${hint === undefined ? "" : ` (${hint})`}`;
  return [...nodes, { line: { name: { text, style: "dim" }, loose: true } }];
}

/** What went as it should: the first to be folded when there is much of it. */
export function isQuiet({ entry, branch }: Child): boolean {
  if (entry === undefined) return branch.children.every(isQuiet);
  return ["succeeded", "reused", "answered"].includes(entry.status);
}

function nodeOf({ entry, branch }: Child, options: EntryOptions): TreeNode {
  if (entry !== undefined) return entryNode(entry, options);
  return { line: branchLine(branch, options), children: treeNodes(branch, options) };
}

/** A step or wait; a call with what the called run did, one level deep. */
function entryNode(entry: Entry, options: EntryOptions): TreeNode {
  const called = entry.kind === "child" ? options.called?.get(entry.from?.run ?? "") : undefined;
  if (called === undefined) return { line: entryLine(entry, options), below: belowEntry(entry, options) };
  const { row, tree } = called;
  const { status } = row.state;
  // Of a call that goes on its own row knows more than the caller's history.
  const shown = entry.status === "running" ? { ...entry, status } : entry;
  const { called: _, ...rest } = options;
  const inner = { ...rest, held: isHeld(row), open: !isTerminal(status) };
  return {
    line: entryLine(shown, options),
    below: belowEntry(shown, options),
    ...(tree === undefined ? {} : { children: treeNodes(tree, inner) }),
  };
}

const kindWords = {
  scope: "scope",
  map: "map",
  all: "branch of all",
  race: "won the race",
  compensation: "makes up for what succeeded",
} as const;
const unsettled: ReadonlySet<string> = new Set([
  "running",
  "retrying",
  "waiting",
  "in_doubt",
  "queued",
  "suspended",
  "paused",
]);

function branchLine(branch: Branch, options: EntryOptions): TreeLine {
  const entries = entriesOf(branch);
  const settled = entries.filter(({ status }) => !unsettled.has(status)).length;
  // Until it is closed there may be more to come than is on record.
  const more = options.open && branch.kind === undefined ? "+" : "";
  const counts: Cell[] = [...countsOf(entries)]
    .filter(([status]) => status !== "succeeded" && status !== "answered")
    .map(([status, count]) => ({ text: `${count} ${wordsOf(status)}`, style: lookOf(status).style }));
  const kind: Cell[] = branch.kind === undefined ? [] : [{ text: kindWords[branch.kind], style: "dim" }];
  return {
    name: { text: branch.name, style: "bold" },
    time: spanText(entries, options),
    facts: [...kind, { text: `${settled}/${entries.length}${more}` }, ...counts],
  };
}

function countsOf(entries: readonly Entry[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { status } of entries) counts.set(status, (counts.get(status) ?? 0) + 1);
  return counts;
}

/** `120 succeeded, 1 failed` */
export function countText(entries: readonly Entry[]): string {
  return [...countsOf(entries)].map(([status, count]) => `${count} ${wordsOf(status)}`).join(", ");
}

/** From the first event of a branch to its last; to now while something in it goes on. */
function spanText(entries: readonly Entry[], { now, held }: EntryOptions): string {
  const first = entries.reduce((at, entry) => Math.min(at, beginOf(entry)), Infinity);
  const last = entries.reduce((at, entry) => Math.max(at, entry.lastAt), -Infinity);
  if (entries.length === 0) return "";
  const goesOn = held && entries.some(({ status }) => status === "running");
  return goesOn ? elapsedText(now - first) : formatDuration(last - first);
}

/** A quick step is on record when it is settled, a slow one some time after it began. */
function beginOf({ firstAt, lastAt, ms = 0 }: Entry): number {
  return Math.min(firstAt, lastAt - ms);
}

/** Whole seconds: of what still goes on the rest is out of date when it is read. */
export function elapsedText(ms: number): string {
  return formatDuration(ms < 1000 ? Math.max(0, ms) : Math.floor(ms / 1000) * 1000);
}

function entryLine(entry: Entry, options: EntryOptions): TreeLine {
  const { glyph, style } = lookOf(entry.status);
  const timer = entry.waitsFor === "timer";
  const isWait = entry.kind === "wait";
  const output = options.outputs ? "" : shortText(entry.output, options.texts, outputCharsMax);
  const time = timeOf(entry, options);
  return {
    mark: { text: timer && entry.status === "answered" ? "◷" : glyph, style },
    name: isWait ? { text: entry.name, style: "italic" } : { text: entry.name },
    ...(time === undefined ? {} : { time }),
    facts: isWait ? waitFacts(entry, options.now) : stepFacts(entry, options),
    ...(output === "" ? {} : { extra: output }),
  };
}

/** How long it took; of what goes on, how long it has been going on. */
function timeOf(entry: Entry, { now, held }: EntryOptions): string | undefined {
  if (entry.status === "waiting") return elapsedText(now - entry.firstAt);
  if (entry.kind === "child" && unsettled.has(entry.status)) return elapsedText(now - entry.firstAt);
  if (entry.status === "running") return held || entry.kind === "child" ? elapsedText(now - entry.lastAt) : undefined;
  if (entry.kind !== "step") return formatDuration(entry.lastAt - entry.firstAt);
  return entry.ms === undefined ? undefined : formatDuration(entry.ms);
}

function stepFacts(entry: Entry, { now, held }: EntryOptions): Cell[] {
  const { style } = lookOf(entry.status);
  const facts: Cell[] = [];
  const begun = entry.kind === "step" && entry.status === "running" && !held;
  if (begun) facts.push({ text: "begun and not settled", style: "yellow" });
  else if (entry.status !== "succeeded") facts.push({ text: wordsOf(entry.status), style });
  facts.push(...attemptFacts(entry, now));
  if (entry.kind === "child" && entry.from !== undefined) facts.push({ text: `run ${entry.from.run}`, style: "dim" });
  if (entry.status === "reused" && entry.from !== undefined) {
    facts.push({ text: `from ${entry.from.run} ${entry.from.key ?? ""}`.trimEnd(), style: "dim" });
  }
  if (entry.status === "in_doubt" && entry.held !== undefined) {
    facts.push({ text: `${entry.held.why} in ${entry.held.run}`, style: "dim" });
  }
  if (entry.decision !== undefined) facts.push({ text: decisionText(entry.decision), style: "blue" });
  if (entry.effect === "once") facts.push({ text: "once", style: "dim" });
  if (entry.reason !== undefined) facts.push({ text: `(${entry.reason})`, style: "dim" });
  return facts;
}

/** `decided by ada: record (the bank says so)` */
function decisionText({ decision, by, reason }: NonNullable<Entry["decision"]>): string {
  return `decided${by === undefined ? "" : ` by ${by}`}: ${decision}${reason === undefined ? "" : ` (${reason})`}`;
}

/** `attempt 2/5`, and when the next one begins. */
function attemptFacts({ status, attempt, attemptsMax, retryAt }: Entry, now: number): Cell[] {
  const which = `attempt ${attempt}${attemptsMax === undefined ? "" : `/${attemptsMax}`}`;
  if (status !== "retrying") return attempt > 1 ? [{ text: which, style: "yellow" }] : [];
  const facts: Cell[] = [{ text: `${which} failed`, style: "yellow" }];
  if (retryAt === undefined) return facts;
  return [...facts, { text: retryAt > now ? `again in ${elapsedText(retryAt - now)}` : "again now", style: "yellow" }];
}

function waitFacts(entry: Entry, now: number): Cell[] {
  const kind = entry.waitsFor ?? "wait";
  const { style } = lookOf(entry.status);
  if (entry.status !== "waiting") {
    const why = entry.reason === undefined ? "" : ` (${entry.reason})`;
    const done = kind === "timer" && entry.status === "answered" ? "fired" : wordsOf(entry.status);
    const who = entry.by === undefined ? "" : ` by ${entry.by}`;
    return [{ text: `${kind} ${done}${who}${why}`, style: "dim" }];
  }
  const facts: Cell[] = [{ text: kind === "timer" ? "timer" : `waits for ${kindNames[kind] ?? "an answer"}`, style }];
  if (entry.until === undefined) return facts;
  const verb = kind === "timer" ? (entry.until > now ? "fires" : "was due") : "expires";
  const when = Math.abs(entry.until - now) < 1000 ? "now" : relativeText(entry.until, now);
  return [...facts, { text: `${verb} ${when}` }, { text: `(${timeText(entry.until)})`, style: "dim" }];
}

const kindNames: Readonly<Record<string, string>> = {
  approval: "an approval",
  signal: "a signal",
  external: "an external result",
};

function belowEntry(entry: Entry, options: EntryOptions): Below[] {
  const lines: Below[] = [];
  const form: Pick<Below, "form"> = options.brief === true ? { form: "brief" } : {};
  if (entry.prompt !== undefined) lines.push({ text: entry.prompt, style: "italic", ...form });
  if (entry.error !== undefined) lines.push(...errorLines(entry.error).map((cell) => ({ ...cell, ...form })));
  if (options.outputs)
    lines.push(...fullLines(entry.output, options.texts).map((text): Below => ({ text, form: "whole" })));
  return lines;
}

/** An error and what it comes from, a line each. */
export function errorLines(error: ErrorRecord): Cell[] {
  const lines: Cell[] = [];
  let at: ErrorRecord | undefined = error;
  for (let depth = 0; at !== undefined && depth <= causesMax; depth += 1) {
    const code = at.code === undefined ? "" : ` [${shorten(at.code, messageCharsMax)}]`;
    const text = `${shorten(at.name, messageCharsMax)}${code}: ${shorten(at.message, messageCharsMax)}`;
    lines.push(depth === 0 ? { text, style: "red" } : { text: `caused by ${text}`, style: "dim" });
    at = at.cause;
  }
  return lines;
}
