/** Routes that change what becomes of a run: restart and fork, answers and signals, pause and cancel. */
import { z } from "zod";
import { givenError } from "./given-error.ts";
import type { ChangeBody, GivenDecision, RemakeBody } from "./routes.ts";
import type { ContractPart } from "./route.ts";
import { anyKeys, duration, optional, text } from "./route.ts";
import * as shapes from "./shapes.ts";
import { runWebhook } from "./webhooks.ts";

const by = { by: optional(text), reason: optional(text) };

const changes = {
  from: optional(text),
  after: optional(text),
  checkpoint: optional(z.union([z.number(), z.literal("last")])),
  input: optional(z.unknown()),
  patch: optional(z.unknown()),
  context: optional(z.unknown()),
  outputs: optional(anyKeys()),
  reuse: optional(z.enum(["default", "all", "none"])),
  allowEffects: optional(z.array(z.string())),
  allowUnused: optional(z.boolean()),
  tags: optional(z.array(z.string())),
  ...by,
};

const change: z.ZodType<ChangeBody> = z.strictObject(changes).meta({ id: "Change" });
const remake: z.ZodType<RemakeBody> = z
  .strictObject({ ...changes, webhook: optional(runWebhook) })
  .meta({ id: "Remake" });

const decision: z.ZodType<GivenDecision> = z.union([
  z.literal("run"),
  z.strictObject({ record: z.unknown() }),
  z.strictObject({ fail: givenError }),
]);

const remade = [
  "run.not_terminal",
  "run.conflict",
  "step.not_found",
  "checkpoint.not_found",
  "override.unused",
  "workflow.not_found",
  "workflow.invalid_input",
] as const;

type SteeringRoutes =
  | "POST /v1/runs/{run}/plan"
  | "POST /v1/runs/{run}/restart"
  | "POST /v1/runs/{run}/fork"
  | "POST /v1/runs/{run}/resume"
  | "POST /v1/runs/{run}/signal"
  | "POST /v1/runs/{run}/decide"
  | "POST /v1/runs/{run}/cancel"
  | "POST /v1/runs/{run}/pause"
  | "POST /v1/runs/{run}/unpause";

export const steeringRoutes: ContractPart<SteeringRoutes> = {
  "POST /v1/runs/{run}/plan": {
    summary: "Says what a restart or fork would reuse and what it would run, and why. Writes nothing.",
    repeats: "It writes nothing.",
    scope: "read",
    errors: remade,
    body: z.strictObject({
      change: optional(change),
      kind: optional(z.enum(["restart", "fork"])),
      dryRun: optional(z.boolean()),
    }),
    result: shapes.plan,
  },
  "POST /v1/runs/{run}/restart": {
    summary: "Repairs a run that has ended: a new run of the same input that reuses what succeeded.",
    scope: "run",
    status: 201,
    errors: [...remade, "webhook.invalid", "webhook.refused"],
    body: remake,
    result: shapes.runRow,
  },
  "POST /v1/runs/{run}/fork": {
    summary: "Explores: a new run from a run, from a chosen point or with something changed.",
    scope: "run",
    status: 201,
    errors: [...remade, "webhook.invalid", "webhook.refused"],
    body: remake,
    result: shapes.runRow,
  },
  "POST /v1/runs/{run}/resume": {
    summary: "Answers an open wait with a value or an error, or says that it has to wait on.",
    scope: "run",
    errors: ["wait.not_open", "wait.invalid_answer", "json.not_serializable"],
    body: z.strictObject({
      wait: text,
      value: optional(z.unknown()),
      error: optional(givenError),
      again: optional(z.strictObject({ prompt: optional(text), reason: optional(text), expires: optional(duration) })),
      by: optional(text),
    }),
    result: shapes.answered,
  },
  "POST /v1/runs/{run}/signal": {
    summary:
      "Sends a signal to whoever waits for its name in the run, now or later. One sent before is not accepted again.",
    scope: "run",
    status: 202,
    errors: ["run.ended", "name.invalid"],
    body: z.strictObject({ name: text, payload: optional(z.unknown()), by: optional(text) }),
    result: z.strictObject({ accepted: z.boolean() }),
  },
  "POST /v1/runs/{run}/decide": {
    summary: "Says what is to become of a step in doubt: of the attempt that is, with the same key also later.",
    scope: "run",
    status: 202,
    errors: ["step.not_in_doubt"],
    body: z.strictObject({ step: text, decision, ...by }),
    result: shapes.nothing,
  },
  "POST /v1/runs/{run}/cancel": {
    summary: "Ends a run and the runs that it called, the called ones first. One that has ended is left as it is.",
    repeats: "A run ends once; one that has ended is left as it is.",
    scope: "run",
    errors: [],
    body: z.strictObject(by),
    result: z.strictObject({ accepted: z.boolean(), status: shapes.status }),
  },
  "POST /v1/runs/{run}/pause": {
    summary: "Lets steps in flight finish and begins nothing more, in the run and in those that it called.",
    scope: "run",
    status: 202,
    errors: ["run.ended"],
    body: z.strictObject(by),
    result: z.strictObject({ previous: shapes.status }),
  },
  "POST /v1/runs/{run}/unpause": {
    summary: "Lets a paused run go on, and those that it called.",
    scope: "run",
    status: 202,
    errors: ["run.ended"],
    body: z.strictObject(by),
    result: z.strictObject({ previous: shapes.status }),
  },
};
