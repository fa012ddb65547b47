/** Routes by which runs are started, found and looked at. */
import { z } from "zod";
import { limits } from "../../core/limits.ts";
import { statuses } from "../../core/run.ts";
import type { ContractPart } from "./route.ts";
import { duration, flag, many, optional, text, whole } from "./route.ts";
import * as shapes from "./shapes.ts";
import { runWebhook } from "./webhooks.ts";

const cursorPage = { cursor: optional(text), limit: optional(whole(1, limits.pageRunsMax)) };

type RunRoutes =
  | "GET /v1/runs"
  | "POST /v1/runs"
  | "GET /v1/runs/{run}"
  | "GET /v1/runs/{run}/history"
  | "GET /v1/runs/{run}/events"
  | "GET /v1/runs/{run}/stream"
  | "GET /v1/runs/{run}/result"
  | "GET /v1/runs/{run}/state"
  | "GET /v1/runs/{run}/trace"
  | "GET /v1/runs/{run}/lineage"
  | "GET /v1/runs/{run}/compare/{other}";

export const runRoutes: ContractPart<RunRoutes> = {
  "GET /v1/runs": {
    summary: "Lists runs, newest first, a page at a time.",
    scope: "read",
    errors: [],
    query: z.strictObject({
      ids: optional(many(text)),
      idPart: optional(text),
      workflow: optional(text),
      idempotencyKey: optional(text),
      status: optional(many(z.enum(statuses))),
      tag: optional(text),
      family: optional(text),
      since: optional(whole(0)),
      records: optional(flag()),
      ...cursorPage,
    }),
    result: z.strictObject({ runs: z.array(shapes.runRow), cursor: z.string().optional() }),
  },
  "POST /v1/runs": {
    summary: "Starts a run, and answers as soon as it is recorded.",
    scope: "run",
    status: 201,
    errors: [
      "workflow.not_found",
      "workflow.invalid_input",
      "run.conflict",
      "name.invalid",
      "duration.invalid",
      "webhook.invalid",
      "webhook.refused",
    ],
    body: z.strictObject({
      workflow: text,
      input: optional(z.unknown()),
      id: optional(text),
      context: optional(z.unknown()),
      delay: optional(duration),
      priority: optional(z.number()),
      tags: optional(z.array(z.string())),
      timeout: optional(duration),
      by: optional(text),
      webhook: optional(runWebhook),
    }),
    result: shapes.runRow,
  },
  "GET /v1/runs/{run}": {
    summary: "Gives a run: its state, and where the store has it.",
    scope: "read",
    errors: [],
    result: shapes.runRow,
  },
  "GET /v1/runs/{run}/history": {
    summary: "Gives events of a run behind a seq, a page at a time.",
    scope: "read",
    errors: [],
    query: z.strictObject({ after: optional(whole(0)), limit: optional(whole(1, limits.pageEventsMax)) }),
    result: z.strictObject({ row: shapes.runRow, events: z.array(shapes.event), more: z.boolean() }),
  },
  "GET /v1/runs/{run}/events": {
    summary: "Streams the events of a run as they are recorded, to its end. The id of each is its seq.",
    scope: "read",
    kind: "stream",
    errors: ["cursor.beyond_end"],
    query: z.strictObject({ after: optional(whole(0)) }),
    result: shapes.event,
  },
  "GET /v1/runs/{run}/stream": {
    summary: "Streams the values that a run emits under a name, to its end. The id of each is its position.",
    scope: "read",
    kind: "stream",
    errors: ["name.invalid", "cursor.beyond_end"],
    query: z.strictObject({ name: text, after: optional(whole(0)) }),
    result: shapes.streamItem,
  },
  "GET /v1/runs/{run}/result": {
    summary: "Gives the output of a run that succeeded; waits for its end for up to `wait` milliseconds.",
    scope: "read",
    errors: ["run.failed", "run.cancelled", "run.timed_out"],
    query: z.strictObject({ wait: optional(whole(0, limits.resultWaitMsMax)) }),
    result: shapes.ended,
  },
  "GET /v1/runs/{run}/state": {
    summary: "Gives what a run was when the event with a seq had happened.",
    scope: "read",
    errors: [],
    query: z.strictObject({ seq: whole(0) }),
    result: shapes.runState,
  },
  "GET /v1/runs/{run}/trace": {
    summary: "Gives the graph of what happened and why, of a run or of its whole family.",
    scope: "read",
    errors: [],
    query: z.strictObject({ family: optional(flag()) }),
    result: shapes.trace,
  },
  "GET /v1/runs/{run}/lineage": {
    summary: "Gives the family of a run: what it comes from, what came from it, and what else came from the same.",
    scope: "read",
    errors: [],
    result: shapes.lineage,
  },
  "GET /v1/runs/{run}/compare/{other}": {
    summary: "Compares two runs, step by step.",
    scope: "read",
    errors: [],
    query: z.strictObject({ details: optional(whole(0, limits.comparedDetailsMax)) }),
    result: shapes.comparison,
  },
};
