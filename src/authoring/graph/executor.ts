/**
 * The nodes of a graph: executors with handlers for messages, and for the answers to their requests. An executor handles
 * one message at a time; the first of its handlers whose schema fits takes it, in the order in which they are listed.
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { StemmaError } from "../../core/error.ts";
import type { Effect } from "../../core/event.ts";
import { checkName } from "../../core/name.ts";
import type { WorkflowContext } from "./context.ts";

/** A handler with its types erased. */
export type AnyHandler = {
  readonly input?: StandardSchemaV1;
  /** What it sends, for the check of edges when the graph is built. */
  readonly sends?: readonly StandardSchemaV1[];
  readonly run: (message: unknown, ctx: WorkflowContext<unknown, unknown>) => unknown;
};

/** A handler of answers with its types erased. */
export type AnyResponseHandler = {
  readonly request?: StandardSchemaV1;
  readonly response?: StandardSchemaV1;
  readonly sends?: readonly StandardSchemaV1[];
  readonly run: (request: unknown, response: unknown, ctx: WorkflowContext<unknown, unknown>) => unknown;
};

/** Only for inference; never there at run time. */
export type Handler<I, O, Y> = AnyHandler & { readonly types?: { input: I; output: O; yields: Y } };
export type ResponseHandler<O, Y> = AnyResponseHandler & { readonly types?: { output: O; yields: Y } };

/**
 * A handler of an `Executor`, for the messages that fit `options.input`, or for all.
 *
 * @example readonly handlers = [handler({ input: z.string() }, (text, ctx: WorkflowContext<number>) => ctx.sendMessage(text.length))];
 */
export function handler<I = unknown, O = never, Y = never>(
  options: { input?: StandardSchemaV1<unknown, I>; sends?: readonly StandardSchemaV1<unknown, O>[] },
  run: (message: I, ctx: WorkflowContext<O, Y>) => unknown,
): Handler<I, O, Y> {
  return { ...options, run: run as unknown as AnyHandler["run"] };
}

/** A handler of the answers to requests whose data fits `options.request`; answers are checked by `options.response`. */
export function responseHandler<Q = unknown, A = unknown, O = never, Y = never>(
  options: { request?: StandardSchemaV1<unknown, Q>; response?: StandardSchemaV1<unknown, A> },
  run: (request: Q, response: A, ctx: WorkflowContext<O, Y>) => unknown,
): ResponseHandler<O, Y> {
  return { ...options, run: run as unknown as AnyResponseHandler["run"] };
}

/** How an executor is carried out as a step of a durable run. */
export type ExecutorStepOptions = {
  /** What it means to run it twice. Default "idempotent". */
  readonly effect?: Effect;
  /** Raised by the author when its code means something else: its recorded successes are not reused then. */
  readonly version?: number;
};

/**
 * A node with state of its own or several handlers. What `onCheckpointSave` gives is kept with every invocation, and
 * `onCheckpointRestore` gets it back where a run continues.
 *
 * @example
 * class Count extends Executor<number, never, number> {
 *   readonly handlers = [handler({ input: z.number() }, (n, ctx: WorkflowContext<never, number>) => ctx.yieldOutput((this.sum += n)))];
 *   sum = 0;
 *   override onCheckpointSave() { return { sum: this.sum }; }
 *   override onCheckpointRestore(state: { sum: number }) { this.sum = state.sum; }
 * }
 */
export abstract class Executor<I = unknown, O = unknown, Y = unknown> {
  readonly id: string;
  abstract readonly handlers: readonly AnyHandler[];
  readonly responseHandlers: readonly AnyResponseHandler[] = [];
  readonly stepOptions: ExecutorStepOptions = {};
  /** Only for inference; never there at run time. */
  declare readonly types?: { input: I; output: O; yields: Y };

  /** @throws name.invalid */
  constructor(id: string) {
    this.id = checkName(id, "id of an executor");
  }

  /** The executor's own state as a value; none by default. */
  onCheckpointSave(): unknown {
    return undefined;
  }

  onCheckpointRestore(state: unknown): unknown {
    return state;
  }
}

export type ExecutorOptions<I, O> = ExecutorStepOptions & {
  readonly input?: StandardSchemaV1<unknown, I>;
  readonly sends?: readonly StandardSchemaV1<unknown, O>[];
  readonly onResponse?: AnyResponseHandler;
};

class FunctionExecutor<I, O, Y> extends Executor<I, O, Y> {
  readonly handlers: readonly AnyHandler[];
  override readonly responseHandlers: readonly AnyResponseHandler[];
  override readonly stepOptions: ExecutorStepOptions;

  constructor(id: string, options: ExecutorOptions<I, O>, run: AnyHandler["run"]) {
    super(id);
    const { onResponse, input, sends, ...stepOptions } = options;
    this.handlers = [{ ...(input === undefined ? {} : { input }), ...(sends === undefined ? {} : { sends }), run }];
    this.responseHandlers = onResponse === undefined ? [] : [onResponse];
    this.stepOptions = stepOptions;
  }
}

type Run<I, O, Y> = (message: I, ctx: WorkflowContext<O, Y>) => unknown;

/**
 * A node that is a function of the message and the context.
 *
 * @throws name.invalid, graph.invalid (no function)
 * @example const upper = executor("upper", (text: string, ctx: WorkflowContext<string>) => ctx.sendMessage(text.toUpperCase()));
 */
export function executor<I, O = never, Y = never>(id: string, run: Run<I, O, Y>): Executor<I, O, Y>;
export function executor<I, O = never, Y = never>(
  id: string,
  options: ExecutorOptions<I, O>,
  run: Run<I, O, Y>,
): Executor<I, O, Y>;
export function executor<I, O, Y>(
  id: string,
  options: ExecutorOptions<I, O> | Run<I, O, Y>,
  run?: Run<I, O, Y>,
): Executor<I, O, Y> {
  const [given, fn] = typeof options === "function" ? [{}, options] : [options, run];
  if (typeof fn !== "function") {
    throw new StemmaError("graph.invalid", `Expected executor ${JSON.stringify(id)} to have a function.`);
  }
  return new FunctionExecutor<I, O, Y>(id, given, fn as unknown as AnyHandler["run"]);
}

/** A node that is made anew for each run, so runs beside each other share nothing. */
export type ExecutorFactory<I = unknown, O = unknown, Y = unknown> = {
  readonly id: string;
  readonly create: () => Executor<I, O, Y>;
};

/** @example const counting = factory(() => new Count("count")); */
export function factory<I, O, Y>(create: () => Executor<I, O, Y>): ExecutorFactory<I, O, Y> {
  return { id: create().id, create };
}

/** What edges join. */
export type Node<I = unknown, O = unknown, Y = unknown> = Executor<I, O, Y> | ExecutorFactory<I, O, Y>;

/** The executor of a node: the shared one, or a new one of a factory. */
export function instanceOf(node: Node): Executor {
  return node instanceof Executor ? node : node.create();
}
