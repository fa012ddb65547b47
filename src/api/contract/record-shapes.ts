/** What answers about runs on record look like, as schemas. */
import { z } from "zod";
import { anyKeys } from "./route.ts";

const count: z.ZodType = z.number().int().min(0);

const flaw: z.ZodType = z
  .strictObject({
    run: z.string(),
    seq: count.optional(),
    kind: z.string(),
    message: z.string(),
    target: z.strictObject({ run: z.string(), seq: count }).optional(),
    digest: z.string().optional(),
  })
  .meta({ id: "Flaw" });

export const verification: z.ZodType = z
  .strictObject({
    ok: z.boolean(),
    runs: count,
    events: count,
    payloads: count,
    payloadBytes: count,
    flaws: z.array(flaw),
    more: count,
    head: z.strictObject({ seq: z.number().int(), hash: z.string() }).optional(),
  })
  .meta({ id: "Verification" });

const whyNode = z.strictObject({
  id: z.string(),
  run: z.string(),
  seq: count,
  key: z.string().optional(),
  how: z.enum(["ran", "reused", "given", "decided", "answered", "called", "waited", "input", "output"]),
  status: z.string(),
  at: count,
  by: z.string().optional(),
  reason: z.string().optional(),
  value: z.unknown().optional(),
  holds: z.string().optional(),
  from: z.array(z.strictObject({ id: z.string(), how: z.enum(["cause", "reused", "call", "input"]) })),
});

export const why: z.ZodType = z
  .strictObject({
    run: z.string(),
    key: z.string().optional(),
    path: z.string().optional(),
    value: z.unknown().optional(),
    nodes: z.array(whyNode),
    narrowed: z.boolean(),
    more: z.literal(true).optional(),
  })
  .meta({ id: "Why" });

/** PROV-JSON has a schema of its own (https://www.w3.org/submissions/2013/SUBM-prov-json-20130424/schema). */
export const prov: z.ZodType = anyKeys();

export const goldenMark: z.ZodType = z
  .strictObject({
    run: z.string(),
    workflow: z.string(),
    name: z.string(),
    tags: z.array(z.string()),
    by: z.string().optional(),
    reason: z.string().optional(),
    at: count,
    mark: z.string(),
  })
  .meta({ id: "GoldenMark" });

export const imported: z.ZodType = z
  .strictObject({
    family: z.string(),
    runs: z.array(z.string()),
    completed: z.array(z.string()),
    there: z.array(z.string()),
    events: count,
  })
  .meta({ id: "Imported" });

export const pruned: z.ZodType = z
  .strictObject({ runs: count, events: count, payloadBytes: count, kept: count })
  .meta({ id: "Pruned" });
