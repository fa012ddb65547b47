/** A graph as an executor of another: each message is a run of it, and what it yields is what the executor sends. */
import type { GraphDefinition } from "./definition.ts";
import { prototypeOf } from "./definition.ts";
import type { AnyHandler, AnyResponseHandler } from "./executor.ts";
import { Executor } from "./executor.ts";

export type WorkflowExecutorOptions = {
  /** What it yields is yielded here too, not sent on. */
  readonly allowDirectOutput?: boolean;
  /**
   * Answers a request of the graph inside in the place of whoever is outside; undefined lets it through. In a durable run
   * it is a step of the run inside, so what it said stays said.
   */
  readonly intercept?: Intercept;
};

/** @param from `executorId`: who asks, by its path from the outermost graph; `requestId`: the request's own */
export type Intercept = (
  request: unknown,
  from: { readonly executorId: string; readonly requestId: string },
) => Interception | Promise<Interception>;

export type Interception = { readonly answer: unknown } | undefined;

/**
 * @example builder.addEdge(read, new WorkflowExecutor(checking, "check"));
 */
export class WorkflowExecutor<I = unknown, Y = unknown> extends Executor<I, Y, Y> {
  readonly graph: GraphDefinition;
  readonly options: WorkflowExecutorOptions;
  readonly handlers: readonly AnyHandler[];
  /** The answers of the graph inside are checked by the executors that asked. */
  override readonly responseHandlers: readonly AnyResponseHandler[] = [{ run: () => undefined }];

  constructor(
    workflow: { graph: GraphDefinition; types?: { input: I; yields: Y } },
    id: string,
    options: WorkflowExecutorOptions = {},
  ) {
    super(id);
    this.graph = workflow.graph;
    this.options = options;
    this.handlers = prototypeOf(workflow.graph, workflow.graph.start).handlers.map(({ input }) => ({
      ...(input === undefined ? {} : { input }),
      run: () => undefined,
    }));
  }
}
