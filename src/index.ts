/** @module Durable workflows whose runs form a family tree. */

// define
export { workflow } from "./authoring/workflow/workflow.ts";
export type { WorkflowOptions } from "./authoring/workflow/workflow.ts";
export type { Context } from "./authoring/workflow/context.ts";
export type { Recorded, StepFunction, StepOptions } from "./authoring/workflow/step.ts";
export type { CallOptions, SignalOptions, WaitOptions } from "./authoring/workflow/wait.ts";
export type { Branches, MapOptions, Raced, Settled } from "./authoring/workflow/parallel.ts";

// run
export { Stemma } from "./engine/stemma.ts";
export type { PlanOptions, RunOptions, StemmaOptions } from "./engine/stemma.ts";
export type { Change } from "./engine/change.ts";
export type { RunHandle } from "./engine/run-handle.ts";
export type { Answered, By } from "./engine/requests.ts";
export type { Decision } from "./engine/decision.ts";
export type { OpenWait, WaitsQuery } from "./engine/waits-query.ts";
export type { FeedEntry, FeedOptions } from "./engine/tail.ts";
export type { StreamItem } from "./engine/streams.ts";
export type { Log, StepTools, Workflow } from "./engine/body.ts";
export type { Clock, TimerOptions } from "./engine/clock.ts";

// fail
export { StemmaError, isStemmaError } from "./core/error.ts";
export type { ErrorCode } from "./core/error.ts";
export { StepError } from "./engine/failure.ts";
export { fatal, notDone, retryAfter } from "./engine/verdict.ts";
export type { RetryOptions } from "./core/retry.ts";

// look
export type { CompareOptions, Comparison, StepComparison } from "./engine/compare.ts";
export type { FamilyMember, Lineage } from "./engine/lineage.ts";
export type { Plan, PlannedStep, PlanTotals, Verdict } from "./core/plan.ts";
export { components, trace } from "./core/trace.ts";
export type { Trace, TraceEdge, TraceNode } from "./core/trace.ts";
export { toDot } from "./core/trace-dot.ts";
export { toMermaid } from "./core/trace-mermaid.ts";
export type { Event, EventType, RunId } from "./core/event.ts";
export type { Json } from "./core/json.ts";
export type { Duration } from "./core/duration.ts";
export type { Status } from "./core/run.ts";
export { noWorkerOffers } from "./core/offered.ts";
export { reduceAll } from "./core/reduce.ts";
export type { RunState } from "./core/reduce.ts";
export type { Store } from "./store/store.ts";
export type { Finding, Inspectable } from "./store/inspection.ts";

// prove
export type { Flaw, FlawKind } from "./core/chain-check.ts";
export type { GoldenMark, GoldenOptions, GoldenQuery } from "./engine/golden.ts";
export type { Imported, ImportOptions } from "./engine/import.ts";
export type { OpenFile } from "./engine/export-file.ts";
export type { PrunedRuns, PruneOptions } from "./engine/prune.ts";
export type { ProvDocument } from "./core/prov.ts";
export type { Why, WhyHow, WhyNode, WhyOptions } from "./engine/why.ts";
export type { Verification, VerifyOptions, VerifyProgress } from "./engine/verify.ts";
