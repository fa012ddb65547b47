/** `stemma show`: one run as a tree of what it did. */
import type { Command } from "commander";
import type { Digest, Event, Value } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import { Stemma } from "../../engine/stemma.ts";
import type { Store } from "../../store/store.ts";
import { findRun } from "../find-run.ts";
import type { ShownRun } from "../run-lines.ts";
import { adviceLines, runLines } from "../run-lines.ts";
import type { Entry } from "../run-tree.ts";
import { entriesOf, runTree } from "../run-tree.ts";
import type { CommonOptions } from "../store-option.ts";
import { openStore, withCommonOptions } from "../store-option.ts";
import { print, printJson } from "../terminal.ts";
import type { Texts } from "../value-text.ts";
import { digestsOf, valueFields } from "../value-text.ts";
import { plainRow } from "./runs.ts";

type ShowOptions = CommonOptions & { outputs?: boolean; all?: boolean };

export function addShow(program: Command): void {
  const command = program
    .command("show")
    .description("show a run: its status, its steps as a tree, how it ended")
    .argument("<run>", "id of the run, or at least 8 characters of its beginning")
    .option("--outputs", "show the input and all outputs in full")
    .option("--all", "show every step, however many there are side by side");
  withCommonOptions(command).action(show);
}

async function show(given: string, options: ShowOptions): Promise<void> {
  await using store = openStore(options, "look");
  const stemma = new Stemma({ store });
  const { id } = await findRun(stemma, given);
  const events = await stemma.history(id);
  // Read behind the history, so that the row is never older than what is shown below it.
  const row = await stemma.row(id);
  const run: ShownRun = { row, events, tree: runTree(events) };
  const texts = options.outputs === true ? await textsOf(store, valuesOf(run)) : new Map<Digest, string>();
  if (options.json === true) return printJson(plainRun(run, texts));
  const held = row.state.status === "running" && row.worker !== undefined;
  const { outputs = false, all = false } = options;
  print(...runLines(run, { now: Date.now(), outputs, all, held, texts }));
}

/** Everything of a run that may be large. */
function valuesOf({ events, tree }: ShownRun): (Value | undefined)[] {
  const { input, context } = createdOf(events);
  return [input, context, outputOf(events), ...entriesOf(tree).flatMap(({ given, output }) => [given, output])];
}

function createdOf(events: readonly Event[]): { input?: Value; context?: Value } {
  return events[0]?.type === "run.created" ? events[0].data : {};
}

function outputOf(events: readonly Event[]): Value | undefined {
  const last = events.at(-1);
  return last?.type === "run.succeeded" ? last.data.output : undefined;
}

async function textsOf(store: Store, values: readonly (Value | undefined)[]): Promise<Texts> {
  const digests = digestsOf(values);
  const texts = new Map<Digest, string>();
  for (let at = 0; at < digests.length; at += limits.pageRunsMax) {
    for (const [digest, text] of await store.payloads(digests.slice(at, at + limits.pageRunsMax)))
      texts.set(digest, text);
  }
  return texts;
}

/** The run for programs. `steps` counts them, as everywhere; `entries` lists them: the tree is in their keys. */
function plainRun(run: ShownRun, texts: Texts): Record<string, unknown> {
  const { row, events, tree } = run;
  const { input, context } = createdOf(events);
  const last = events.at(-1);
  const entries = entriesOf(tree);
  return {
    ...plainRow(row),
    ...valueFields("input", input, texts),
    ...valueFields("context", context, texts),
    ...valueFields("output", outputOf(events), texts),
    ...(last?.type === "run.failed" ? { endedBy: last.data.frontier } : {}),
    advice: adviceLines(row, events, entries, Date.now()),
    entries: entries.map((entry) => plainEntry(entry, texts)),
  };
}

function plainEntry({ given, output, ...entry }: Entry, texts: Texts): Record<string, unknown> {
  return { ...entry, ...valueFields("input", given, texts), ...valueFields("output", output, texts) };
}
