/** A server with nodes for tests: real HTTP between them, in one process. */
import { Agent } from "../../src/agents.ts";
import type { AgentOptions, Serving } from "../../src/agents.ts";
import type { Stemma, Workflow } from "../../src/index.ts";
import type { ServeOptions } from "../server/place.ts";
import { serve } from "../server/place.ts";
import { silent } from "../stage.ts";

export type Plane = AsyncDisposable & {
  stemma: Stemma;
  url: string;
  /** Starts a node whose functions `offer` says; it ends with the place. */
  node(nodeId: string, offer: (agent: Agent) => void, options?: Partial<AgentOptions>): Promise<Serving>;
  get<T = Answer>(path: string): Promise<T>;
  post<T = Answer>(path: string, body: unknown): Promise<T>;
};

export type Answer = { status: number; body: Record<string, unknown> };

export async function plane(workflows: readonly Workflow[] = [], options: ServeOptions = {}): Promise<Plane> {
  const at = await serve(workflows, options);
  const nodes: Serving[] = [];
  const ask = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(`${at.url}${path}`, init);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  return {
    stemma: at.stemma,
    url: at.url,
    async node(nodeId, offer, more = {}) {
      const agent = new Agent({ nodeId, server: at.url, lease: "3s", log: silent, ...more });
      offer(agent);
      const serving = await agent.serve();
      nodes.push(serving);
      return serving;
    },
    get: (path) => ask(path, {}) as never,
    post: (path, body) =>
      ask(path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      }) as never,
    async [Symbol.asyncDispose]() {
      for (const node of nodes) await node.close({ timeout: 100 });
      await at[Symbol.asyncDispose]();
    },
  };
}
