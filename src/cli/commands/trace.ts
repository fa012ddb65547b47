/** `stemma trace`: the graph of what happened and why, of a run or of its whole family. */
import { Option } from "commander";
import type { Command } from "commander";
import { StemmaError } from "../../core/error.ts";
import { toMermaid } from "../../core/trace-mermaid.ts";
import { Stemma } from "../../engine/stemma.ts";
import { findRun } from "../find-run.ts";
import type { CommonOptions } from "../store-option.ts";
import { openStore, withCommonOptions } from "../store-option.ts";
import { jsonText, print, printJson } from "../terminal.ts";

type TraceOptions = CommonOptions & { format: "json" | "mermaid"; family?: boolean };

export function addTrace(program: Command): void {
  const command = program
    .command("trace")
    .description("print the graph of what happened and why")
    .argument("<run>", "id of the run, or at least 8 characters of its beginning")
    .addOption(new Option("--format <format>", "how to print it").choices(["json", "mermaid"]).default("json"))
    .option("--family", "with all runs that it is connected to by child, restart or fork");
  withCommonOptions(command).action(printTrace);
}

async function printTrace(given: string, options: TraceOptions): Promise<void> {
  if (options.json === true && options.format === "mermaid") {
    throw new StemmaError("usage.invalid", "Expected --json or --format mermaid, got both. Leave one out.");
  }
  await using store = openStore(options, "look");
  const stemma = new Stemma({ store });
  const { id } = await findRun(stemma, given);
  const trace = await stemma.trace(id, { family: options.family === true });
  if (options.json === true) return printJson(trace);
  // Mermaid's text is safe for a terminal: what could steer one is spelled out in the labels.
  print(options.format === "json" ? jsonText(trace, 2) : toMermaid(trace).trimEnd());
}
