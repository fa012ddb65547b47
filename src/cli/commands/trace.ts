/** `stemma trace`: the graph of what happened and why, of a run or of its whole family. */
import { Option } from "commander";
import type { Command } from "commander";
import { StemmaError } from "../../core/error.ts";
import { toDot } from "../../core/trace-dot.ts";
import { toMermaid } from "../../core/trace-mermaid.ts";
import { findRun, runArgument } from "../find-run.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { jsonText, print, printJson } from "../terminal.ts";

type TraceOptions = CommonOptions & { format: "json" | "mermaid" | "dot"; family?: boolean };

export function addTrace(program: Command): void {
  const command = program
    .command("trace")
    .description("print the graph of what happened and why")
    .addArgument(runArgument())
    .addOption(new Option("--format <format>", "how to print it").choices(["json", "mermaid", "dot"]).default("json"))
    .option("--family", "with all runs that it is connected to by child, restart or fork");
  withPlaceOptions(command).action(printTrace);
}

async function printTrace(given: string, options: TraceOptions): Promise<void> {
  if (options.json === true && options.format !== "json") {
    throw new StemmaError("usage.invalid", `Expected --json or --format ${options.format}, got both. Leave one out.`);
  }
  await using place = await openPlace(options);
  const { stemma } = place;
  const { id } = await findRun(stemma, given);
  const trace = await stemma.trace(id, { family: options.family === true });
  if (options.json === true) return printJson(trace);
  // The texts of both pictures are safe for a terminal: what could steer one is spelled out in the labels.
  if (options.format === "json") print(jsonText(trace, 2));
  else print((options.format === "dot" ? toDot(trace) : toMermaid(trace)).trimEnd());
}
