/**
 * Every route by its method and path, with the types of what it takes and gives: those of the engine, as they are. The
 * contract beside it says the same with schemas, and the compiler holds the two against each other. Nothing of this file
 * is left at run time, so the client is typed by it and carries no schema library.
 */
import type { Duration } from "../../core/duration.ts";
import type { Digest, ErrorRecord, Event, RunId, Seq } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import type { Plan } from "../../core/plan.ts";
import type { ProvDocument } from "../../core/prov.ts";
import type { RunState } from "../../core/reduce.ts";
import type { Status, TerminalStatus } from "../../core/run.ts";
import type { Trace } from "../../core/trace.ts";
import type { Change } from "../../engine/change.ts";
import type { CompareOptions, Comparison } from "../../engine/compare.ts";
import type { GoldenMark, GoldenOptions, GoldenQuery } from "../../engine/golden.ts";
import type { Imported } from "../../engine/import.ts";
import type { Lineage } from "../../engine/lineage.ts";
import type { PrunedRuns, PruneOptions } from "../../engine/prune.ts";
import type { Answered, By, Paused } from "../../engine/requests.ts";
import type { AgainOptions, PlanOptions, RunOptions } from "../../engine/stemma.ts";
import type { StreamItem } from "../../engine/streams.ts";
import type { FeedEntry, FeedOptions } from "../../engine/tail.ts";
import type { Verification } from "../../engine/verify.ts";
import type { Why, WhyOptions } from "../../engine/why.ts";
import type { OpenWait, WaitsQuery } from "../../engine/waits-query.ts";
import type { Finding } from "../../store/inspection.ts";
import type { Asked, CallGiven, Execution, Question, Report } from "../agents/execution.ts";
import type { NodeGiven, NodeState } from "../agents/node.ts";
import type { LeasedWorker, ListQuery, RunRow } from "../../store/store.ts";
import type { Delivery } from "../webhooks/delivery-log.ts";
import type { NewWebhook } from "../webhooks/webhooks.ts";
import type { RunWebhook, Webhook, WebhookWish } from "../webhooks/wish.ts";

/** What starts a run: as the options of `Stemma.run`, and the name of the workflow. */
export type StartBody = { workflow: string; input?: unknown } & Omit<
  RunOptions,
  "client" | "idempotencyKey" | "tags" | "by"
> & { by?: string; tags?: string[]; webhook?: RunWebhook };

export type ChangeBody = Omit<Change, "idempotencyKey">;
/** What makes a restart or fork. The webhook of the source is not its own. */
export type RemakeBody = ChangeBody & { webhook?: RunWebhook };
export type PlanBody = PlanOptions & { change?: ChangeBody };

/** An answer is a value (nothing said is `undefined`), an error, or that the wait has to wait on. */
export type ResumeBody = { wait: string; value?: unknown; error?: ErrorRecord; again?: AgainBody; by?: string };
/** As `Decision`, with an error as it is put on record. */
export type GivenDecision = "run" | { record: unknown } | { fail: ErrorRecord };
export type AgainBody = Omit<AgainOptions, "value">;

export type GoldenBody = Omit<GoldenOptions, "tags" | "idempotencyKey"> & { tags?: string[] };
/** What is pruned. Its time is in JSON: a duration in milliseconds or in words. */
export type PruneBody = Omit<PruneOptions, "olderThan" | "status" | "compact"> & {
  olderThan: Duration;
  status?: TerminalStatus[];
};
type PageQuery = { cursor?: string; limit?: number };
type DeliveriesPage = { deliveries: Delivery[]; cursor?: string };
/** As `CallGiven`, but for what is a header, and what only other wires say. */
export type CallBody = Omit<CallGiven, "idempotencyKey" | "matching" | "note" | "tags"> & { tags?: string[] };
export type ReportBody = Report;
export type QuestionBody = Omit<Question, "idempotencyKey" | "note" | "tags"> & { tags?: string[] };
export type WhichNode = { instance?: string; version?: string };

export type Ended = { run: RunId; status: Status; output?: unknown };
export type KnownWorkflow = { name: string; version: number; timeoutMs?: number; input?: Json };

/**
 * What a route takes besides what is in its path, and the JSON of its answer (of one event, where that is a stream). A
 * key that makes a POST one request is a header of its own.
 */
export type Routes = {
  "GET /health": { result: { status: "ok" } };
  "GET /metrics": { result: string };
  "GET /openapi.json": { result: object };

  "GET /v1/runs": { query: ListQuery; result: { runs: readonly RunRow[]; cursor?: string } };
  "POST /v1/runs": { body: StartBody; result: RunRow };
  "GET /v1/runs/{run}": { result: RunRow };
  "GET /v1/runs/{run}/history": {
    query: { after?: number; limit?: number };
    result: { row: RunRow; events: Event[]; more: boolean };
  };
  "GET /v1/runs/{run}/events": { query: { after?: number }; result: Event };
  "GET /v1/runs/{run}/stream": { query: { name: string; after?: number }; result: StreamItem };
  "GET /v1/runs/{run}/result": { query: { wait?: number }; result: Ended };
  "GET /v1/runs/{run}/state": { query: { seq: number }; result: RunState };
  "GET /v1/runs/{run}/trace": { query: { family?: boolean }; result: Trace };
  "GET /v1/runs/{run}/lineage": { result: Lineage };
  "GET /v1/runs/{run}/compare/{other}": { query: CompareOptions; result: Comparison };

  "POST /v1/runs/{run}/plan": { body: PlanBody; result: Plan };
  "POST /v1/runs/{run}/restart": { body: RemakeBody; result: RunRow };
  "POST /v1/runs/{run}/fork": { body: RemakeBody; result: RunRow };

  "POST /v1/runs/{run}/resume": { body: ResumeBody; result: Answered };
  "POST /v1/runs/{run}/signal": {
    body: { name: string; payload?: unknown; by?: string };
    result: { accepted: boolean };
  };
  "POST /v1/runs/{run}/decide": { body: { step: string; decision: GivenDecision } & By; result: object };
  "POST /v1/runs/{run}/cancel": { body: By; result: { accepted: boolean; status: Status } };
  "POST /v1/runs/{run}/pause": { body: By; result: Paused };
  "POST /v1/runs/{run}/unpause": { body: By; result: Paused };

  "GET /v1/verify": { result: Verification };
  "GET /v1/runs/{run}/verify": { query: { family?: boolean; seq?: Seq; hash?: Digest }; result: Verification };
  "GET /v1/runs/{run}/why": { query: WhyOptions & { key?: string }; result: Why };
  "GET /v1/runs/{run}/prov": { query: { family?: boolean }; result: ProvDocument };
  "GET /v1/goldens": { query: GoldenQuery; result: { marks: GoldenMark[] } };
  "POST /v1/runs/{run}/golden": { body: GoldenBody; result: GoldenMark };
  "POST /v1/ungolden": { body: GoldenQuery & By; result: { marks: GoldenMark[] } };
  "GET /v1/runs/{run}/export": { result: AsyncIterable<string> };
  "POST /v1/import": { query: { takeOver?: boolean }; result: Imported };
  "POST /v1/prune": { body: PruneBody; result: PrunedRuns };
  "GET /v1/webhooks": { result: { webhooks: Webhook[] } };
  "POST /v1/webhooks": { body: WebhookWish; result: NewWebhook };
  "DELETE /v1/webhooks/{webhook}": { result: object };
  "POST /v1/webhooks/{webhook}/ping": { result: Delivery };
  "GET /v1/webhooks/{webhook}/deliveries": { query: PageQuery; result: DeliveriesPage };
  "POST /v1/deliveries/{delivery}/redeliver": { result: Delivery };
  "GET /v1/runs/{run}/deliveries": { query: PageQuery; result: DeliveriesPage };
  "GET /v1/nodes": { result: { nodes: readonly NodeState[] } };
  "POST /v1/nodes": { body: NodeGiven; result: NodeState };
  "POST /v1/nodes/{node}/heartbeat": { body: WhichNode; result: NodeState };
  "POST /v1/nodes/{node}/leave": { body: WhichNode; result: { left: boolean } };

  "POST /v1/calls": { body: CallBody; result: Execution };
  "GET /v1/calls/{call}": { query: { wait?: number }; result: Execution };
  "POST /v1/calls/{call}/result": { body: ReportBody; result: { accepted: boolean } };
  "POST /v1/calls/{call}/cancel": { body: By; result: { accepted: boolean; status: Status } };
  "POST /v1/calls/{call}/waits": { body: QuestionBody; result: Asked };
  "GET /v1/calls/{call}/waits/{wait}": { query: { wait?: number }; result: Asked };

  "GET /v1/waits": { query: WaitsQuery; result: { waits: OpenWait[]; cursor?: string } };
  "GET /v1/feed": { query: Omit<FeedOptions, "signal">; result: FeedEntry };
  "GET /v1/payloads": { query: { digest: readonly string[] }; result: { texts: Record<string, string> } };
  "GET /v1/workflows": { result: { workflows: KnownWorkflow[] } };
  "GET /v1/workers": { result: { workers: LeasedWorker[] } };
  "GET /v1/doctor": { result: { ok: boolean; store: string; findings: readonly Finding[] } };
};

export type RouteName = keyof Routes;
export type QueryOf<R extends RouteName> = Routes[R] extends { query: infer Q } ? Q : undefined;
export type BodyOf<R extends RouteName> = Routes[R] extends { body: infer B } ? B : undefined;
export type ResultOf<R extends RouteName> = Routes[R]["result"];
