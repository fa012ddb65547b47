/** A server with AgentField's API over real HTTP, and agents that speak it, for tests. */
import { silent } from "../stage.ts";
import { serve } from "../server/place.ts";
import type { ServeOptions, Served } from "../server/place.ts";
import type { AgentOptions, Said, TestAgent } from "./agent.ts";
import { agent, say } from "./agent.ts";

export type Plane = Served & {
  /** An agent that is registered here; it is closed with the place. */
  agent(options: Omit<AgentOptions, "plane">): Promise<TestAgent>;
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Said>;
  /** Calls an agent and gives the id of the execution. */
  begin(target: string, input?: unknown, headers?: Record<string, string>): Promise<string>;
  /** An execution when it has ended. */
  ended(id: string): Promise<Record<string, unknown>>;
  execution(id: string): Promise<Record<string, unknown>>;
  /** The nodes of a run's graph. */
  graph(run: string): Promise<GraphNode[]>;
};

export type GraphNode = {
  execution_id: string;
  parent_execution_id: string | null;
  reasoner_id: string;
  agent_node_id: string;
  status: string;
  workflow_depth: number;
  reuse?: { hit: true; source_execution_id: string; source_run_id: string; origin_execution_id: string };
};

const ends = new Set(["succeeded", "failed", "cancelled", "timeout"]);

export async function plane(options: ServeOptions = {}): Promise<Plane> {
  const served = await serve([], { log: silent, ...options });
  const agents: TestAgent[] = [];
  const ask: Plane["ask"] = (method, path, body, headers) => say(served.url, method, path, body, headers);
  const execution: Plane["execution"] = async (id) => (await ask("GET", `/api/v1/executions/${id}`)).body;
  return {
    ...served,
    ask,
    execution,
    async agent(given) {
      const made = await agent({ plane: served.url, ...given });
      agents.push(made);
      return made;
    },
    async begin(target, input, headers) {
      const { status, body } = await ask("POST", `/api/v1/execute/async/${target}`, { input }, headers);
      if (status !== 202) throw new Error(`not begun (${status}): ${JSON.stringify(body)}`);
      return body["execution_id"] as string;
    },
    async ended(id) {
      for (;;) {
        const found = await execution(id);
        if (ends.has(String(found["status"]))) return found;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    async graph(run) {
      const { body } = await ask("GET", `/api/ui/v1/workflows/${run}/dag`);
      return body["timeline"] as GraphNode[];
    },
    async [Symbol.asyncDispose]() {
      for (const one of agents) await one.close();
      await served[Symbol.asyncDispose]();
    },
  };
}
