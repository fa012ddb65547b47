/** A run as text: what it is and how it stands, the tree of what it did, and how it ended. */
import { formatDuration } from "../core/duration.ts";
import type { Value } from "../core/event.ts";
import { parseKey } from "../core/identity.ts";
import { noWorkerOffersText } from "../core/offered.ts";
import { isTerminal } from "../core/run.ts";
import type { RunRow } from "../store/store.ts";
import { answerHint } from "./answer-hint.ts";
import { commandText } from "./command-text.ts";
import type { EntryOptions } from "./entry-lines.ts";
import { errorLines, treeNodes } from "./entry-lines.ts";
import { lookOf, relativeText, timeText, wordsOf } from "./look.ts";
import type { Entry } from "./run-tree.ts";
import { entriesOf } from "./run-tree.ts";
import type { ShownRun } from "./shown-run.ts";
import { offerOf } from "./shown-run.ts";
import type { Cell } from "./table.ts";
import { flow, paintCell } from "./table.ts";
import { jsonText, shorten, visible } from "./terminal.ts";
import { drawTree } from "./tree.ts";
import { fullLines, shortText } from "./value-text.ts";
import { wrap } from "./width.ts";

const inputCharsMax = 100;
const namesMax = 5;
const hintsMax = 3;
const signalCharsMax = 40;
const detailCharsMax = 500;
/** Below this width names of fields have no column of their own, so that an id of a run still stands on one line. */
const fieldColumnWidth = 60;

/** The lines of `stemma show`. */
export function runLines(run: ShownRun, options: EntryOptions): string[] {
  const called = run.called === undefined ? {} : { called: run.called };
  const tree = drawTree(treeNodes(run.tree, { ...options, ...called }), options.width);
  return [...headLines(run, options), ...(tree.length === 0 ? [] : ["", ...tree]), ...endLines(run, options)];
}

/** Which run it is, and how it stands. */
export function titleLines({ row }: Pick<ShownRun, "row">, width: number): string[] {
  const { state } = row;
  const { glyph, style } = lookOf(state.status);
  const reason = state.reason === undefined ? "" : ` (${wordsOf(state.reason)})`;
  return flow(
    [
      { text: row.id, style: "bold" },
      { text: offerOf(row) },
      { text: `${glyph} ${wordsOf(state.status)}${reason}`, style },
    ],
    width,
  );
}

function headLines(run: ShownRun, options: EntryOptions): string[] {
  const { row, created, tree } = run;
  const { state } = row;
  const { now, width } = options;
  const { style } = lookOf(state.status);
  const lines = titleLines(run, width);
  for (const text of adviceLines(run, entriesOf(tree), now)) lines.push(...field("", text, width, style));
  lines.push(...valueLines("input", created?.input, options), ...valueLines("context", created?.context, options));
  lines.push(...field("created", `${timeText(state.createdAt)} (${relativeText(state.createdAt, now)})`, width));
  lines.push(...field("started", startedText(row), width), ...field("ended", endedText(row), width));
  if (state.origin.kind !== "new") lines.push(...field("origin", originText(state.origin), width));
  lines.push(...field("", changeText(created), width));
  lines.push(...field("signals", keptText(run, options), width));
  if (state.tags.length > 0) lines.push(...field("tags", state.tags.join(", "), width));
  return lines;
}

/** Signals that nobody has waited for yet: `news {"n":1}, stop`. */
function keptText({ signals }: ShownRun, { texts }: EntryOptions): string {
  const kept = [...signals.kept.values()].map(({ name, payload }) =>
    `${name} ${shortText(payload, texts, signalCharsMax)}`.trimEnd(),
  );
  return kept.length === 0 ? "" : `kept: ${named(kept)}`;
}

export function field(name: string, text: string | undefined, width: number, style?: Cell["style"]): string[] {
  if (text === undefined || text === "") return [];
  return fieldOf(name, [style === undefined ? { text } : { text, style }], width);
}

/** Text behind the name of a field; what is long goes on under itself. */
function fieldOf(name: string, cells: readonly Cell[], width: number): string[] {
  const roomy = width >= fieldColumnWidth;
  const head = roomy ? `  ${name.padEnd(8)} ` : name === "" ? "  " : `  ${name} `;
  const indent = " ".repeat(roomy ? head.length : 4);
  const places = Math.max(width - Math.max(head.length, indent.length), 8);
  const shown = cells.flatMap((cell) => wrap(visible(cell.text), places).map((text) => paintCell({ ...cell, text })));
  return shown.map((line, i) => (i === 0 ? `${paintCell({ text: head, style: "dim" })}${line}` : `${indent}${line}`));
}

/** A value behind its name: on one line, or in full below it. */
function valueLines(name: string, value: Value | undefined, options: EntryOptions): string[] {
  if (!options.outputs) return field(name, shortText(value, options.texts, inputCharsMax), options.width);
  const [first, ...rest] = fullLines(value, options.texts);
  return [...field(name, first, Infinity), ...rest.map((line) => `  ${" ".repeat(9)}${line}`)];
}

function startedText({ state }: RunRow): string | undefined {
  if (state.startedAt === undefined) return undefined;
  return `${timeText(state.startedAt)}, ${formatDuration(state.startedAt - state.createdAt)} after it was created`;
}

function endedText({ state }: RunRow): string | undefined {
  if (state.endedAt === undefined) return undefined;
  return `${timeText(state.endedAt)}, it took ${formatDuration(state.endedAt - (state.startedAt ?? state.createdAt))}`;
}

function originText(origin: RunRow["state"]["origin"]): string {
  if (origin.kind === "schedule") return `schedule ${origin.schedule}`;
  if (origin.kind === "new") return "";
  return origin.kind === "child" ? `child of ${origin.run}, step ${origin.key}` : `${origin.kind} of ${origin.run}`;
}

/** Who made it from another run, why, and what was asked for: `ada: the tone was wrong (from draft)`. */
function changeText(created: ShownRun["created"]): string {
  if (created === undefined) return "";
  const { by, reason, from, after, reuse, overrides } = created;
  const said = [by, reason].filter((text) => text !== undefined).join(": ");
  const asked = [
    ...(from === undefined ? [] : [`from ${from}`]),
    ...(after === undefined ? [] : [`behind ${after}`]),
    ...(reuse === undefined ? [] : [`reuse ${reuse}`]),
    ...(overrides === undefined ? [] : [`output given: ${named(Object.keys(overrides))}`]),
  ].join("; ");
  return said === "" ? asked : `${said}${asked === "" ? "" : ` (${asked})`}`;
}

/** What a run that is not at its end waits for, and what one can do about it. */
export function adviceLines(run: Omit<ShownRun, "tree">, entries: readonly Entry[], now: number): string[] {
  const { row } = run;
  const { state } = row;
  if (isTerminal(state.status)) return [];
  return [...cancelLines(row), ...endingLines(run), ...standingLines(run, entries, now)];
}

/** Its body is done, whatever became of it. */
function endingLines({ row: { state }, suspension }: Omit<ShownRun, "tree">): string[] {
  if (state.cancel !== undefined || state.status !== "suspended" || suspension?.ending !== true) return [];
  return ["Its own code is done; it ends when what it left behind has."];
}

/** Somebody wants its end: from then on that is what it is about. */
function cancelLines({ state }: RunRow): string[] {
  if (state.cancel === undefined) return [];
  return [`It was asked to end${byText(state.cancel)}; it does when what is in flight has stopped.`];
}

/** ` by ada (too expensive)` */
function byText({ by, reason }: { by?: string; reason?: string }): string {
  return `${by === undefined ? "" : ` by ${by}`}${reason === undefined ? "" : ` (${reason})`}`;
}

function standingLines(run: Omit<ShownRun, "tree">, entries: readonly Entry[], now: number): string[] {
  const { row } = run;
  const { state } = row;
  const offer = offerOf(row);
  const nobody = isWaitingForCode(row) && !row.offered ? [`${noWorkerOffersText(state)}.`] : [];
  if (state.status === "queued") {
    if (row.dueAt !== null && row.dueAt > now)
      return [`It is due ${relativeText(row.dueAt, now)} (${timeText(row.dueAt)}).`, ...nobody];
    if (nobody.length > 0) return nobody;
    return [`No worker has taken it yet: one that offers ${offer} does as soon as it has room.`];
  }
  if (state.status === "running") {
    if (row.worker !== undefined) return answerLines(run, entries);
    if (nobody.length > 0) return nobody;
    return [`No worker holds it now: it goes on as soon as one that offers ${offer} takes it.`];
  }
  if (state.status === "paused") return [...pausedLines(run, now), ...nobody];
  return [...suspendedLines(run, offer, entries, now), ...nobody];
}

/** A run that a worker holds needs no other; one that was set aside needs more than a worker. */
function isWaitingForCode({ state, worker }: RunRow): boolean {
  return worker === undefined && (state.reason === undefined || state.reason === "waiting");
}

function pausedLines({ row, pause, place }: Omit<ShownRun, "tree">, now: number): string[] {
  const when = pause === undefined ? "" : ` ${relativeText(pause.at, now)}${byText(pause)}`;
  const { pausedWith } = row.state;
  if (pausedWith !== undefined) {
    return [
      `It was paused${when}, because the run that called it was: nothing begins until that one is unpaused.`,
      commandText(["unpause", pausedWith], place),
    ];
  }
  return [`It was paused${when}: nothing begins until it is unpaused.`, commandText(["unpause", row.id], place)];
}

/** What another run has done is known: the question is only whether it may be done again. */
function isDoneBefore({ held }: Entry): boolean {
  return held?.why === "done with another input" || held?.why === "cut";
}

/** Another run of the line is about to do it, or waits for somebody who says whether it may. */
function isElsewhere({ held }: Entry): boolean {
  return held?.why === "undecided" || held?.why === "in flight";
}

function elsewhereLines(
  key: string,
  held: NonNullable<Entry["held"]>,
  which: string,
  place: ShownRun["place"],
): string[] {
  const goesOn = `this one goes on by itself when that is`;
  if (held.why === "in flight")
    return [
      `${held.run} of its line is about to do ${which}, or may still make up for it; it is to be done once, and ${goesOn} over.`,
    ];
  return [
    `${held.run} of its line waits for a decision about ${which}, which is to be done once; ${goesOn} decided, or that run cancelled.`,
    `${commandText(["decide", held.run, key], place)} …`,
    commandText(["cancel", held.run], place),
  ];
}

function suspendedLines(run: Omit<ShownRun, "tree">, offer: string, entries: readonly Entry[], now: number): string[] {
  const { row, suspension: data, place } = run;
  const detail = data?.detail === undefined ? [] : [`On record: ${shorten(jsonText(data.detail), detailCharsMax)}`];
  switch (data?.reason) {
    case "waiting":
      return waitingLines(run, entries, now);
    case "divergence":
      return [
        `The code that took it up does not fit what is recorded. Run a worker with the code of ${offer} that began it, and it goes on by itself.`,
        ...divergenceLines(data.detail),
      ];
    case "in_doubt": {
      const inDoubt = entries.filter(({ status, reason }) => status === "in_doubt" && reason === undefined);
      const doubtful = inDoubt.map(({ key }) => key);
      const which = doubtful.length === 0 ? "a step" : named(doubtful);
      const behind = inDoubt.length > 0 && inDoubt.every(isElsewhere) ? inDoubt[0] : undefined;
      if (behind?.held !== undefined) return elsewhereLines(behind.key, behind.held, which, place);
      return [
        inDoubt.length > 0 && inDoubt.every(isDoneBefore)
          ? `An earlier run of its line has done ${which}, which is to be done once; it is not entered again until somebody decides: take something for its output (--record), do it again (--run), or let it fail (--fail and why).`
          : `It is not known whether the effect of ${which} happened; it is not entered again until somebody decides. Look at the service it calls, then say what it is: it happened (--record and its output), it did not (--run), it failed (--fail and why).`,
        ...doubtful.slice(0, hintsMax).map((key) => `${commandText(["decide", row.id, key], place)} …`),
      ];
    }
    case "poison":
      return [
        "It was taken up again and again without moving on: mend what ends its workers (memory? a crash in native code?).",
        ...detail,
      ];
    case "corrupt":
      return ["Its history cannot be continued. Keep a copy of the store, and restore a backup.", ...detail];
    case undefined:
      return detail;
  }
}

/** What it waits for that people and other runs give, and what to type. */
function answerLines(run: Omit<ShownRun, "tree">, entries: readonly Entry[]): string[] {
  const { row, called, place } = run;
  const asked = entries.filter(({ status, waitsFor }) => status === "waiting" && waitsFor !== "timer");
  const calls = entries.filter(({ kind, status }) => kind === "child" && status === "running");
  const lines: string[] = [];
  if (asked.length > 0) lines.push(`It waits for an answer to ${named(asked.map(({ key }) => key))}.`);
  for (const { key, waitsFor, schema } of asked.slice(0, hintsMax)) {
    const wait = { run: row.id, key, kind: waitsFor, name: parseKey(key).name };
    lines.push(answerHint({ ...wait, ...(schema === undefined ? {} : { schema }) }, place));
  }
  if (calls.length > 0) lines.push(`It waits for the end of ${named(calls.map((call) => callText(call, called)))}.`);
  return lines;
}

function waitingLines(run: Omit<ShownRun, "tree">, entries: readonly Entry[], now: number): string[] {
  const until = run.suspension?.until;
  const timers = entries.filter(({ status, waitsFor }) => status === "waiting" && waitsFor === "timer");
  const retried = entries.filter(({ status }) => status === "retrying").map(({ key }) => key);
  const lines = [...answerLines(run, entries), ...goingBackLines(run)];
  if (until !== undefined) {
    const goals = [
      ...(timers.length === 0 ? [] : [named(timers.map(({ key }) => key))]),
      ...(retried.length === 0 ? [] : [`the next attempt of ${named(retried)}`]),
    ];
    const what = goals.length === 0 ? "" : `, for ${goals.join(" and ")}`;
    const due =
      until > now
        ? `It goes on by itself ${relativeText(until, now)}${what}`
        : `It has been due since ${timeText(until)}${what}`;
    lines.push(`${due}; a worker must be running then.`);
  }
  return lines;
}

/** Which runs it waits for, because they may still make up for what it is to be given, and what else there is to do. */
function goingBackLines({ suspension, place }: Omit<ShownRun, "tree">): string[] {
  const { mayGoBack } = (suspension?.detail ?? {}) as { mayGoBack?: { step: string; run: string }[] };
  if (!Array.isArray(mayGoBack) || mayGoBack.length === 0) return [];
  const runs = [...new Set(mayGoBack.map(({ run }) => run))];
  return [
    `${named(runs)} may still make up for ${named(mayGoBack.map(({ step }) => step))}: it is given when that has succeeded, and done anew when it was made up for. Another fork can do it anew at once (--from), or be given an output.`,
    ...runs.slice(0, hintsMax).map((run) => commandText(["show", run], place)),
  ];
}

/** `scoring (run_…, suspended)` */
function callText({ key, from }: Entry, called: ShownRun["called"]): string {
  const status = called?.get(from?.run ?? "")?.row.state.status;
  return `${key} (${from?.run ?? ""}${status === undefined ? "" : `, ${wordsOf(status)}`})`;
}

/** The part of a divergence that says most: what was recorded and not asked for, and what was asked for instead. */
function divergenceLines(detail: unknown): string[] {
  const { recorded, asked, differences } = (detail ?? {}) as Record<string, unknown>;
  const keys = (list: unknown): string[] => (Array.isArray(list) ? list.map(String) : []);
  const lines: string[] = [];
  if (keys(recorded).length > 0) lines.push(`Recorded, but not asked for: ${named(keys(recorded))}.`);
  if (keys(asked).length > 0) lines.push(`Asked for instead: ${named(keys(asked))}.`);
  if (Array.isArray(differences) && differences.length > 0) {
    lines.push(`Inputs that differ: ${shorten(jsonText(differences), detailCharsMax)}`);
  }
  return lines;
}

/** `a, b and 3 more` */
function named(keys: readonly string[]): string {
  const first = keys.slice(0, namesMax).join(", ");
  return keys.length > namesMax ? `${first} and ${keys.length - namesMax} more` : first;
}

/** How it ended. */
export function endLines({ row, last }: ShownRun, options: EntryOptions): string[] {
  if (last === undefined || !isTerminal(row.state.status)) return [];
  const { width } = options;
  switch (last.type) {
    case "run.succeeded": {
      const output = valueLines("output", last.data.output, options);
      return output.length === 0 ? [] : ["", ...output];
    }
    case "run.failed": {
      const { frontier } = last.data;
      const by = frontier.length === 0 ? "the workflow's own code, not a step" : named(frontier);
      return ["", ...fieldOf("error", errorLines(last.data.error), width), ...field("ended by", by, width)];
    }
    case "run.cancelled": {
      const { by, reason } = last.data;
      const text = [by ?? "a request to cancel", reason].filter((part) => part !== undefined).join(": ");
      return ["", ...field("ended by", text, width)];
    }
    case "run.timed_out":
      return ["", ...field("ended by", `its time limit of ${formatDuration(last.data.limitMs)}`, width)];
    default:
      return [];
  }
}
