/** `stemma runs`: the runs of a store, newest first. */
import { Option } from "commander";
import type { Command } from "commander";
import { formatDuration } from "../../core/duration.ts";
import { limits } from "../../core/limits.ts";
import type { Status } from "../../core/run.ts";
import { isTerminal, statuses } from "../../core/run.ts";
import type { ListQuery, RunRow } from "../../store/store.ts";
import { lookOf, relativeText, timeText, wordsOf } from "../look.ts";
import { wholeNumber } from "../number-option.ts";
import { offerOf } from "../shown-run.ts";
import type { CommonOptions } from "../store-option.ts";
import { shownStore } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import type { Cell } from "../table.ts";
import { table } from "../table.ts";
import { note, paintNote, print, printJson, shellWord, terminalWidth } from "../terminal.ts";

type RunsOptions = CommonOptions & {
  status?: Status[];
  workflow?: string;
  tag?: string;
  records?: boolean;
  limit: number;
  cursor?: string;
};

const limitDefault = 20;

export function addRuns(program: Command): void {
  const command = program
    .command("runs")
    .description("list runs, newest first")
    .addOption(new Option("--status <status...>", "only runs with one of these statuses").choices(statuses))
    .option("--workflow <name>", "only runs of this workflow")
    .option("--tag <tag>", "only runs with this tag")
    .option("--records", "also marks of golden runs, and checkpoints of graphs, which are no work")
    .option("--limit <n>", "runs on a page", wholeNumber(1, limits.pageRunsMax), limitDefault)
    .option("--cursor <cursor>", "the next page, as the page before named it");
  withPlaceOptions(command).action(runs);
}

async function runs(options: RunsOptions): Promise<void> {
  await using place = await openPlace(options);
  const { store } = place;
  const page = await place.stemma.list(queryOf(options));
  if (options.json === true)
    return printJson({ runs: page.runs.map(plainRow), ...(page.cursor === undefined ? {} : { cursor: page.cursor }) });
  if (page.runs.length === 0) return note(paintNote(`No such runs in ${store.name}.`, "dim"));
  const now = Date.now();
  print(
    ...table(
      columns,
      page.runs.map((row) => cellsOf(row, now)),
      terminalWidth(),
    ),
  );
  const offers = new Set(page.runs.filter((row) => !row.offered && isOpen(row)).map(offerOf));
  for (const offer of offers) note(paintNote(`No worker offers ${offer}: stemma worker works on runs.`, "yellow"));
  if (page.cursor !== undefined) note(paintNote(`More: ${nextCommand(options, page.cursor)}`, "dim"));
}

function isOpen({ state, worker }: RunRow): boolean {
  return !isTerminal(state.status) && worker === undefined;
}

function queryOf({ status, workflow, tag, records, limit, cursor }: RunsOptions): ListQuery {
  return {
    limit,
    ...(status === undefined ? {} : { status }),
    ...(workflow === undefined ? {} : { workflow }),
    ...(tag === undefined ? {} : { tag }),
    ...(records === undefined ? {} : { records }),
    ...(cursor === undefined ? {} : { cursor }),
  };
}

/** A row as programs get it: the state, and where the store has the run. */
export function plainRow(row: RunRow): Record<string, unknown> {
  const { id, state, worker, offered, dueAt, queue, priority, epoch } = row;
  return {
    id,
    ...state,
    ...(worker === undefined ? {} : { worker }),
    offered,
    dueAt,
    queue,
    priority,
    epoch,
  };
}

const columns = [
  { title: "status" },
  { title: "run" },
  { title: "workflow", cut: true },
  { title: "started" },
  { title: "took", align: "right" },
  { title: "steps" },
] as const;

function cellsOf(row: RunRow, now: number): Cell[] {
  const { id, state, dueAt } = row;
  const { glyph, style } = lookOf(state.status);
  const reason = state.reason === undefined || state.reason === "waiting" ? "" : ` (${wordsOf(state.reason)})`;
  const due = dueAt !== null && dueAt > now ? `due ${relativeText(dueAt, now)}` : "";
  const { startedAt } = state;
  return [
    { text: `${glyph} ${wordsOf(state.status)}${reason}`, style },
    { text: id },
    { text: offerOf(row) },
    startedAt === undefined ? { text: due === "" ? "not yet" : due, style: "dim" } : { text: timeText(startedAt) },
    { text: tookText(state, now) },
    { text: stepsText(state) },
  ];
}

/** How long it took; of a run that goes on, how long so far. */
function tookText({ status, startedAt, endedAt, createdAt }: RunRow["state"], now: number): string {
  if (endedAt !== undefined) return formatDuration(endedAt - (startedAt ?? createdAt));
  return startedAt === undefined || isTerminal(status) ? "" : `${formatDuration(now - startedAt)}…`;
}

/** `12`, `12, 3 reused, 1 failed` */
function stepsText({ steps }: RunRow["state"]): string {
  const parts = [String(steps.succeeded)];
  for (const [count, name] of [
    [steps.reused, "reused"],
    [steps.failed, "failed"],
    [steps.cancelled, "cancelled"],
  ] as const) {
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return parts.join(", ");
}

/** What to type for the next page: the same question with the cursor. */
function nextCommand({ status, workflow, tag, records, limit, store }: RunsOptions, cursor: string): string {
  const words = ["stemma", "runs"];
  if (status !== undefined) words.push("--status", ...status);
  if (workflow !== undefined) words.push("--workflow", workflow);
  if (tag !== undefined) words.push("--tag", tag);
  if (records === true) words.push("--records");
  if (limit !== limitDefault) words.push("--limit", String(limit));
  if (store !== undefined) words.push("--store", shownStore(store));
  return [...words, "--cursor", cursor].map(shellWord).join(" ");
}
