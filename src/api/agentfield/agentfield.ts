/**
 * AgentField's API over our own engine: agents that were written with its SDK register here, are called, call each other,
 * report, ask people and are restarted, as they are. Nothing of it is a second engine: each of their executions is a run.
 */
import { milliseconds } from "../../core/duration.ts";
import type { Log } from "../../engine/body.ts";
import type { Stemma } from "../../engine/stemma.ts";
import type { Agents } from "../agents/agents.ts";
import type { Webhooks } from "../webhooks/webhooks.ts";
import { answeredHook } from "./approval.ts";
import { untilTold } from "./local-calls.ts";
import type { Routes } from "./mount.ts";
import { wireLease } from "./nodes.ts";
import { contextHeaders } from "./replay.ts";
import { withoutUsage } from "./reports.ts";
import { routesOf } from "./routes.ts";
import type { AgentfieldOptions, Wire } from "./wire.ts";
import { newMemory } from "./wire.ts";

type With = { stemma: Stemma; agents: Agents; webhooks: Webhooks | undefined; log: Log; stopped: AbortSignal };

/** Throws duration.invalid. */
export function agentfieldOf(parts: With, options: AgentfieldOptions): Routes {
  const { lease = wireLease, callTimeout = "90s", approvalSecret } = options;
  milliseconds(lease, "lease of nodes");
  const wire: Wire = {
    ...parts,
    ...newMemory(),
    lease,
    callTimeoutMs: milliseconds(callTimeout, "callTimeout"),
    approvalSecret,
  };
  parts.agents.hooks.push({
    headers: ({ row, root }) => {
      // Whoever is given it anew has not waited for anybody yet.
      wire.awaiting.delete(row.id);
      return contextHeaders(wire, row, root);
    },
    told: ({ token, target }) => untilTold(wire, token, target),
    result: withoutUsage,
    answered: answeredHook(wire),
  });
  return routesOf(wire);
}
