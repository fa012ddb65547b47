/** What the routes of nodes and executions do: a word each to `Agents`. */
import { StemmaError } from "../../core/error.ts";
import { isFunctionName } from "../../engine/node-function.ts";
import type { Agents } from "../agents/agents.ts";
import type { Handlers, PlainRoute } from "./handlers.ts";

type AgentRoute = Extract<PlainRoute, `${string} /v1/nodes${string}` | `${string} /v1/calls${string}`>;

export function agentHandlersOf(agents: Agents | undefined): Pick<Handlers, AgentRoute> {
  const here = (): Agents => {
    if (agents !== undefined) return agents;
    throw new StemmaError(
      "request.no_route",
      "This server carries out no functions of nodes: it has { agents: false }.",
    );
  };
  return {
    "GET /v1/nodes": async () => {
      await here().start();
      return { nodes: here().nodes() };
    },
    "POST /v1/nodes": ({ body, by }) => here().register(body, by(undefined)),
    "POST /v1/nodes/{node}/heartbeat": ({ params, body }) => here().heartbeat(params["node"] ?? "", body),
    "POST /v1/nodes/{node}/leave": async ({ params, body, by }) => ({
      left: await here().leave(params["node"] ?? "", body, by(undefined)),
    }),
    "POST /v1/calls": ({ body: { by: given, ...call }, by, once }) => here().call({ ...call, ...by(given), ...once }),
    "GET /v1/calls/{call}": async ({ params, query: { wait = 0 }, signal }) => {
      const id = params["call"] ?? "";
      const execution = await here().read(id, { waitMs: wait, signal });
      const { target } = execution;
      // A token of a node looks at executions, and at no other run. What a call is of may not be known yet.
      if (target === "" || isFunctionName(target)) return execution;
      throw new StemmaError("run.not_found", `There is no execution ${id} in this store.`, { data: { execution: id } });
    },
    "POST /v1/calls/{call}/result": ({ params, body, by }) => here().report(params["call"] ?? "", body, by(undefined)),
    "POST /v1/calls/{call}/cancel": ({ params, body, by }) =>
      here().cancel(params["call"] ?? "", { ...body, ...by(body.by) }),
    "POST /v1/calls/{call}/waits": ({ params, body, by, once }) =>
      here().ask(params["call"] ?? "", { ...body, ...once }, by(undefined)),
    "GET /v1/calls/{call}/waits/{wait}": ({ params, query: { wait = 0 }, signal }) =>
      here().readAsked(params["call"] ?? "", params["wait"] ?? "", { waitMs: wait, signal }),
  };
}
