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
export type { DrawnRun } from "./authoring/graph/standing.ts";

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

// patterns
export { sequential } from "./authoring/graph/patterns/sequential.ts";
export type { SequentialOptions } from "./authoring/graph/patterns/sequential.ts";
export { concurrent } from "./authoring/graph/patterns/concurrent.ts";
export type { ConcurrentOptions } from "./authoring/graph/patterns/concurrent.ts";
export { handoff } from "./authoring/graph/patterns/handoff.ts";
export type { HandoffOptions, HandoffReply } from "./authoring/graph/patterns/handoff.ts";
export { groupChat } from "./authoring/graph/patterns/group-chat.ts";
export type { GroupChatOptions } from "./authoring/graph/patterns/group-chat.ts";
export { planAndExecute } from "./authoring/graph/patterns/plan-and-execute.ts";
export type { PlanAndExecuteOptions } from "./authoring/graph/patterns/plan-and-execute.ts";
export type { Ledger, PlanOutcome, PlanReview, Progress } from "./authoring/graph/patterns/ledger.ts";
export type {
  Conversation,
  Participant,
  Participants,
  Said,
  Take,
  Turn,
} from "./authoring/graph/patterns/conversation.ts";
