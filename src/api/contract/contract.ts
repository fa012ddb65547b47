/**
 * The contract: every route once, with what it takes, what it gives, how it fails and who may use it. The server, the
 * OpenAPI document and the tests of both are made from it; adding a route is an entry here, its types in `routes.ts`, and
 * a handler, and whichever is forgotten does not compile.
 */
import { z } from "zod";
import type { WaitKind } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import { agentRoutes } from "./agents.ts";
import type { Contract, ContractPart } from "./route.ts";
import { flag, many, optional, text, whole } from "./route.ts";
import { recordRoutes } from "./records.ts";
import { runRoutes } from "./runs.ts";
import * as shapes from "./shapes.ts";
import { steeringRoutes } from "./steering.ts";
import { webhookRoutes } from "./webhooks.ts";

const kinds = ["timer", "approval", "signal", "external"] as const satisfies readonly WaitKind[];

type StoreRoutes =
  | "GET /health"
  | "GET /metrics"
  | "GET /openapi.json"
  | "GET /v1/waits"
  | "GET /v1/feed"
  | "GET /v1/payloads"
  | "GET /v1/workflows"
  | "GET /v1/workers"
  | "GET /v1/doctor";

const storeRoutes: ContractPart<StoreRoutes> = {
  "GET /health": {
    summary: "Says whether this server and its store answer.",
    scope: "none",
    errors: [],
    result: z.strictObject({ status: z.literal("ok") }),
  },
  "GET /metrics": {
    summary: "Gives counts and times of this server, in the text format of Prometheus.",
    scope: "read",
    kind: "text",
    errors: [],
    result: z.string(),
  },
  "GET /openapi.json": {
    summary: "Gives this document.",
    scope: "read",
    errors: [],
    result: z.looseObject({ openapi: z.string() }),
  },
  "GET /v1/waits": {
    summary: "Lists open waits of all runs, a page at a time; a page may be empty although others follow.",
    scope: "read",
    errors: [],
    query: z.strictObject({
      run: optional(text),
      workflow: optional(text),
      tag: optional(text),
      kind: optional(z.enum(kinds)),
      name: optional(text),
      cursor: optional(text),
      limit: optional(whole(1, limits.pageRunsMax)),
    }),
    result: z.strictObject({ waits: z.array(shapes.openWait), cursor: z.string().optional() }),
  },
  "GET /v1/feed": {
    summary: "Streams every event of all runs once, in one order. The id of each is its position.",
    scope: "read",
    kind: "stream",
    errors: ["cursor.beyond_end"],
    query: z.strictObject({
      after: optional(whole(0)),
      run: optional(text),
      family: optional(text),
      workflow: optional(text),
      once: optional(flag()),
    }),
    result: shapes.feedEntry,
  },
  "GET /v1/payloads": {
    summary: "Gives the texts of values that events name by digest. One that is missing is left out.",
    scope: "read",
    errors: [],
    query: z.strictObject({ digest: many(z.string().regex(/^[0-9a-f]{64}$/)) }),
    result: z.strictObject({ texts: z.record(z.string(), z.string()) }),
  },
  "GET /v1/workflows": {
    summary: "Lists the workflows that can be started here, with the JSON Schema of their input where it is known.",
    scope: "read",
    errors: [],
    result: z.strictObject({
      workflows: z.array(
        z.strictObject({
          name: z.string(),
          version: z.number(),
          timeoutMs: z.number().optional(),
          input: z.unknown().optional(),
        }),
      ),
    }),
  },
  "GET /v1/workers": {
    summary: "Lists the workers whose lease has not ended, and how many runs each holds.",
    scope: "read",
    errors: [],
    result: z.strictObject({
      workers: z.array(z.strictObject({ worker: z.string(), runs: z.number(), leaseUntil: z.number() })),
    }),
  },
  "GET /v1/doctor": {
    summary: "Looks the store over, and says what is wrong and what to do.",
    scope: "admin",
    errors: [],
    result: z.strictObject({ ok: z.boolean(), store: z.string(), findings: z.array(shapes.finding) }),
  },
};

export const contract: Contract = {
  ...storeRoutes,
  ...runRoutes,
  ...steeringRoutes,
  ...recordRoutes,
  ...webhookRoutes,
  ...agentRoutes,
};
