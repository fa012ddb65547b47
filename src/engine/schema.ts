/** Input checked by the schema that the author gave (Standard Schema v1: zod, valibot, arktype …). */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { StemmaError } from "../core/error.ts";
import type { Workflow } from "./body.ts";

const issuesShown = 10;

/** The validated input; what the schema made of it is what is recorded. Throws workflow.invalid_input. */
export async function validate(workflow: Workflow, input: unknown): Promise<unknown> {
  if (workflow.schema === undefined) return input;
  const result = await workflow.schema["~standard"].validate(input);
  if (result.issues === undefined) return result.value;
  const issues = result.issues.slice(0, issuesShown).map((issue) => ({ path: pathOf(issue), message: issue.message }));
  const shown = issues.map(({ path, message }) => `${path}: ${message}`).join("; ");
  throw new StemmaError("workflow.invalid_input", `The input does not fit workflow ${workflow.name}: ${shown}.`, {
    data: { workflow: workflow.name, issues },
  });
}

function pathOf(issue: StandardSchemaV1.Issue): string {
  const parts = (issue.path ?? []).map((part) => (typeof part === "object" ? part.key : part));
  return ["$", ...parts.map(String)].join(".");
}
