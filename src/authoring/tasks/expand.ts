/**
 * Tasks that become several: one for each item of a list, a graph within a task, or whatever a task finds out that there
 * is to do. Further tasks are named under the one that they come from, `resize/0`; it ends with the last of them.
 */
import { StemmaError } from "../../core/error.ts";
import type { TaskInputs, TaskResult, TaskStep, TaskTools } from "./step.ts";
import { toolsUnder } from "./tools.ts";

/** The further tasks of a task that has succeeded. Throws step.invalid for what is no array. */
export function furtherOf<C>(step: TaskStep<C>, result: TaskResult, context: C): readonly TaskStep<C>[] {
  const further: unknown = step.expand?.(result, context) ?? [];
  if (Array.isArray(further)) return further as readonly TaskStep<C>[];
  throw new StemmaError(
    "step.invalid",
    `Expected expand of task '${step.name}' to give an array of steps, got ${typeof further}.`,
  );
}

/** A step as it is known in the graph that it joins. */
export function under<C>(prefix: string, step: TaskStep<C>): TaskStep<C> {
  const { condition, dependencies, expand } = step;
  return {
    ...step,
    name: `${prefix}${step.name}`,
    ...(dependencies === undefined ? {} : { dependencies: dependencies.map((name) => `${prefix}${name}`) }),
    ...(condition === undefined ? {} : { condition: (context: C) => condition.call(step, context) }),
    ...(expand === undefined ? {} : { expand: (result: TaskResult, context: C) => expand.call(step, result, context) }),
    ...(step.collect === undefined
      ? {}
      : { collect: (...given: Parameters<NonNullable<TaskStep<C>["collect"]>>) => step.collect?.(...given) }),
    run: (context, signal, tools) =>
      step.run(context, signal, tools === undefined ? undefined : toolsUnder(prefix, tools)),
  };
}

/** Of a step, what is not said by the functions that make one. */
type Rest<C> = Omit<TaskStep<C>, "name" | "run" | "expand" | "collect">;

export type MapTaskOptions<C, I, O> = Rest<C> & {
  /**
   * The items, from what the dependencies gave. An item is known by its place: who goes on from a snapshot that was taken
   * in the midst of a map has to give the same items in the same order (a durable run has them on record).
   */
  items: (results: TaskInputs, context: C) => readonly I[] | Promise<readonly I[]>;
  /** The output for one item. What it throws fails the task of this item, and so the whole. */
  run: (item: I, context: C, signal: AbortSignal | undefined, tools: TaskTools) => O | Promise<O>;
  /** How the task of an item is retried, and how long an attempt may take. */
  each?: Pick<TaskStep<C>, "retry" | "timeout" | "resources" | "priority" | "continueOnError">;
};

/**
 * One task for each item. Its output is the list of theirs, in the order of the items, with null where there is none.
 *
 * @example
 * const resize = mapTask("resize", {
 *   dependencies: ["list"],
 *   items: (results) => results.data("list") as string[],
 *   run: (file) => makeThumbnail(file),
 * });
 */
export function mapTask<C, I, O, const N extends string = string>(
  name: N,
  { items, run, each, ...rest }: MapTaskOptions<C, I, O>,
): TaskStep<C, N, O[]> {
  return {
    ...rest,
    name,
    run: async (context, _signal, tools) => {
      const found = await items(tools?.results ?? none, context);
      return { status: "success", data: [...found] as never };
    },
    expand: ({ data }) =>
      (data as I[]).map((item, i) => ({
        ...each,
        name: String(i),
        run: async (context, signal, tools) => ({
          status: "success",
          data: await run(item, context, signal, tools as TaskTools),
        }),
      })),
    // An output is JSON, and its lists have null where there is nothing: for an item that put out nothing, or failed.
    collect: (results) => results.map(({ data }) => data ?? null),
  };
}

const none: TaskInputs = { get: () => undefined, data: () => undefined };

/**
 * A graph within a task. Dependencies of its steps are names within it. Its output is an object of the outputs of its
 * steps, by their names.
 *
 * @example
 * const publish = subTasks("publish", { dependencies: ["build"] }, [
 *   { name: "upload", run: upload },
 *   { name: "announce", dependencies: ["upload"], run: announce },
 * ]);
 */
export function subTasks<C, const N extends string = string>(
  name: N,
  options: Rest<C>,
  steps: readonly TaskStep<C>[],
): TaskStep<C, N, Record<string, unknown>> {
  return {
    ...options,
    name,
    run: async () => ({ status: "success" }),
    expand: () => steps,
    collect: (results) => Object.fromEntries(steps.map((step, i) => [step.name, results[i]?.data])),
  };
}
