/** The name by which older programs know what runs a graph. */
import type { CheckpointID } from "./checkpoint.ts";
import type { RunOptions, Workflow } from "./workflow.ts";
import type { WorkflowRunResult } from "./run.ts";

class GraphRunner<I, Y> {
  readonly #workflow: Workflow<I, Y>;

  constructor(workflow: Workflow<I, Y>) {
    this.#workflow = workflow;
  }

  /** As `Workflow.run`. */
  run(message: I, options: Omit<RunOptions, "stream"> = {}): Promise<WorkflowRunResult<Y>> {
    return this.#workflow.run({ message }, options);
  }

  /** As `Workflow.run({ checkpointId })`. */
  restore(checkpointId: CheckpointID, options: Omit<RunOptions, "stream">): Promise<WorkflowRunResult<Y>> {
    return this.#workflow.run({ checkpointId }, options);
  }
}

let warned = false;

/** That a module was imported cannot be seen, so it is its first use that warns. */
function warn(): void {
  if (warned) return;
  warned = true;
  process.emitWarning("Runner is deprecated; use Workflow.run.", {
    type: "DeprecationWarning",
    code: "STEMMA_DEP_RUNNER",
  });
}

const noticed: ProxyHandler<typeof GraphRunner> = {
  construct(target, args: [Workflow<never, never>], newTarget) {
    warn();
    return Reflect.construct(target, args, newTarget) as object;
  },
  get(target, key, receiver): unknown {
    warn();
    return Reflect.get(target, key, receiver);
  },
  apply(target): never {
    warn();
    throw new TypeError(`Class constructor ${target.name} cannot be invoked without 'new'`);
  },
};

/** @deprecated Use `Workflow.run`. */
export const Runner: typeof GraphRunner = new Proxy(GraphRunner, noticed);
