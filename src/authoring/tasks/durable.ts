/** Task graphs on the engine: what a run has done is on record, and whoever comes after a crash goes on from there. */
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import { decode, encode } from "../../core/json.ts";
import { isTerminal } from "../../core/run.ts";
import { checkName } from "../../core/name.ts";
import type { Workflow } from "../../engine/body.ts";
import type { RunHandle } from "../../engine/run-handle.ts";
import { fingerprintOf } from "../../engine/fingerprint.ts";
import { Stemma } from "../../engine/stemma.ts";
import { fromValue } from "../../engine/value.ts";
import { MisfitWatch } from "./misfit-watch.ts";
import { graphMisfit } from "./misfit.ts";
import { recordedResults } from "./durable-results.ts";
import type { DurableRunOptions } from "./durable-run.ts";
import { DurableRun } from "./durable-run.ts";
import { Hearing } from "./durable-listeners.ts";
import { checkContext } from "./durable-task.ts";
import type { EventBus } from "./events.ts";
import { leftOut } from "./filter.ts";
import type { Graph } from "./graph.ts";
import { buildGraph } from "./graph.ts";
import type { Plugins } from "./plugin.ts";
import { checkDemand, checkLimits } from "./resources.ts";
import type { TaskFilter, TaskStep } from "./step.ts";
import { atOnce } from "./turn.ts";
import type { CheckedSteps, ResultsOf } from "./typed.ts";

export type DurableOptions = {
  /** What the workflow is called. */
  name: string;
  /** A whole number from 1; raise it when runs in flight must not go on with these steps. Default 1. */
  version?: number;
  /** How many tasks of a run are under way at a time. Default: no limit. */
  concurrency?: number;
  resourceLimits?: Readonly<Record<string, number>>;
  filter?: TaskFilter;
  /** Milliseconds for a run, from its first start; then it is `timed_out`. */
  timeout?: number;
};

export type DurableRunStart = {
  /** A run id of one's own making, or a key: starting again with the same one goes on with the run that is there. */
  id?: RunId;
  idempotencyKey?: string;
  tags?: readonly string[];
};

/**
 * A graph of tasks as a workflow: its input is the context, and its output the context in the end. Give it to a Stemma
 * (`workflows: [...]`) or export it for `stemma worker`.
 *
 * Each task is a step, recognised by its name, the results of its dependencies and the context that it is given. It works
 * on a copy of the context; what it changed there is recorded with its outcome and is there for the tasks that begin
 * behind it. A task that failed has changed nothing. An array is changed as a whole: of two tasks that ran at the same
 * time, the one that ended later counts.
 *
 * @throws TaskGraphValidationError, workflow.invalid, name.invalid, step.invalid
 */
export function taskWorkflow<C extends object, const S extends readonly TaskStep<C>[]>(
  steps: S & CheckedSteps<S>,
  options: DurableOptions,
): Workflow<C, C> {
  return workflowOf<C>(planOf(steps, options), options);
}

/** Runs graphs durably. Made by `TaskRunner.durable`. */
export class DurableTasks<C> {
  readonly #stemma: Stemma;
  readonly #context: C;
  readonly #options: DurableOptions;
  readonly #events: EventBus<C>;
  readonly #plugins: Plugins<C>;

  constructor(stemma: Stemma, context: C, options: DurableOptions, events: EventBus<C>, plugins: Plugins<C>) {
    checkName(options.name, "name of a workflow");
    checkContext(context);
    this.#stemma = stemma;
    this.#context = context;
    this.#options = options;
    this.#events = events;
    this.#plugins = plugins;
  }

  /** The graph as a workflow, for Stemmas and workers that are to carry it out. */
  workflow(steps: readonly TaskStep<C>[]): Workflow<C, C> {
    return workflowOf<C>(planOf(steps, this.#options), this.#options);
  }

  /**
   * Runs the graph and gives the results, also if tasks failed. After a crash the same call with the same `id` or
   * `idempotencyKey` goes on with the run. The context has the changes of the tasks in the end.
   *
   * A Stemma that was started carries it out, and is offered the graph if it does not have it; it keeps it, so later calls
   * have to be with the same steps and options. With one that was not started it is carried out here, on the same store,
   * unless it was made with this workflow.
   *
   * Listeners and plugins of the runner are told of what happens here, once: `workflowStart` and `workflowEnd` of each
   * call, and of tasks what happens for the first time, so not what is recalled. After a crash whoever goes on tells of
   * the rest: a task that was under way starts again, and an end that was recorded just before may never be told. Of a run
   * that another process carries out, only its start and its end are.
   *
   * @throws as `taskWorkflow`; run.divergence if the run was recorded with a graph that this one does not fit, with the
   * tasks and edges that were added and removed; run.conflict for a key of another run; workflow.duplicate for other steps under
   * the same name and version
   */
  async execute<const S extends readonly TaskStep<C>[]>(
    steps: S & CheckedSteps<S>,
    start: DurableRunStart = {},
  ): Promise<ResultsOf<S>> {
    const plan = planOf<C>(steps, this.#options);
    const made = workflowOf<C>(plan, this.#options);
    const known = this.#stemma.isWorking || knows(this.#stemma, made);
    const workflow = known ? offered(this.#stemma, made, plan) : made;
    const stemma = known ? this.#stemma : new Stemma({ store: this.#stemma.store, workflows: [workflow] });
    await this.#plugins.install({ events: this.#events });
    const hearing = new Hearing(this.#events);
    const watch = new MisfitWatch();
    let run: RunHandle | undefined;
    try {
      const input = decode(encode(this.#context) ?? "null") as C;
      if (!known) await stemma.start();
      run = await stemma.run(workflow, input, start);
      const fit = isTerminal(await run.status()) ? "is to be checked" : "is known";
      hearing.of(run.id, { context: this.#context, steps: plan.graph.steps });
      await Promise.race([ended(run), watch.refused(stemma, run.id, fingerprintOf(workflow))]);
      const { results, context } = await recordedResults(stemma, run.id, plan, await inputOf(stemma, run.id), fit);
      takeOver(this.#context, context);
      hearing.tell("workflowEnd", { context: this.#context, results });
      return results as ResultsOf<S>;
    } finally {
      watch.close();
      hearing.close(run?.id);
      if (!known) await stemma.stop();
    }
  }
}

function planOf<C>(
  steps: readonly TaskStep<C>[],
  { concurrency = Number.POSITIVE_INFINITY, resourceLimits = {}, filter }: DurableOptions,
): DurableRunOptions<C> {
  if (!(concurrency === Number.POSITIVE_INFINITY || (Number.isInteger(concurrency) && concurrency >= 1))) {
    throw new StemmaError("usage.invalid", `Expected concurrency to be a whole number from 1, got ${concurrency}.`);
  }
  checkLimits(resourceLimits);
  const graph = atOnce(buildGraph([...steps]));
  for (const step of steps) {
    checkName(step.name, "name of a task");
    checkDemand(step, resourceLimits);
  }
  return { graph, concurrency, resourceLimits, leftOut: atOnce(leftOut(graph, filter)) };
}

function workflowOf<C>(plan: DurableRunOptions<C>, { name, version = 1, timeout }: DurableOptions): Workflow<C, C> {
  checkName(name, "name of a workflow");
  if (!Number.isSafeInteger(version) || version < 1) {
    throw new StemmaError(
      "workflow.invalid",
      `Expected the version of workflow ${name} to be a whole number from 1, got ${version}.`,
    );
  }
  return {
    name,
    version,
    source: sourceOf(plan.graph),
    ...(timeout === undefined ? {} : { timeoutMs: timeout }),
    dataflow: true,
    misfit: (unasked, held) => graphMisfit(plan, unasked, held),
    body(operations, info) {
      const run = new DurableRun(plan, operations, info);
      return { done: run.go(), causes: () => run.causes() };
    },
  };
}

/** What the fingerprint of the code is made from. */
function sourceOf<C>({ steps }: Graph<C>): string {
  return steps
    .map(
      ({ name, dependencies = [], trigger = "all", run }) => `${name}|${dependencies.join()}|${trigger}|${String(run)}`,
    )
    .join("\n");
}

function knows(stemma: Stemma, { name, version }: Workflow): boolean {
  try {
    return stemma.workflow(name, version) !== undefined;
  } catch {
    return false;
  }
}

/** What workflows were made of that were offered here, and not by the program. */
const plans = new WeakMap<Workflow, DurableRunOptions<never>>();

/** The workflow as the Stemma has it. Throws workflow.duplicate where that was offered here with other steps or options. */
function offered<C>(stemma: Stemma, made: Workflow<C, C>, plan: DurableRunOptions<C>): Workflow<C, C> {
  const { name, version } = made;
  if (!knows(stemma, made)) plans.set(made, plan);
  if (plans.has(made)) stemma.offer(made);
  const known = stemma.workflow(name, version);
  const before = plans.get(known);
  if (before === undefined || (isSame(before, plan) && known.timeoutMs === made.timeoutMs))
    return known as Workflow<C, C>;
  const message = `Expected the steps and options of ${name}@${version} to be those that it was offered with.`;
  const remedy = "Make the steps once, or give them another name or version.";
  throw new StemmaError("workflow.duplicate", `${message} ${remedy}`, { data: { workflow: name, version } });
}

/** The very same steps: of others nobody can tell whether their functions close over the same things. */
function isSame<C>(a: DurableRunOptions<never>, b: DurableRunOptions<C>): boolean {
  const { length } = a.graph.steps;
  const ofBoth = (options: DurableRunOptions<never> | DurableRunOptions<C>): unknown[] => [
    String(options.concurrency),
    options.resourceLimits,
    options.leftOut,
  ];
  if (length !== b.graph.steps.length || encode(ofBoth(a)) !== encode(ofBoth(b))) return false;
  return a.graph.steps.every((step, at) => (step as unknown) === b.graph.steps[at]);
}

/** Waits for the end, whatever it is: what became of the tasks is asked of the history. */
async function ended(run: RunHandle): Promise<void> {
  try {
    await run.result();
  } catch (error) {
    if (error instanceof StemmaError && ["run.failed", "run.cancelled", "run.timed_out"].includes(error.code)) return;
    throw error;
  }
}

async function inputOf(stemma: Stemma, id: RunId): Promise<Json | undefined> {
  const [created] = await stemma.history(id);
  if (created?.type !== "run.created") return undefined;
  const { input } = created.data;
  const texts = "digest" in input ? await stemma.store.payloads([input.digest]) : new Map<string, string>();
  return fromValue(input, texts) as Json | undefined;
}

/** The caller's context becomes what the run made of it. */
function takeOver(own: unknown, made: Json | undefined): void {
  if (typeof own !== "object" || own === null || typeof made !== "object" || made === null) return;
  for (const key of Object.keys(own)) if (!Object.hasOwn(made, key)) delete (own as Record<string, unknown>)[key];
  Object.assign(own, made);
}
