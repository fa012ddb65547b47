/**
 * What the handlers of AgentField's API share: the engine and its nodes, and what is known in passing and need not survive
 * this server. All that has to is in the runs.
 */
import type { Duration } from "../../core/duration.ts";
import type { RunId } from "../../core/event.ts";
import type { Log } from "../../engine/body.ts";
import type { Stemma } from "../../engine/stemma.ts";
import type { Agents } from "../agents/agents.ts";
import type { Webhooks } from "../webhooks/webhooks.ts";
import { Bounded } from "./bounded.ts";
import { Remarks } from "./remarks.ts";
import type { TreeFacts } from "./run-summary.ts";

export type AgentfieldOptions = {
  /** How long a node may be silent before it is looked after. Default "45s": its SDKs beat every 30. */
  lease?: Duration;
  /** How long a caller that waits at the line is kept waiting. Default "90s". */
  callTimeout?: Duration;
  /** The secret with which whoever tells of decisions signs (`POST /api/v1/webhooks/approval-response`). Without it none is taken. */
  approvalSecret?: string;
};

export type Wire = {
  stemma: Stemma;
  agents: Agents;
  /** Nothing where this server sends none. */
  webhooks: Webhooks | undefined;
  log: Log;
  lease: Duration;
  callTimeoutMs: number;
  approvalSecret: string | undefined;
  /** Aborted when the server stops. */
  stopped: AbortSignal;
  /** Which execution a call inside a node belongs to, by the node's own id of it. */
  locals: Bounded<string>;
  /** Events of calls inside nodes that are being taken. */
  events: Set<Promise<unknown>>;
  /** Whether a function's executions tell of calls inside them by events; not here before its first one ended. */
  telling: Bounded<boolean>;
  /** Executions that said that what they wait for waits itself, and why. */
  awaiting: Bounded<string>;
  /** What trees in which everything has ended add up to. */
  trees: Bounded<TreeFacts>;
  logs: Remarks;
  notes: Remarks;
  /** Runs and waits of approvals that were decided, by the id that the agent gave them. */
  decided: Bounded<{ run: RunId; wait: string }>;
};

const rememberedMax = 10_000;

export function newMemory(): Pick<
  Wire,
  "locals" | "events" | "telling" | "awaiting" | "trees" | "logs" | "notes" | "decided"
> {
  return {
    locals: new Bounded(rememberedMax),
    events: new Set(),
    telling: new Bounded(rememberedMax),
    awaiting: new Bounded(rememberedMax),
    trees: new Bounded(rememberedMax),
    logs: new Remarks(),
    notes: new Remarks(),
    decided: new Bounded(rememberedMax),
  };
}
