/** `stemma/graph`: executors and edges in supersteps, in memory and durable. */

// describe
export { Executor, executor, factory, handler, responseHandler } from "./authoring/graph/executor.ts";
export type { ExecutorFactory, ExecutorOptions, Node } from "./authoring/graph/executor.ts";
export type { RequestOptions, SendOptions, WorkflowContext } from "./authoring/graph/context.ts";
export { WorkflowBuilder } from "./authoring/graph/builder.ts";
export type { BuilderOptions, Route } from "./authoring/graph/builder.ts";
export { Case, Default } from "./authoring/graph/edges.ts";
export type { CaseBranch, DefaultBranch, Predicate, Selection } from "./authoring/graph/edges.ts";
export { WorkflowExecutor } from "./authoring/graph/sub-workflow.ts";
export type { Intercept, Interception, WorkflowExecutorOptions } from "./authoring/graph/sub-workflow.ts";
export type { GraphFault, ProblemKind } from "./authoring/graph/validate.ts";
export type { Reducer, Reducers } from "./authoring/graph/shared-state.ts";
export { toDot, toMermaid } from "./authoring/graph/picture.ts";

// run
export { Workflow } from "./authoring/graph/workflow.ts";
export type { RunOptions } from "./authoring/graph/workflow.ts";
export type { ForkChange, RunControl } from "./authoring/graph/request.ts";
export type { WorkflowRunResult } from "./authoring/graph/run.ts";
export type { WorkflowStream } from "./authoring/graph/stream.ts";
export type { GraphStatus, WorkflowEvent, WorkflowEventType } from "./authoring/graph/events.ts";
export type { DurableGraph, DurableOptions } from "./authoring/graph/durable.ts";
// oxlint-disable-next-line typescript/no-deprecated -- it is exported for those who still have the name
export { Runner } from "./authoring/graph/runner.ts";

// continue
export { fileCheckpoints } from "./authoring/graph/file-storage.ts";
export { memoryCheckpoints } from "./authoring/graph/storage.ts";
export { storeCheckpoints } from "./authoring/graph/store-checkpoints.ts";
export type { CheckpointID, CheckpointStorage, WorkflowCheckpoint } from "./authoring/graph/checkpoint.ts";
export type { GraphState } from "./authoring/graph/message.ts";
