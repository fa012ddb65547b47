/** Questions as authors write them: waits for a person or a service, signals, and calls of other workflows. */
import type { StandardJSONSchemaV1, StandardSchemaV1 } from "@standard-schema/spec";
import type { Duration } from "../../core/duration.ts";
import { milliseconds, timeLimit } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import type { WaitKind } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import { decode, encode } from "../../core/json.ts";
import { checkName } from "../../core/name.ts";
import type { CallAsk, WaitAsk, Workflow } from "../../engine/body.ts";
import { checkFit } from "../../engine/schema.ts";
import { toValue } from "../../engine/value.ts";

export type WaitOptions<O> = {
  /** What is asked about: shown to whoever answers, and part of what the wait is. */
  input?: unknown;
  /** What the answer must be, as a Standard Schema; whoever receives it checks it by its JSON Schema already. */
  schema?: StandardSchemaV1<unknown, O>;
  /** The question, for people. */
  prompt?: string;
  /** Why the run waits, for machines: "approval", "dependency" … */
  reason?: string;
  /** Default: "approval" where there is a prompt, else "external". */
  kind?: Exclude<WaitKind, "timer" | "signal">;
  /** From its opening, or a date. Then it throws `wait.expired`, or settles with `default`. Default: never. */
  expires?: Duration | Date;
  default?: O;
  tags?: readonly string[];
};

export type SignalOptions<O> = Pick<WaitOptions<O>, "schema" | "expires" | "default" | "tags">;

export type CallOptions = {
  /** What the call is called in this run. Default: the name of the workflow. */
  name?: string;
  /** The second value given to the called run. Default: that of this run. */
  context?: unknown;
  tags?: readonly string[];
  /** How long the called run may take, in place of its workflow's own limit. */
  timeout?: Duration;
};

type Place = { path: string; causes(): readonly number[] };

/** An ask for a wait, or with `signal` for the next signal of that name. */
export function waitAsk(place: Place, name: string, options: WaitOptions<unknown>, signal?: true): WaitAsk {
  checkName(name, signal === true ? "name of a signal" : "name of a wait");
  if (typeof options !== "object" || options === null) {
    throw new StemmaError(
      "usage.invalid",
      `Expected the options of wait ${name} to be an object, got ${typeof options}.`,
    );
  }
  const { schema, prompt, reason, expires, tags } = options;
  const kind = signal === true ? "signal" : (options.kind ?? (prompt === undefined ? "external" : "approval"));
  const ask: WaitAsk = { scope: place.path, name, causes: place.causes(), kind };
  if ("input" in options) ask.input = { value: options.input };
  if ("default" in options) ask.default = { value: options.default };
  if (prompt !== undefined) ask.prompt = prompt;
  if (reason !== undefined) ask.reason = reason;
  if (tags !== undefined) ask.tags = tags.map((tag) => checkName(tag, "tag"));
  if (expires !== undefined) ask.until = expiryOf(expires, name);
  if (schema !== undefined) {
    const shape = jsonSchemaOf(schema);
    if (shape !== undefined) ask.schema = shape;
    ask.validate = (value) => checkFit(schema, value, "wait.invalid_answer", `The answer does not fit wait ${name}`);
  }
  return ask;
}

export function callAsk(place: Place, workflow: Workflow, input: unknown, options: CallOptions): CallAsk {
  const { name = workflow.name, context, tags, timeout } = options;
  return {
    scope: place.path,
    name: checkName(name, "name of a call"),
    causes: place.causes(),
    workflow,
    input: { value: input },
    ...(context === undefined ? {} : { context: toValue(context, `context of the call ${name}`) }),
    ...(tags === undefined ? {} : { tags: tags.map((tag) => checkName(tag, "tag")) }),
    ...(timeout === undefined ? {} : { timeoutMs: timeLimit(timeout, `timeout of the call ${name}`) }),
  };
}

function expiryOf(expires: Duration | Date, name: string): (now: number) => number {
  if (!(expires instanceof Date)) {
    const ms = milliseconds(expires, `expiry of wait ${name}`);
    return (now) => now + ms;
  }
  const until = expires.getTime();
  if (Number.isFinite(until)) return () => until;
  throw new StemmaError("duration.invalid", `Expected wait ${name} to expire at a valid Date, got an invalid one.`);
}

/** JSON Schema of what is given to a schema, where its library can tell (Standard JSON Schema). */
function jsonSchemaOf(schema: StandardSchemaV1): Json | undefined {
  const standard = schema["~standard"] as Partial<StandardJSONSchemaV1["~standard"]>;
  try {
    const shape = standard.jsonSchema?.input({ target: "draft-2020-12" });
    const text = shape === undefined ? undefined : encode(shape, "JSON Schema of a wait");
    return text === undefined ? undefined : decode(text);
  } catch {
    // A schema with parts that JSON Schema cannot say; the holder of the run applies it as a whole.
    return undefined;
  }
}
