/** What answers look like, as schemas: for the OpenAPI document, and for the tests that hold real answers against them. */
import { z } from "zod";
import { statuses } from "../../core/run.ts";
import { anyKeys } from "./route.ts";

const time: z.ZodType = z.number().int().describe("Milliseconds since 1970");
const runId: z.ZodType = z.string().regex(/^run_[0-7][0-9a-hjkmnp-tv-z]{25}$/);
const count: z.ZodType = z.number().int().min(0);

export const status: z.ZodType = z.enum(statuses);

export const errorRecord: z.ZodType = z
  .looseObject({ name: z.string(), message: z.string(), code: z.string().optional(), data: z.unknown().optional() })
  .meta({ id: "ErrorRecord" });

const origin = z.looseObject({ kind: z.enum(["new", "schedule", "child", "restart", "fork"]) });
const counts = z.strictObject({
  succeeded: count,
  failed: count,
  cancelled: count,
  reused: count,
  attemptsFailed: count,
});

export const runState: z.ZodType = z
  .strictObject({
    workflow: z.string(),
    version: z.number(),
    family: runId,
    origin,
    status,
    reason: z.enum(["waiting", "divergence", "poison", "in_doubt", "corrupt"]).optional(),
    steps: counts,
    createdAt: time,
    startedAt: time.optional(),
    endedAt: time.optional(),
    until: time.optional(),
    endingSince: time.optional(),
    refused: z.string().optional(),
    error: errorRecord.optional(),
    waits: z.strictObject({ open: z.array(count), more: z.literal(true).optional() }).optional(),
    pausedWith: runId.optional(),
    cancel: z.strictObject({ by: z.string().optional(), reason: z.string().optional() }).optional(),
    checkpoint: z.strictObject({ seq: count, count }).optional(),
    startCount: count.optional(),
    undoing: count.optional(),
    tags: z.array(z.string()),
    patches: z.array(z.string()).optional(),
    unpatched: z.array(z.string()).optional(),
    seq: count,
  })
  .meta({ id: "RunState" });

export const runRow: z.ZodType = z
  .strictObject({
    id: runId,
    state: runState,
    epoch: count,
    worker: z.string().optional(),
    hash: z.string(),
    dueAt: time.nullable(),
    queue: z.string(),
    priority: z.number(),
    inbox: count,
    inboxDone: count,
    idempotencyKey: z.string().optional(),
    claims: count,
    offered: z.boolean(),
  })
  .meta({ id: "RunRow" });

export const event: z.ZodType = z
  .strictObject({
    seq: count,
    at: time,
    type: z.string(),
    hash: z.string(),
    causes: z.union([z.array(count), z.strictObject({ same: count })]),
    data: anyKeys(),
  })
  .meta({ id: "Event" });

export const feedEntry: z.ZodType = z.strictObject({ position: count, run: runId, event }).meta({ id: "FeedEntry" });

export const streamItem: z.ZodType = z
  .strictObject({
    position: count,
    step: z.string(),
    attempt: count,
    value: z.unknown().optional(),
    reset: z.literal(true).optional(),
  })
  .meta({ id: "StreamItem" });

export const trace: z.ZodType = z
  .strictObject({
    nodes: z.array(
      z.strictObject({
        id: z.string(),
        kind: z.string(),
        run: runId,
        n: count.optional(),
        key: z.string().optional(),
        status: z.string(),
      }),
    ),
    edges: z.array(z.strictObject({ id: z.string(), kind: z.string(), from: z.string(), to: z.string() })),
  })
  .meta({ id: "Trace" });

const member = z.looseObject({ id: runId, workflow: z.string(), version: z.number(), status, origin, steps: counts });

export const lineage: z.ZodType = z
  .strictObject({
    run: runId,
    family: runId,
    ancestors: z.array(runId),
    descendants: z.array(runId),
    siblings: z.array(runId),
    runs: z.array(member),
  })
  .meta({ id: "Lineage" });

const range = z.tuple([z.number(), z.number()]);
const verdict = z.enum(["reuse", "run", "depends", "decide"]);

export const plan: z.ZodType = z
  .strictObject({
    grade: z.enum(["history", "dry run"]),
    steps: z.array(
      z.strictObject({
        key: z.string(),
        verdict,
        reason: z.string(),
        saves: z.strictObject({ ms: z.number(), cost: z.number() }),
        run: runId.optional(),
      }),
    ),
    totals: z.strictObject({
      reuse: count,
      run: count,
      depends: count,
      decide: count,
      runs: range,
      saves: z.strictObject({ ms: range, cost: range }),
    }),
  })
  .meta({ id: "Plan" });

const side = z.looseObject({ run: runId, status, ms: z.number().optional(), cost: z.number() });

export const comparison: z.ZodType = z
  .strictObject({
    a: side,
    b: side,
    parting: anyKeys().optional(),
    same: z.boolean(),
    input: anyKeys().optional(),
    context: anyKeys().optional(),
    output: anyKeys().optional(),
    steps: z.array(z.looseObject({ change: z.string(), moved: z.boolean(), differences: z.array(anyKeys()) })),
    first: count.optional(),
    totals: z.strictObject({ same: count, changed: count, added: count, removed: count, moved: count }),
  })
  .meta({ id: "Comparison" });

export const answered: z.ZodType = z
  .strictObject({
    state: z.enum(["recorded", "sent"]),
    seq: count.optional(),
    value: z.unknown().optional(),
    error: errorRecord.optional(),
    by: z.string().optional(),
  })
  .meta({ id: "Answered" });

export const openWait: z.ZodType = z
  .strictObject({
    run: runId,
    workflow: z.string(),
    version: z.number(),
    key: z.string(),
    name: z.string(),
    kind: z.enum(["timer", "approval", "signal", "external"]),
    input: z.unknown().optional(),
    prompt: z.string().optional(),
    reason: z.string().optional(),
    schema: z.unknown().optional(),
    tags: z.array(z.string()).optional(),
    openedAt: time,
    until: time.optional(),
  })
  .meta({ id: "OpenWait" });

export const finding: z.ZodType = z
  .strictObject({
    check: z.string(),
    level: z.enum(["ok", "warning", "problem"]),
    message: z.string(),
    advice: z.string().optional(),
    data: anyKeys().optional(),
  })
  .meta({ id: "Finding" });

/** Problem details (RFC 9457), with the code by which programs know what went wrong. */
export const problem: z.ZodType = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.string(),
    retryable: z.boolean(),
    data: anyKeys().optional(),
    cause: errorRecord.optional(),
  })
  .meta({ id: "Problem" });

const found = z.strictObject({ run: runId, key: z.string(), seq: count });

export const execution: z.ZodType = z
  .strictObject({
    id: z.string(),
    run: runId.optional(),
    target: z.string(),
    status,
    input: z.unknown().optional(),
    output: z.unknown().optional(),
    error: errorRecord.optional(),
    caller: z.strictObject({ run: runId, key: z.string() }).optional(),
    family: runId.optional(),
    reused: z.strictObject({ from: found, origin: found }).optional(),
    attempt: count,
    node: z.strictObject({ node: z.string(), version: z.string(), instance: z.string() }).optional(),
    waits: z.array(z.string()),
    createdAt: time.optional(),
    startedAt: time.optional(),
    endedAt: time.optional(),
  })
  .meta({ id: "Execution" });

export const asked: z.ZodType = z
  .strictObject({
    run: runId,
    wait: z.string(),
    state: z.enum(["open", "answered", "failed", "expired", "withdrawn"]),
    value: z.unknown().optional(),
    error: errorRecord.optional(),
  })
  .meta({ id: "Asked" });

const nodeFunction = z.strictObject({
  name: z.string(),
  kind: z.enum(["reasoner", "skill"]),
  description: z.string().optional(),
  tags: z.array(z.string()),
  input: z.unknown().optional(),
  output: z.unknown().optional(),
  timeoutMs: z.number().optional(),
  retry: anyKeys().optional(),
});

export const node: z.ZodType = z
  .strictObject({
    id: runId,
    node: z.string(),
    version: z.string(),
    url: z.string(),
    instance: z.string(),
    weight: z.number(),
    concurrency: z.number().optional(),
    leaseMs: z.number(),
    serverless: z.literal(true).optional(),
    functions: z.array(nodeFunction),
    metadata: z.unknown().optional(),
    at: time,
    state: z.enum(["up", "silent", "down"]),
    heardAt: time,
    working: count,
    circuit: z.enum(["closed", "open", "probing"]),
  })
  .meta({ id: "Node" });

export const nothing: z.ZodType = z.strictObject({});
export const ended: z.ZodType = z.strictObject({ run: runId, status, output: z.unknown().optional() });
