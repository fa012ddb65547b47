/** Values checked by the schema that the author gave (Standard Schema v1: zod, valibot, arktype …). */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { ErrorCode } from "../core/error.ts";
import { StemmaError } from "../core/error.ts";
import type { Workflow } from "./body.ts";

const issuesShown = 10;

/** The validated input; what the schema made of it is what is recorded. Throws workflow.invalid_input. */
export async function validate(workflow: Workflow, input: unknown): Promise<unknown> {
  if (workflow.schema === undefined) return input;
  const { name } = workflow;
  const what = `The input does not fit workflow ${name}`;
  return await checkFit(workflow.schema, input, "workflow.invalid_input", what, { workflow: name });
}

/** What a schema makes of a value; a promise where it takes a while. Throws the code given, with the issues. */
export function checkFit(
  schema: StandardSchemaV1,
  value: unknown,
  code: ErrorCode,
  what: string,
  data: Record<string, unknown> = {},
): unknown {
  const fit = (result: StandardSchemaV1.Result<unknown>): unknown => {
    if (result.issues === undefined) return result.value;
    const issues = result.issues
      .slice(0, issuesShown)
      .map((issue) => ({ path: pathOf(issue), message: issue.message }));
    const shown = issues.map(({ path, message }) => `${path}: ${message}`).join("; ");
    throw new StemmaError(code, `${what}: ${shown}.`, { data: { ...data, issues } });
  };
  const result = schema["~standard"].validate(value);
  return result instanceof Promise ? result.then(fit) : fit(result);
}

function pathOf(issue: StandardSchemaV1.Issue): string {
  const parts = (issue.path ?? []).map((part) => (typeof part === "object" ? part.key : part));
  return ["$", ...parts.map(String)].join(".");
}
