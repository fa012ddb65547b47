/**
 * What is asked of `POST /executions/:id/restart`, and what it means. Its three modes are words of this wire; the engine
 * knows of cuts and of what may be reused, and that equal calls get the earliest success.
 */
import { StemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import { checkId } from "../../core/name.ts";
import type { ReplayMode } from "./headers.ts";
import { replayMode } from "./headers.ts";

export type Scope = "workflow" | "execution";

export type RestartRequest = {
  /** `workflow`: the root of the run runs again; `execution`: only the one that is named, as a root. */
  scope: Scope;
  /** As it was asked for, and as it is carried out. */
  requested: ReplayMode;
  effective: ReplayMode;
  /** Whether anything is said to differ; that is all that the word says. */
  kind: "restart" | "fork";
  reason?: string;
  /** Present, if only as `{}`, it is given in the place of the source's. */
  input?: Json;
  /** RFC 7396, in the place of an input. */
  patch?: Json;
  context?: Json;
  webhook?: Json;
};

/** Throws usage.invalid, name.invalid. An empty body is a request. */
export function restartRequest(body: Json | undefined): RestartRequest {
  const given = objectOf(body);
  const scope = given["scope"] ?? "workflow";
  if (scope !== "workflow" && scope !== "execution") {
    throw new StemmaError("usage.invalid", `Expected scope to be workflow or execution, got ${shown(scope)}.`);
  }
  const requested = replayMode(given["reuse"] ?? undefined);
  // Of a single execution all that succeeded lies behind it, never before.
  const effective = scope === "execution" && requested === "succeeded-before" ? "all-succeeded" : requested;
  const { reason } = given;
  const changes = Object.fromEntries(
    ["input", "patch", "context", "webhook"].flatMap((name) => {
      const value = given[name];
      return value === undefined || value === null ? [] : [[name, value]];
    }),
  ) as Pick<RestartRequest, "input" | "patch" | "context" | "webhook">;
  if (changes.input !== undefined && changes.patch !== undefined) {
    throw new StemmaError("usage.invalid", "Expected input or patch, got both.");
  }
  const { fork = false } = given;
  if (typeof fork !== "boolean")
    throw new StemmaError("usage.invalid", `Expected fork to be a boolean, got ${shown(fork)}.`);
  const isFork = fork || changes.input !== undefined || changes.patch !== undefined || changes.context !== undefined;
  return {
    scope,
    requested,
    effective,
    kind: isFork ? "fork" : "restart",
    ...changes,
    ...(reason === undefined || reason === null || reason === "" ? {} : { reason: checkId(reason, "reason") }),
  };
}

/** An object of JSON, or none; throws usage.invalid. */
export function objectOf(body: Json | undefined): { readonly [name: string]: Json } {
  if (body === undefined || body === null) return {};
  if (typeof body === "object" && !Array.isArray(body)) return body;
  throw new StemmaError("usage.invalid", `Expected the body to be a JSON object, got ${shown(body)}.`);
}

function shown(value: Json): string {
  return JSON.stringify(value).slice(0, 60);
}
