/**
 * How a graph differs from the one that a durable run was recorded with. What a task was given names the tasks that it
 * depended on then, so the edges of what is on record and does not fit can be laid beside those of the graph.
 */
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import type { Misfit } from "../../engine/body.ts";
import type { DurableRunOptions } from "./durable-run.ts";
import type { TaskInput } from "./durable-task.ts";

export type TaskEdge = { from: string; to: string };

/** In words, and as lists: tasks on record that the graph does not have, tasks that what is on record would wait for. */
export type GraphMisfit = {
  message: string;
  removedTasks: string[];
  addedTasks: string[];
  removedEdges: TaskEdge[];
  addedEdges: TaskEdge[];
};

/**
 * @param held tasks that the graph asks for, and that are not on record
 * @param added those of them that are surely new, whatever depends on them
 */
export function graphMisfit<C>(
  { graph, leftOut }: DurableRunOptions<C>,
  unasked: readonly Misfit[],
  held: readonly Misfit[],
  added: readonly string[] = [],
): GraphMisfit & Json {
  const without = new Set(leftOut.map((task) => graph.names[task]));
  const asked = new Set(held.filter(({ scope }) => scope === "").map(({ name }) => name));
  const found: Omit<GraphMisfit, "message"> = {
    removedTasks: [],
    addedTasks: [...added],
    removedEdges: [],
    addedEdges: [],
  };
  const others: string[] = [];
  for (const { scope, name: to, input } of unasked) {
    if (scope !== "") continue;
    const before = Object.keys((input as TaskInput | undefined)?.results ?? {});
    const step = graph.steps[graph.index.get(to) ?? -1];
    if (step === undefined) found.removedTasks.push(to);
    const now = (step?.dependencies ?? []).filter((name) => !without.has(name));
    const removed = before.filter((name) => !now.includes(name));
    // Of "any", what had not ended is not among what the task was given.
    const more = step?.trigger === "any" ? [] : now.filter((name) => !before.includes(name));
    found.removedEdges.push(...removed.map((from) => ({ from, to })));
    found.addedEdges.push(...more.map((from) => ({ from, to })));
    for (const from of more) if (asked.has(from) && !found.addedTasks.includes(from)) found.addedTasks.push(from);
    if (step !== undefined && asked.has(to) && removed.length + more.length === 0) others.push(to);
  }
  return { message: textOf(found, others), ...found };
}

function textOf(found: Omit<GraphMisfit, "message">, others: readonly string[]): string {
  const parts = [
    ...found.removedTasks.map((name) => `task '${name}' is not in the graph any more`),
    ...found.addedTasks.map((name) => `task '${name}' is new`),
    ...found.removedEdges.map(({ from, to }) => `'${to}' depended on '${from}'`),
    ...found.addedEdges.map(({ from, to }) => `'${to}' now depends on '${from}'`),
    ...others.map((name) => `the context or the results that '${name}' is given are others`),
  ];
  const shown = parts.slice(0, 20);
  if (parts.length > shown.length) shown.push(`and ${parts.length - shown.length} more`);
  return shown.length === 0 ? "the graph does not come to all that is on record" : shown.join("; ");
}

/** For whoever asked for the results of a run. */
export function misfitError(id: RunId, { message, ...data }: GraphMisfit): StemmaError {
  return new StemmaError(
    "run.divergence",
    `Run ${id} was recorded with another graph of tasks: ${message}. Go on with the graph that recorded it, or fork or restart the run.`,
    { data: { run: id, ...data } },
  );
}
