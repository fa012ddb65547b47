/** Routes of nodes, and of the executions of their functions. */
import { z } from "zod";
import type { Json } from "../../core/json.ts";
import { limits } from "../../core/limits.ts";
import type { RetryOptions } from "../../core/retry.ts";
import type { NodeFunction } from "../agents/node.ts";
import { givenError } from "./given-error.ts";
import type { ContractPart } from "./route.ts";
import { duration, optional, text, whole } from "./route.ts";
import type { ReportBody } from "./routes.ts";
import * as shapes from "./shapes.ts";

type AgentRoutes =
  | "GET /v1/nodes"
  | "POST /v1/nodes"
  | "POST /v1/nodes/{node}/heartbeat"
  | "POST /v1/nodes/{node}/leave"
  | "POST /v1/calls"
  | "GET /v1/calls/{call}"
  | "POST /v1/calls/{call}/result"
  | "POST /v1/calls/{call}/cancel"
  | "POST /v1/calls/{call}/waits"
  | "GET /v1/calls/{call}/waits/{wait}";

const json = z.unknown() as unknown as z.ZodType<Json>;
const retry: z.ZodType<number | RetryOptions> = z.union([
  z.number(),
  z.strictObject({
    attempts: optional(z.number()),
    delay: optional(duration),
    factor: optional(z.number()),
    maxDelay: optional(duration),
    jitter: optional(z.number()),
  }),
]);
const nodeFunction: z.ZodType<NodeFunction> = z.strictObject({
  name: text,
  kind: optional(z.enum(["reasoner", "skill"])),
  description: optional(text),
  tags: optional(z.array(z.string())),
  input: optional(json),
  output: optional(json),
  timeout: optional(duration),
  retry: optional(retry),
});
const which = z.strictObject({ instance: optional(text), version: optional(text) });
const by = z.strictObject({ by: optional(text), reason: optional(text) });
const open = { open: optional(z.enum(["cancel", "await"])) };
const report: z.ZodType<ReportBody> = z.union([
  z.strictObject({ ok: z.literal(true), output: optional(z.unknown()), ...open }),
  z.strictObject({ ok: z.literal(false), error: givenError, final: optional(z.boolean()), ...open }),
]);
const wait = { wait: optional(whole(0, limits.resultWaitMsMax)) };

export const agentRoutes: ContractPart<AgentRoutes> = {
  "GET /v1/nodes": {
    summary: "Lists the nodes that are registered, and how they are.",
    scope: "read",
    errors: [],
    result: z.strictObject({ nodes: z.array(shapes.node) }),
  },
  "POST /v1/nodes": {
    summary: "Registers a node with its functions, in the place of what was registered for it at the same address.",
    repeats: "The same registration takes its own place.",
    scope: "admin",
    nodes: true,
    status: 201,
    errors: ["name.invalid", "duration.invalid", "limit.exceeded", "workflow.duplicate"],
    body: z.strictObject({
      node: text,
      version: optional(text),
      url: text,
      instance: optional(text),
      weight: optional(z.number()),
      concurrency: optional(z.number()),
      serverless: optional(z.boolean()),
      lease: optional(duration),
      functions: z.array(nodeFunction),
      metadata: optional(json),
    }),
    result: shapes.node,
  },
  "POST /v1/nodes/{node}/heartbeat": {
    summary: "Says that a node is there.",
    repeats: "That a node is there is true however often it is said.",
    scope: "admin",
    nodes: true,
    errors: ["node.not_found"],
    body: which,
    result: shapes.node,
  },
  "POST /v1/nodes/{node}/leave": {
    summary: "Says that a node leaves: what it has in hand is given out anew.",
    repeats: "A node that has left cannot leave again.",
    scope: "admin",
    nodes: true,
    errors: [],
    body: which,
    result: z.strictObject({ left: z.boolean() }),
  },
  "POST /v1/calls": {
    summary: "Calls a function of a node: starts a run of it, or has the run of the execution that calls do so.",
    scope: "run",
    nodes: true,
    status: 201,
    errors: ["node.not_found", "function.not_found", "run.ended", "run.conflict", "name.invalid", "duration.invalid"],
    body: z.strictObject({
      target: text,
      input: optional(z.unknown()),
      context: optional(z.unknown()),
      caller: optional(text),
      tags: optional(z.array(z.string())),
      timeout: optional(duration),
      delay: optional(duration),
      run: optional(text),
      by: optional(text),
    }),
    result: shapes.execution,
  },
  "GET /v1/calls/{call}": {
    summary: "Gives an execution; waits for its end for up to `wait` milliseconds.",
    scope: "read",
    nodes: true,
    errors: ["run.not_found", "run.invalid_id"],
    query: z.strictObject(wait),
    result: shapes.execution,
  },
  "POST /v1/calls/{call}/result": {
    summary: "Says how an execution ended, as the node that works on it. The same again changes nothing.",
    repeats: "An execution ends once; the same report again is answered and changes nothing.",
    scope: "admin",
    nodes: true,
    errors: ["run.not_found", "run.invalid_id", "run.ended"],
    body: report,
    result: z.strictObject({ accepted: z.boolean() }),
  },
  "POST /v1/calls/{call}/cancel": {
    summary: "Ends an execution and what it called; the nodes that work on them are told.",
    repeats: "An execution ends once; one that has ended is left as it is.",
    scope: "run",
    errors: ["run.not_found", "run.invalid_id"],
    body: by,
    result: z.strictObject({ accepted: z.boolean(), status: shapes.status }),
  },
  "POST /v1/calls/{call}/waits": {
    summary: "Asks a question, as the node that works on the execution: it is a wait of its run.",
    scope: "admin",
    nodes: true,
    status: 201,
    errors: ["run.not_found", "run.invalid_id", "run.ended", "name.invalid", "duration.invalid"],
    body: z.strictObject({
      name: text,
      input: optional(z.unknown()),
      prompt: optional(text),
      reason: optional(text),
      schema: optional(json),
      expires: optional(duration),
      tags: optional(z.array(z.string())),
    }),
    result: shapes.asked,
  },
  "GET /v1/calls/{call}/waits/{wait}": {
    summary: "Gives a question and its answer; waits for that for up to `wait` milliseconds.",
    scope: "read",
    nodes: true,
    errors: ["run.not_found", "run.invalid_id", "wait.not_open"],
    query: z.strictObject(wait),
    result: shapes.asked,
  },
};
