/** AgentField's API as far as this server speaks it: every route once. */
import type { Answer } from "./answer.ts";
import { ok, refusal } from "./answer.ts";
import { approvalStatus, requestApproval } from "./approval.ts";
import { approvalResponse } from "./decisions.ts";
import { discover } from "./discovery.ts";
import { executeAsync, executeSync } from "./execute.ts";
import { markGolden } from "./golden.ts";
import { localEvent } from "./local-calls.ts";
import type { Asked, Route, Routes } from "./mount.ts";
import { heartbeat, listNodes, readNode, registerNode, renewLease, shutdownNode } from "./nodes.ts";
import { restart } from "./replay.ts";
import {
  awaiterStatus,
  batchStatus,
  executionDetails,
  readLogs,
  readNotes,
  readStatus,
  reportStatus,
  takeLogs,
  takeNote,
} from "./reports.ts";
import { listRuns } from "./run-list.ts";
import { runDetail, runGraph, runLineage } from "./runs.ts";
import { cancel, cancelTree, pause, resume } from "./steering.ts";
import type { Wire } from "./wire.ts";

type Handle = (wire: Wire, asked: Asked) => Promise<Answer>;

export function routesOf(wire: Wire): Routes {
  const { agents } = wire;
  const route = (spec: Omit<Route, "handle">) => (handle: Handle) => ({
    ...spec,
    handle: (asked: Asked) => handle(wire, asked),
  });
  // What only nodes say, what they and others ask for, what only others do, and what everybody may look at.
  const node = route({ scope: "admin", nodes: true });
  const call = route({ scope: "run", nodes: true });
  const run = route({ scope: "run" });
  const read = route({ scope: "read", nodes: true });
  return {
    "GET /api/v1/health": { scope: "none", handle: async () => ok({ status: "healthy" }) },
    "POST /api/v1/nodes": node((_, asked) => registerNode(agents, wire.lease, asked)),
    "POST /api/v1/nodes/register": node((_, asked) => registerNode(agents, wire.lease, asked)),
    "POST /api/v1/nodes/:node/heartbeat": node((_, asked) => heartbeat(agents, asked)),
    "PATCH /api/v1/nodes/:node/status": node((_, asked) => renewLease(agents, asked)),
    "POST /api/v1/nodes/:node/shutdown": node((_, asked) => shutdownNode(agents, asked, wire.stopped)),
    "GET /api/v1/nodes": read(() => listNodes(agents)),
    "GET /api/v1/nodes/:node": read((_, asked) => readNode(agents, asked)),
    "GET /api/v1/discovery/capabilities": read((_, asked) => discover(agents, asked)),

    "POST /api/v1/execute/:target": call(executeSync),
    "POST /api/v1/execute/async/:target": call(executeAsync),
    "POST /api/v1/executions/batch-status": read(batchStatus),
    "GET /api/v1/executions/:execution": read(readStatus),
    "POST /api/v1/executions/:execution/status": node(reportStatus),
    "POST /api/v1/executions/:execution/cancel": run(cancel),
    "POST /api/v1/executions/:execution/pause": run(pause),
    "POST /api/v1/executions/:execution/resume": run(resume),
    "POST /api/v1/executions/:execution/restart": run(restart),
    "POST /api/v1/workflows/:run/cancel-tree": run(cancelTree),
    "POST /api/v1/workflow/executions/events": node(localEvent),

    "POST /api/v1/executions/:execution/request-approval": node(requestApproval),
    "POST /api/v1/agents/:node/executions/:execution/request-approval": node(requestApproval),
    "GET /api/v1/executions/:execution/approval-status": read(approvalStatus),
    "GET /api/v1/agents/:node/executions/:execution/approval-status": read(approvalStatus),
    "POST /api/v1/agents/:node/executions/:execution/awaiter-status": node(awaiterStatus),
    "POST /api/v1/webhooks/approval-response": {
      scope: "none",
      raw: true,
      handle: (asked) => approvalResponse(wire, asked),
    },

    "POST /api/v1/executions/:execution/logs": node(takeLogs),
    "POST /api/v1/executions/note": node(takeNote),
    "POST /api/ui/v1/executions/note": node(takeNote),
    "GET /api/v1/executions/:execution/notes": read(readNotes),
    "GET /api/ui/v1/executions/:execution/notes": read(readNotes),
    "GET /api/ui/v1/executions/:execution/logs": read(readLogs),
    "GET /api/ui/v1/executions/:execution/details": read(executionDetails),

    "GET /api/ui/v2/workflow-runs": read(listRuns),
    "GET /api/ui/v2/workflow-runs/:run": read(runDetail),
    "GET /api/ui/v2/workflow-runs/:run/lineage": read(runLineage),
    "POST /api/ui/v2/workflow-runs/:run/golden": run(markGolden),
    "GET /api/ui/v1/workflows/:run/dag": read(runGraph),
    "POST /api/ui/v1/workflows/:run/cancel-tree": run(cancelTree),
    "POST /api/ui/v1/executions/:execution/restart": run(restart),
    "POST /api/ui/v1/executions/:execution/cancel": run(cancel),
    "POST /api/ui/v1/executions/:execution/pause": run(pause),
    "POST /api/ui/v1/executions/:execution/resume": run(resume),

    // Agents ask for it, and go on without.
    "GET /api/v1/memory/events/ws": {
      scope: "none",
      handle: async () => refusal(404, "not_found", { message: "This server keeps no memory for agents." }),
    },
  };
}
