/** Makes a runner step by step. */
import type { RunnerEvent, RunnerEventListener } from "./events.ts";
import type { LogFormat } from "./logger.ts";
import { loggerPlugin } from "./logger.ts";
import type { Plugin } from "./plugin.ts";
import { TaskRunner } from "./runner.ts";
import type { LoadOptions } from "./snapshot.ts";
import type { IExecutionStrategy } from "./strategy.ts";
import { looping } from "./strategy.ts";
import type { TaskSnapshot } from "./step.ts";

/**
 * @example
 * const runner = new TaskRunnerBuilder({ user: "ada" }).withLogger("text").loadState(snapshot).build();
 */
export class TaskRunnerBuilder<C = unknown> {
  readonly #context: C;
  readonly #actions: ((runner: TaskRunner<C>) => void)[] = [];

  #format: LogFormat | undefined;

  constructor(context: C) {
    this.#context = context;
  }

  /** Enters tasks in another way; their loops are still carried out. */
  useStrategy(strategy: IExecutionStrategy<C>): this {
    return this.#then((runner) => runner.setExecutionStrategy(looping(strategy)));
  }

  on<E extends RunnerEvent>(event: E, listener: RunnerEventListener<C, E>): this {
    return this.#then((runner) => runner.on(event, listener));
  }

  use(plugin: Plugin<C>): this {
    return this.#then((runner) => runner.use(plugin));
  }

  /** Writes a line to the console for each event; the format that is asked for last counts. */
  withLogger(format: LogFormat = "text"): this {
    this.#format = format;
    return this;
  }

  /** Goes on from a snapshot; see `TaskRunner.loadState`. */
  loadState(snapshot: TaskSnapshot, options: LoadOptions = {}): this {
    return this.#then((runner) => runner.loadState(snapshot, options));
  }

  /** Throws usage.invalid for two plugins of one name, snapshot.invalid. */
  build(): TaskRunner<C> {
    const runner = new TaskRunner<C>(this.#context);
    for (const act of this.#actions) act(runner);
    if (this.#format !== undefined) runner.use(loggerPlugin(this.#format));
    return runner;
  }

  #then(act: (runner: TaskRunner<C>) => void): this {
    this.#actions.push(act);
    return this;
  }
}
