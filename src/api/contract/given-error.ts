/** An error that somebody reports: an answer, a decision, what became of a function of a node. */
import { z } from "zod";
import type { ErrorRecord } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import { optional, text } from "./route.ts";

/** What it was caused by is an error too; how deep that goes is bounded by the depth of JSON, and what is kept by the engine. */
export const givenError: z.ZodType<ErrorRecord> = z
  .strictObject({
    name: text,
    message: text,
    code: optional(text),
    data: optional(z.unknown() as unknown as z.ZodType<Json>),
    cause: optional(z.lazy(() => givenError)),
  })
  .meta({ id: "GivenError" });
