/** Workflows from the files that a command names: every export of theirs that is one. */
import { Console } from "node:console";
import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { StemmaError } from "../core/error.ts";
import type { Workflow } from "../engine/body.ts";

/**
 * Loads JavaScript and TypeScript modules and gives their workflows, each once, however often it is exported.
 *
 * @throws StemmaError `usage.invalid` for a file that is not there, cannot be loaded or exports no workflow
 */
export async function loadWorkflows(files: readonly string[]): Promise<Workflow[]> {
  const found = new Set<Workflow>();
  for (const file of files) {
    const exported = await load(file);
    const workflows = Object.values(exported).filter(isWorkflow);
    if (workflows.length === 0) throw withoutWorkflow(file, Object.keys(exported));
    for (const workflow of workflows) found.add(workflow);
  }
  return [...found];
}

/**
 * Standard output belongs to the answer of the command: what the code of workflows logs goes to standard error. To be
 * called before any of it is loaded.
 */
export function keepOutputClean(): void {
  globalThis.console = new Console(process.stderr, process.stderr);
}

/** `audit@1`, as runs and workers name a workflow. */
export function offerText({ name, version }: Workflow): string {
  return `${name}@${version}`;
}

async function load(file: string): Promise<Record<string, unknown>> {
  const path = resolve(file);
  if (!existsSync(path) || !statSync(path).isFile()) {
    throw new StemmaError("usage.invalid", `Expected a file that exports workflows, found no file at ${path}.`, {
      data: { file },
    });
  }
  try {
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    const why = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    throw new StemmaError("usage.invalid", `${file} could not be loaded: ${why} (set STEMMA_DEBUG=1 to see where)`, {
      data: { file },
      cause: error,
    });
  }
}

/** By shape, not by class: the file may have been written against another copy of this package. */
function isWorkflow(value: unknown): value is Workflow {
  if (typeof value !== "object" || value === null) return false;
  const { name, version, source, body } = value as Partial<Workflow>;
  return (
    typeof name === "string" && typeof version === "number" && typeof source === "string" && typeof body === "function"
  );
}

function withoutWorkflow(file: string, names: readonly string[]): StemmaError {
  const exported = names.length === 0 ? "nothing" : names.join(", ");
  return new StemmaError(
    "usage.invalid",
    `Expected ${file} to export a workflow, it exports ${exported}. Export what workflow({ name }, …) returns.`,
    { data: { file, exports: [...names] } },
  );
}
