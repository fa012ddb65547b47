/** What a task is given besides its context: the results of the tasks that it depends on. */
import { StemmaError } from "../../core/error.ts";
import { textOfThrown } from "./messages.ts";
import type { TaskInputs, TaskResult, TaskTools } from "./step.ts";

/** What the tools of a task know of its run. */
export type Surroundings = {
  readonly runId: string;
  nameOf(task: number): string;
  dependenciesOf(task: number): readonly string[];
  /** Result of a task that has ended. */
  resultOf(name: string): TaskResult | undefined;
};

/** One for each task that is entered, so it holds nothing before it is asked. */
export class Tools implements TaskTools {
  readonly #run: Surroundings;
  readonly #task: number;

  constructor(run: Surroundings, task: number) {
    this.#run = run;
    this.#task = task;
  }

  get idempotencyKey(): string {
    return `${this.#run.runId}:${this.#run.nameOf(this.#task)}`;
  }

  get results(): TaskInputs {
    const run = this.#run;
    return inputs(run.nameOf(this.#task), run.dependenciesOf(this.#task), (name) => run.resultOf(name));
  }
}

/** As many are searched as fast as a set is made. */
const fewMax = 16;

/** Results of dependencies, and of nothing else: what a task uses must be an edge of its graph. */
export function inputs(
  task: string,
  dependencies: readonly string[],
  resultOf: (name: string) => TaskResult | undefined,
): TaskInputs {
  // Of very many, a set is made when the first is asked for: a search for each would take the square of their number.
  let known: ReadonlySet<string> | undefined;
  const isDependency = (name: string): boolean =>
    dependencies.length > fewMax ? (known ??= new Set(dependencies)).has(name) : dependencies.includes(name);
  const get = (name: string): TaskResult | undefined => {
    if (isDependency(name)) return resultOf(name);
    throw new StemmaError(
      "step.invalid",
      `Expected task ${task} to ask for the result of one of its dependencies, it asked for ${textOfThrown(name)}. Add that to its dependencies.`,
      { data: { task, dependency: name } },
    );
  };
  return {
    get,
    data(name) {
      const result = get(name);
      if (result?.status === "success") return result.data;
      throw new StemmaError(
        "step.invalid",
        `Expected ${name}, of which task ${task} wants the output, to have succeeded; ${result === undefined ? "it has not ended" : `it ended as ${result.status}`}. Use results.get("${name}").`,
        { data: { task, dependency: name } },
      );
    },
  };
}

/** The same, for a task whose dependencies are known to it by shorter names. */
export function toolsUnder(prefix: string, tools: TaskTools): TaskTools {
  return {
    idempotencyKey: tools.idempotencyKey,
    results: {
      get: (name) => tools.results.get(`${prefix}${name}`),
      data: (name) => tools.results.data(`${prefix}${name}`),
    },
  };
}
