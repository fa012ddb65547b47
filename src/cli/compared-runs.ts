/** The two runs that somebody wants compared: by their ids, or as `golden`, `golden:NAME` and `latest`. */
import { StemmaError } from "../core/error.ts";
import type { RunId } from "../core/event.ts";
import { terminal } from "../core/run.ts";
import { markWorkflow } from "../core/record-names.ts";
import { goldenMarks, goldenOf } from "../engine/golden.ts";
import { findRun } from "./find-run.ts";
import type { Asked } from "./place.ts";

type Given = readonly [string, string];

/** @param workflow of which `golden` and `latest` are; by default that of the other run, or the only one with a golden run */
export async function comparedRuns(stemma: Asked, given: Given, workflow: string | undefined): Promise<[RunId, RunId]> {
  const named = await Promise.all(given.map(async (each) => (isWord(each) ? undefined : findRun(stemma, each))));
  const of = workflow ?? named.find((row) => row !== undefined)?.state.workflow ?? (await onlyGolden(stemma));
  const found: RunId[] = [];
  for (const [i, each] of given.entries()) {
    const row = named[i];
    if (row !== undefined) found.push(row.id);
    else if (each !== "latest") found.push(await goldenOf(stemma.store, of, each.split(":")[1]));
    else found.push("");
  }
  const [a = "", b = ""] = found;
  return [a === "" ? await latestOf(stemma, of, b) : a, b === "" ? await latestOf(stemma, of, a) : b];
}

function isWord(given: string): boolean {
  return given === "latest" || given === "golden" || given.startsWith("golden:");
}

async function onlyGolden(stemma: Asked): Promise<string> {
  const workflows = [...new Set((await goldenMarks(stemma.store, {})).map(({ workflow }) => workflow))];
  const [workflow, ...others] = workflows;
  if (workflow !== undefined && others.length === 0) return workflow;
  const found = workflows.length === 0 ? "no run is golden" : `there are golden runs of ${workflows.join(", ")}`;
  throw new StemmaError("usage.invalid", `Say of which workflow with --workflow: ${found}.`, { data: { workflows } });
}

/** The newest run of a workflow that has ended and is not the other one. */
async function latestOf(stemma: Asked, workflow: string, other: RunId): Promise<RunId> {
  const { runs } = await stemma.list({ workflow, status: [...terminal], limit: 2 });
  const found = runs.find(({ id }) => id !== other);
  if (found !== undefined && workflow !== markWorkflow) return found.id;
  throw new StemmaError("run.not_found", `There is no other run of ${workflow} that has ended.`, {
    data: { workflow },
  });
}
