/**
 * The headers by which AgentField's agents say in whose name they call. An agent that calls another one sends its own
 * execution as the parent; the control plane gives the new execution its id, so an `X-Execution-ID` that comes in says
 * nothing. What is empty is not there.
 */
import { StemmaError } from "../../core/error.ts";
import { checkId } from "../../core/name.ts";

/** From which run an execution may reuse, before which of its executions, and in which way. */
export type Replay = { source: string; before?: string; mode: ReplayMode };

export const replayModes = ["succeeded-before", "all-succeeded", "none"] as const;
export type ReplayMode = (typeof replayModes)[number];

export type CallHeaders = {
  run?: string;
  parent?: string;
  session?: string;
  actor?: string;
  /** The node that the caller runs on. */
  node?: string;
  replay?: Replay;
};

const names = {
  run: ["x-run-id", "x-workflow-id"],
  parent: ["x-parent-execution-id"],
  session: ["x-session-id"],
  actor: ["x-actor-id"],
  node: ["x-agent-node-id"],
} as const;

/** What replay is told with, on the way to an agent and back. */
export const replayHeaders = {
  source: "x-agentfield-replay-source-run-id",
  before: "x-agentfield-replay-before-execution-id",
  mode: "x-agentfield-replay-mode",
} as const;

/** Throws usage.invalid for a mode that nobody knows, name.invalid for an id that cannot be one. */
export function callHeaders(headers: Headers): CallHeaders {
  const found: CallHeaders = {};
  for (const [part, ways] of Object.entries(names) as [keyof typeof names, readonly string[]][]) {
    const given = ways.map((way) => idOf(headers, way)).find((one) => one !== undefined);
    if (given !== undefined) found[part] = given;
  }
  const replay = replayOf(headers);
  return replay === undefined ? found : { ...found, replay };
}

function replayOf(headers: Headers): Replay | undefined {
  const mode = replayMode(idOf(headers, replayHeaders.mode));
  const source = idOf(headers, replayHeaders.source);
  const before = idOf(headers, replayHeaders.before);
  if (source === undefined) return undefined;
  return { source, mode, ...(before === undefined ? {} : { before }) };
}

/** Left out it is the one that reuses what succeeded before. Throws usage.invalid. */
export function replayMode(given: unknown): ReplayMode {
  if (given === undefined || given === "") return "succeeded-before";
  const mode = replayModes.find((one) => one === given);
  if (mode !== undefined) return mode;
  throw new StemmaError(
    "usage.invalid",
    `Expected reuse to be ${replayModes.join(", ")}; got ${(JSON.stringify(given) ?? "nothing").slice(0, 60)}.`,
  );
}

function idOf(headers: Headers, name: string): string | undefined {
  const given = headers.get(name)?.trim() ?? "";
  return given === "" ? undefined : checkId(given, name);
}

/** The headers by which an agent is told which reuse its own calls are under: it sends them on. */
export function replayContext({ source, before, mode }: Replay): Record<string, string> {
  if (mode === "none") return { [replayHeaders.mode]: mode };
  return {
    [replayHeaders.source]: source,
    ...(before === undefined ? {} : { [replayHeaders.before]: before }),
    [replayHeaders.mode]: mode,
  };
}
