/** Routes about runs on record: proof, provenance, golden runs, moving families between stores, and keeping house. */
import { z } from "zod";
import { terminalStatuses } from "../../core/run.ts";
import type { ContractPart } from "./route.ts";
import { duration, flag, optional, text, whole } from "./route.ts";
import * as shapes from "./record-shapes.ts";

const goldenQuery = { workflow: optional(text), name: optional(text), run: optional(text) };

type RecordRoutes =
  | "GET /v1/verify"
  | "GET /v1/runs/{run}/verify"
  | "GET /v1/runs/{run}/why"
  | "GET /v1/runs/{run}/prov"
  | "GET /v1/goldens"
  | "POST /v1/runs/{run}/golden"
  | "POST /v1/ungolden"
  | "GET /v1/runs/{run}/export"
  | "POST /v1/import"
  | "POST /v1/prune";

export const recordRoutes: ContractPart<RecordRoutes> = {
  "GET /v1/verify": {
    summary: "Verifies everything there is: hash chains, payloads, rows, and what runs name of each other.",
    scope: "admin",
    errors: ["store.newer"],
    result: shapes.verification,
  },
  "GET /v1/runs/{run}/verify": {
    summary: "Verifies the history of a run, or of its whole family.",
    scope: "read",
    errors: ["store.newer"],
    query: z.strictObject({
      family: optional(flag()),
      seq: optional(whole(0)),
      hash: optional(z.string().regex(/^[0-9a-f]{64}$/)),
    }),
    result: shapes.verification,
  },
  "GET /v1/runs/{run}/why": {
    summary:
      "Says where the output of a step (or of the run) comes from: every step, answer and input that leads to it.",
    scope: "read",
    errors: ["step.not_found", "run.not_terminal", "payload.missing"],
    query: z.strictObject({ key: optional(text), path: optional(text), limit: optional(whole(1, 100_000)) }),
    result: shapes.why,
  },
  "GET /v1/runs/{run}/prov": {
    summary: "Gives what happened as a W3C PROV-JSON document, of a run or of its whole family.",
    scope: "read",
    errors: [],
    query: z.strictObject({ family: optional(flag()) }),
    result: shapes.prov,
  },
  "GET /v1/goldens": {
    summary: "Lists the runs that are marked as golden, the one that was marked last first.",
    scope: "read",
    errors: [],
    query: z.strictObject(goldenQuery),
    result: z.strictObject({ marks: z.array(shapes.goldenMark) }),
  },
  "POST /v1/runs/{run}/golden": {
    summary: "Marks a run that has ended as golden. Of each name a workflow has one; the one before is un-marked.",
    scope: "run",
    status: 201,
    errors: ["run.not_terminal", "name.invalid", "limit.exceeded", "run.conflict"],
    body: z.strictObject({
      name: optional(text),
      tags: optional(z.array(z.string())),
      by: optional(text),
      reason: optional(text),
    }),
    result: shapes.goldenMark,
  },
  "POST /v1/ungolden": {
    summary: "Un-marks golden runs: of a workflow, by a name, or of one run. Gives the marks that there were.",
    repeats: "What is not marked any more cannot be un-marked.",
    scope: "run",
    errors: [],
    body: z.strictObject({ ...goldenQuery, by: optional(text), reason: optional(text) }),
    result: z.strictObject({ marks: z.array(shapes.goldenMark) }),
  },
  "GET /v1/runs/{run}/export": {
    summary: "Gives the family of a run as the lines of one file, which `POST /v1/import` takes.",
    scope: "read",
    kind: "lines",
    errors: ["payload.missing"],
    result: z.string(),
  },
  "POST /v1/import": {
    summary: "Takes in a family that was exported. All of it is checked before anything is written.",
    repeats: "Runs that are there already are left as they are, and named.",
    scope: "admin",
    takes: "lines",
    errors: ["import.refused", "store.newer", "run.conflict", "run.invalid_id", "commit.conflict"],
    query: z.strictObject({ takeOver: optional(flag()) }),
    result: shapes.imported,
  },
  "POST /v1/prune": {
    summary: "Removes runs that ended long ago and that nothing that stays leads to; with `dryRun` it only counts.",
    repeats: "What was removed is gone.",
    scope: "admin",
    errors: ["duration.invalid"],
    body: z.strictObject({
      olderThan: duration,
      status: optional(z.array(z.enum(terminalStatuses))),
      workflow: optional(text),
      tag: optional(text),
      dryRun: optional(z.boolean()),
    }),
    result: shapes.pruned,
  },
};
