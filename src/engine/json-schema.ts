/** Answers checked by the JSON Schema that their wait shows, by whoever receives them and has no code of the workflow. */
import { Validator } from "@cfworker/json-schema";
import { StemmaError } from "../core/error.ts";
import type { RunId } from "../core/event.ts";
import type { Json } from "../core/json.ts";

const issuesShown = 10;

/**
 * Throws wait.invalid_answer where a value does not fit. JSON Schema, draft 2020-12:
 * https://json-schema.org/draft/2020-12
 */
export function checkAnswer(schema: Json, value: unknown, run: RunId, wait: string): void {
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) return;
  // JSON has no value for "nothing"; the validator knows only what JSON has.
  const { valid, errors } =
    value === undefined
      ? { valid: false, errors: [{ instanceLocation: "#", error: "There is no value." }] }
      : new Validator(schema, "2020-12", false).validate(value);
  if (valid) return;
  const issues = errors
    .slice(-issuesShown)
    .map(({ instanceLocation, error }) => ({ path: instanceLocation.replace(/^#/, "$"), message: error }));
  const shown = issues.map(({ path, message }) => `${path}: ${message}`).join("; ");
  throw new StemmaError("wait.invalid_answer", `The answer does not fit wait ${wait}: ${shown}`, {
    data: { run, wait, issues },
  });
}
