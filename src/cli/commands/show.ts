/** `stemma show`: one run as a tree of what it did. */
import type { Command } from "commander";
import type { Digest, Value } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import { isTerminal } from "../../core/run.ts";
import type { CalledRun } from "../called-runs.ts";
import { lookAtCalled } from "../called-runs.ts";
import { quietNormal } from "../entry-lines.ts";
import { findRun, runArgument } from "../find-run.ts";
import { adviceLines, runLines } from "../run-lines.ts";
import type { Entry } from "../run-tree.ts";
import { entriesOf, gatherRepeats, repeatsMin } from "../run-tree.ts";
import type { ShownRun } from "../shown-run.ts";
import { isHeld, namedBy, runOf } from "../shown-run.ts";
import type { CommonOptions } from "../store-option.ts";
import type { Looked } from "../place.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { print, printJson, terminalWidth } from "../terminal.ts";
import type { Texts } from "../value-text.ts";
import { digestsOf, valueFields } from "../value-text.ts";
import { plainRow } from "./runs.ts";

type ShowOptions = CommonOptions & { outputs?: boolean; all?: boolean };

export function addShow(program: Command): void {
  const command = program
    .command("show")
    .description("show a run: its status, its steps as a tree, how it ended")
    .addArgument(runArgument())
    .option("--outputs", "show the input and all outputs in full")
    .option("--all", "show every step, however many there are side by side");
  withPlaceOptions(command).action(show);
}

async function show(given: string, options: ShowOptions): Promise<void> {
  await using place = await openPlace(options);
  const { stemma, store } = place;
  const { id } = await findRun(stemma, given);
  const events = await stemma.history(id);
  // Read behind the history, so that the row is never older than what is shown below it.
  const row = await stemma.row(id);
  const known = runOf(row, events);
  const called = await lookAtCalled(store, entriesOf(known.tree), new Map(), options.all === true);
  const run = { ...known, called, place: namedBy(options) };
  const texts = options.outputs === true ? await textsOf(store, valuesOf(run)) : new Map<Digest, string>();
  if (options.json === true) return printJson(plainRun(run, texts));
  const { outputs = false, all = false } = options;
  const open = !isTerminal(row.state.status);
  const shown = open && !all ? { ...run, tree: gatherRepeats(run.tree, repeatsMin) } : run;
  const looks = { now: Date.now(), width: terminalWidth(), outputs, all, held: isHeld(row), open, quiet: quietNormal };
  print(...runLines(shown, { ...looks, texts }));
}

/** Everything of a run that may be large. */
function valuesOf({ created, last, tree, called, signals }: ShownRun): (Value | undefined)[] {
  const trees = [tree, ...[...(called ?? new Map<string, CalledRun>()).values()].flatMap((call) => call.tree ?? [])];
  const values = trees.flatMap(entriesOf).flatMap(({ given, output }) => [given, output]);
  const kept = [...signals.kept.values()].map(({ payload }) => payload);
  return [created?.input, created?.context, outputOf(last), ...values, ...kept];
}

function outputOf(last: ShownRun["last"]): Value | undefined {
  return last?.type === "run.succeeded" ? last.data.output : undefined;
}

async function textsOf(store: Looked, values: readonly (Value | undefined)[]): Promise<Texts> {
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
  const { row, created, last, tree, signals, pause, called } = run;
  const entries = entriesOf(tree);
  return {
    ...plainRow(row),
    ...valueFields("input", created?.input, texts),
    ...valueFields("context", created?.context, texts),
    ...valueFields("output", outputOf(last), texts),
    ...(last?.type === "run.failed" ? { endedBy: last.data.frontier } : {}),
    ...(pause === undefined || row.state.status !== "paused" ? {} : { pause }),
    signals: [...signals.kept].map(([seq, { name, payload }]) => ({
      seq,
      name,
      ...valueFields("value", payload, texts),
    })),
    called: [...(called ?? [])].map(([, call]) => plainRow(call.row)),
    advice: adviceLines(run, entries, Date.now()),
    entries: entries.map((entry) => plainEntry(entry, texts)),
  };
}

function plainEntry({ given, output, ...entry }: Entry, texts: Texts): Record<string, unknown> {
  return { ...entry, ...valueFields("input", given, texts), ...valueFields("output", output, texts) };
}
