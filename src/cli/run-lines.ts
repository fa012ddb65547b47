/** A run as text: what it is and how it stands, the tree of what it did, and how it ended. */
import { formatDuration } from "../core/duration.ts";
import type { Event, EventOf, Value } from "../core/event.ts";
import { isTerminal } from "../core/run.ts";
import type { RunRow } from "../store/store.ts";
import type { EntryOptions } from "./entry-lines.ts";
import { errorLines, treeNodes } from "./entry-lines.ts";
import { lookOf, relativeText, timeText, wordsOf } from "./look.ts";
import type { Branch, Entry } from "./run-tree.ts";
import { entriesOf } from "./run-tree.ts";
import { jsonText, paint, shorten, visible } from "./terminal.ts";
import { drawTree } from "./tree.ts";
import { fullLines, shortText } from "./value-text.ts";

/** All that is known of one run. */
export type ShownRun = { row: RunRow; events: readonly Event[]; tree: Branch };

const inputCharsMax = 100;
const namesMax = 5;
const detailCharsMax = 500;

/** The lines of `stemma show`. */
export function runLines(run: ShownRun, options: EntryOptions): string[] {
  const tree = drawTree(treeNodes(run.tree, options));
  return [...headLines(run, options), ...(tree.length === 0 ? [] : ["", ...tree]), ...endLines(run, options)];
}

function headLines({ row, events, tree }: ShownRun, options: EntryOptions): string[] {
  const { state } = row;
  const { glyph, style } = lookOf(state.status);
  const status = paint(`${glyph} ${wordsOf(state.status)}`, style);
  const reason = state.reason === undefined ? "" : ` ${paint(`(${wordsOf(state.reason)})`, style)}`;
  const lines = [`${paint(row.id, "bold")}  ${visible(`${state.workflow}@${state.version}`)}  ${status}${reason}`];
  for (const text of adviceLines(row, events, entriesOf(tree), options.now)) lines.push(...field("", text, style));
  const created = events[0]?.type === "run.created" ? events[0].data : undefined;
  lines.push(...valueLines("input", created?.input, options), ...valueLines("context", created?.context, options));
  lines.push(...field("created", `${timeText(state.createdAt)} (${relativeText(state.createdAt, options.now)})`));
  lines.push(...field("started", startedText(row)), ...field("ended", endedText(row)));
  if (state.origin.kind !== "new") lines.push(...field("origin", originText(state.origin)));
  if (state.tags.length > 0) lines.push(...field("tags", state.tags.join(", ")));
  return lines;
}

function field(name: string, text: string | undefined, style?: Parameters<typeof paint>[1]): string[] {
  if (text === undefined || text === "") return [];
  return [`  ${paint(name.padEnd(8), "dim")} ${style === undefined ? visible(text) : paint(text, style)}`];
}

/** A value behind its name: on one line, or in full below it. */
function valueLines(name: string, value: Value | undefined, options: EntryOptions): string[] {
  if (!options.outputs) return field(name, shortText(value, options.texts, inputCharsMax));
  const [first, ...rest] = fullLines(value, options.texts);
  return [...field(name, first), ...rest.map((line) => `  ${" ".repeat(9)}${line}`)];
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

/** What a run that is not at its end waits for, and what one can do about it. */
export function adviceLines(row: RunRow, events: readonly Event[], entries: readonly Entry[], now: number): string[] {
  const { state } = row;
  const offer = `${state.workflow}@${state.version}`;
  if (isTerminal(state.status)) return [];
  if (state.status === "queued") {
    if (row.dueAt !== null && row.dueAt > now)
      return [`It is due ${relativeText(row.dueAt, now)} (${timeText(row.dueAt)}).`];
    return [`No worker has taken it yet: run stemma worker with the file that exports ${offer}.`];
  }
  if (state.status === "running") {
    if (row.worker !== undefined) return [];
    return [`No worker holds it now: it goes on as soon as one that offers ${offer} takes it.`];
  }
  if (state.status === "paused") return ["It was paused: nothing begins until it is unpaused."];
  return suspendedLines(lastSuspension(events), offer, entries, now);
}

function lastSuspension(events: readonly Event[]): EventOf<"run.suspended">["data"] | undefined {
  const found = events.findLast((event) => event.type === "run.suspended");
  return found?.type === "run.suspended" ? found.data : undefined;
}

function suspendedLines(
  data: EventOf<"run.suspended">["data"] | undefined,
  offer: string,
  entries: readonly Entry[],
  now: number,
): string[] {
  const detail = data?.detail === undefined ? [] : [`On record: ${shorten(jsonText(data.detail), detailCharsMax)}`];
  switch (data?.reason) {
    case "waiting":
      return waitingLines(data.until, entries, now);
    case "divergence":
      return [
        `The code that took it up does not fit what is recorded. Run a worker with the code of ${offer} that began it, and it goes on by itself.`,
        ...divergenceLines(data.detail),
      ];
    case "in_doubt": {
      const doubtful = entries.filter(({ status }) => status === "in_doubt").map(({ key }) => key);
      const which = doubtful.length === 0 ? "a step" : named(doubtful);
      return [
        `It is not known whether the effect of ${which} happened; it is not entered again until somebody decides. Look at the service it calls.`,
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

function waitingLines(until: number | undefined, entries: readonly Entry[], now: number): string[] {
  const open = entries.filter(({ status }) => status === "waiting");
  const timers = open.filter(({ waitsFor }) => waitsFor === "timer").map(({ key }) => key);
  const others = open.filter(({ waitsFor }) => waitsFor !== "timer").map(({ key }) => key);
  const lines: string[] = [];
  if (others.length > 0) lines.push(`It waits for an answer to ${named(others)}.`);
  if (until !== undefined) {
    const what = timers.length === 0 ? "" : `, for ${named(timers)}`;
    const due =
      until > now
        ? `It goes on by itself ${relativeText(until, now)}${what}`
        : `It has been due since ${timeText(until)}${what}`;
    lines.push(`${due}; a worker must be running then.`);
  }
  return lines;
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

function endLines({ row, events }: ShownRun, options: EntryOptions): string[] {
  const last = events.at(-1);
  if (last === undefined || !isTerminal(row.state.status)) return [];
  switch (last.type) {
    case "run.succeeded": {
      const output = valueLines("output", last.data.output, options);
      return output.length === 0 ? [] : ["", ...output];
    }
    case "run.failed": {
      const [first = "", ...causes] = errorLines(last.data.error);
      const { frontier } = last.data;
      const by = frontier.length === 0 ? "the workflow's own code, not a step" : named(frontier);
      return [
        "",
        `  ${paint("error   ", "dim")} ${first}`,
        ...causes.map((line) => `${" ".repeat(11)}${line}`),
        ...field("ended by", by),
      ];
    }
    case "run.cancelled": {
      const { by, reason } = last.data;
      return [
        "",
        ...field("ended by", [by ?? "a request to cancel", reason].filter((text) => text !== undefined).join(": ")),
      ];
    }
    case "run.timed_out":
      return ["", ...field("ended by", `its time limit of ${formatDuration(last.data.limitMs)}`)];
    default:
      return [];
  }
}
