/**
 * What is known of a run as plain JSON, and what of it fits the graph that it is given to. A task that has succeeded is
 * never run again by accident: a snapshot that does not fit is refused with all its differences.
 */
import { StemmaError } from "../../core/error.ts";
import { decode, encode } from "../../core/json.ts";
import type { Graph } from "./graph.ts";
import { stateOf } from "./plan.ts";
import type { TaskResult, TaskSnapshot, TaskStep } from "./step.ts";

export type LoadOptions = {
  /**
   * What becomes of a snapshot that does not fit the graph. "error" (default): it is refused. "ignore": names that the
   * graph does not have are dropped, and what has succeeded counts, whatever became of what it depends on.
   */
  onMismatch?: "ignore" | "error";
};

/**
 * The results as a snapshot: a copy, so that nothing that happens later changes it.
 *
 * @throws json.not_serializable for an output that JSON cannot hold, with its path
 */
export function snapshotOf(known: TaskSnapshot, results: Iterable<readonly [string, TaskResult]>): TaskSnapshot {
  const all = new Map(Object.entries(known));
  for (const [name, result] of results) all.set(name, copyOf(name, result));
  return Object.fromEntries(all);
}

function copyOf(name: string, result: TaskResult): TaskResult {
  return decode(encode(result, `result of task ${name}`) ?? "null") as TaskResult;
}

/** A snapshot that comes from outside, checked and copied. Throws snapshot.invalid. */
export function checkedSnapshot(snapshot: unknown): TaskSnapshot {
  if (typeof snapshot !== "object" || snapshot === null || Array.isArray(snapshot) || snapshot instanceof Map) {
    throw invalid("a snapshot to be an object of results by the names of tasks", snapshot);
  }
  const entries = Object.entries(snapshot).map(([name, result]: [string, unknown]): [string, TaskResult] => {
    if (typeof result !== "object" || result === null || stateOf((result as TaskResult).status) === undefined) {
      throw invalid(`task ${JSON.stringify(name)} of a snapshot to have a status`, result ?? "nothing");
    }
    return [name, copyOf(name, result as TaskResult)];
  });
  return Object.fromEntries(entries);
}

function invalid(expected: string, found: unknown): StemmaError {
  const text = JSON.stringify(found)?.slice(0, 100) ?? typeof found;
  return new StemmaError("snapshot.invalid", `Expected ${expected}, got ${text}. Give what getSnapshot() gave.`);
}

/** Names of a snapshot between two pauses. */
const stretch = 512;

/** Differences that are said in words; all of them are in the data of the error. */
const saidMax = 20;

/** What of a snapshot a run of this graph goes by. Throws snapshot.mismatch. */
export function* fitting<C>(
  snapshot: TaskSnapshot,
  graph: Graph<C>,
  leftOut: readonly number[],
  onMismatch: LoadOptions["onMismatch"],
): Generator<void, TaskSnapshot> {
  const without = new Set(leftOut.map((task) => graph.names[task]));
  const unknown = new Set<string>();
  const wrong: string[] = [];
  let n = 0;
  for (const name of Object.keys(snapshot)) {
    if (!belongs(name, graph)) unknown.add(name);
    else if (onMismatch !== "ignore") for (const one of unjustified(name, snapshot, graph, without)) wrong.push(one);
    if (++n % stretch === 0) yield;
  }
  if (unknown.size + wrong.length === 0) return snapshot;
  if (onMismatch === "ignore")
    return Object.fromEntries(Object.entries(snapshot).filter(([name]) => !unknown.has(name)));
  const differences = [...[...unknown].map((name) => `task '${name}' is not in the graph`), ...wrong];
  const said = differences.slice(0, saidMax);
  if (said.length < differences.length) said.push(`and ${differences.length - said.length} more`);
  throw new StemmaError(
    "snapshot.mismatch",
    `The snapshot does not fit the graph: ${said.join("; ")}. Load it with { onMismatch: "ignore" } if that is meant.`,
    { data: { differences } },
  );
}

/** Whether a name is of the graph, or may be a further task of one of its tasks. */
function belongs<C>(name: string, graph: Graph<C>): boolean {
  if (graph.index.has(name)) return true;
  for (let at = name.indexOf("/"); at >= 0; at = name.indexOf("/", at + 1)) {
    const owner = graph.index.get(name.slice(0, at));
    if (owner !== undefined && graph.steps[owner]?.expand !== undefined) return true;
  }
  return false;
}

/** Why a success cannot be one of this graph, if it cannot. */
function unjustified<C>(
  name: string,
  snapshot: TaskSnapshot,
  graph: Graph<C>,
  without: ReadonlySet<string | undefined>,
): string[] {
  const task = graph.index.get(name);
  if (task === undefined || snapshot[name]?.status !== "success") return [];
  const step = graph.steps[task] as TaskStep<C>;
  const wrong = (step.dependencies ?? []).flatMap((dependency) => {
    const status = Object.hasOwn(snapshot, dependency) ? snapshot[dependency]?.status : undefined;
    const allowed = graph.steps[graph.index.get(dependency) as number]?.continueOnError === true;
    const satisfied = without.has(dependency) || status === "success" || (status === "failure" && allowed);
    return satisfied ? [] : [{ dependency, status }];
  });
  return isJustified(step, wrong)
    ? []
    : wrong.map(({ dependency, status = "not known" }) => {
        return `task '${name}' has succeeded, and '${dependency}', which it depends on, is ${status}`;
      });
}

function isJustified<C>(
  { trigger = "all", dependencies = [] }: TaskStep<C>,
  wrong: readonly { status: string | undefined }[],
): boolean {
  if (wrong.length === 0) return true;
  if (trigger === "all") return false;
  if (trigger === "any") return wrong.length < dependencies.length;
  if (trigger === "none-failed") {
    return wrong.length < dependencies.length && wrong.every(({ status }) => status === "skipped");
  }
  return wrong.every(({ status }) => status !== undefined);
}
