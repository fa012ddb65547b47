/** A piece of research by two agents of AgentField's wire, and what is asked of its runs, for tests. */
import { until } from "../stage.ts";
import type { TestAgent, Work } from "./agent.ts";
import type { GraphNode, Plane } from "./place.ts";
import { plane } from "./place.ts";

export type Input = { topic?: string; n?: number };

export class World {
  readonly broken: Set<string> = new Set<string>();
  /** Calls that wait until their name is taken out. */
  readonly held: Set<string> = new Set<string>();
  readonly made: string[] = [];

  async enter(name: string, value: unknown): Promise<unknown> {
    this.made.push(name);
    await until(() => !this.held.has(name));
    if (this.broken.has(name)) throw new Error(`${name} is broken`);
    return value;
  }

  /** What was entered since this was asked last. */
  since(): string[] {
    return this.made.splice(0).toSorted();
  }
}

/** root -> plan -> 2 x assess at once -> synthesize -> verify: the functions of a piece of research, on two nodes. */
export async function research(
  world: World,
): Promise<{ at: Plane; lead: TestAgent; team: TestAgent; [Symbol.asyncDispose](): Promise<void> }> {
  const at = await plane();
  const team = await at.agent({
    id: "team",
    reasoners: {
      plan: ({ input }) => world.enter("plan", { parts: [1, 2], of: input }),
      assess: ({ input }) => {
        const { part } = input as { part: number };
        return world.enter(`assess ${part}`, { part, good: true });
      },
      synthesize: ({ input }) => world.enter("synthesize", { all: input }),
      verify: ({ input }) => world.enter("verify", { checked: input !== null }),
    },
  });
  const lead = await at.agent({
    id: "lead",
    reasoners: {
      root: async ({ input, call }: Work) => {
        const { topic = "none" } = input as Input;
        await world.enter("root", undefined);
        const { parts } = (await call("team.plan", { topic })) as { parts: number[] };
        const found = await Promise.all(parts.map((part) => call("team.assess", { part })));
        const text = await call("team.synthesize", { found, topic });
        return { text, verified: await call("team.verify", { text }) };
      },
    },
  });
  return {
    at,
    lead,
    team,
    async [Symbol.asyncDispose]() {
      await at[Symbol.asyncDispose]();
    },
  };
}

export async function first(
  at: Plane,
  input: Input = { topic: "x" },
  headers?: Record<string, string>,
): Promise<string> {
  const id = await at.begin("lead.root", input, headers);
  await at.ended(id);
  return id;
}

export async function restart(
  at: Plane,
  id: string,
  body: object = {},
): Promise<Record<string, unknown> & { id: string }> {
  const { status, body: said } = await at.ask("POST", `/api/v1/executions/${id}/restart`, body);
  if (status !== 202) throw new Error(`not restarted (${status}): ${JSON.stringify(said)}`);
  const made = String(said["execution_id"]);
  await at.ended(made);
  return { ...said, id: made };
}

export async function named(at: Plane, run: string, name: string): Promise<GraphNode> {
  const node = (await at.graph(run)).find((one) => one.reasoner_id === name);
  if (node === undefined) throw new Error(`no ${name} in ${run}`);
  return node;
}

export async function reusedIn(at: Plane, run: string): Promise<string[]> {
  return (await at.graph(run))
    .flatMap(({ reasoner_id: name, reuse }) => (reuse === undefined ? [] : [name]))
    .toSorted();
}
