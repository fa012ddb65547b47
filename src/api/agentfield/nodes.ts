/** Nodes as AgentField's agents register, and as they are read: the same registrations as everybody's. */
import { StemmaError, isStemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import type { Agents } from "../agents/agents.ts";
import type { KeptFunction, NodeFunction, NodeState } from "../agents/node.ts";
import type { Answer } from "./answer.ts";
import { ok, refusal, timeText } from "./answer.ts";
import type { Asked } from "./mount.ts";
import { objectOf } from "./restart-request.ts";

/**
 * How long such a node may be silent. Its SDKs beat every 30 seconds and say nothing of it when they register; one that is
 * silent for longer is asked whether it is there before anything is taken from it.
 */
export const wireLease = "45s";

/** What is only there while it is asked says nothing by itself. */
const serverlessLease = "365d";

/** What an SDK is told of its lease, so that it renews it early. */
const leaseSeconds = 30;

export async function registerNode(agents: Agents, lease: string | number, { body }: Asked): Promise<Answer> {
  const given = objectOf(body);
  const deployment = textOf(given, "deployment_type") ?? "long_running";
  const url = textOf(given, "public_url") ?? textOf(given, "base_url") ?? textOf(given, "invocation_url") ?? "";
  const version = textOf(given, "version");
  const instance = textOf(given, "instance_id");
  const weight = numberOf(given, "traffic_weight");
  const concurrency = numberOf(given, "max_concurrent_executions");
  const node = await agents.register({
    node: nodeId(textOf(given, "id") ?? ""),
    url,
    lease: deployment === "serverless" ? serverlessLease : lease,
    ...(deployment === "serverless" ? { serverless: true } : {}),
    functions: [...functionsOf(given["reasoners"], "reasoner"), ...functionsOf(given["skills"], "skill")],
    metadata: metadataOf(given, deployment),
    ...(version === undefined ? {} : { version }),
    ...(instance === undefined ? {} : { instance }),
    ...(weight === undefined ? {} : { weight }),
    ...(concurrency === undefined ? {} : { concurrency }),
  });
  return {
    status: 201,
    body: { success: true, message: "Node registered successfully", node_id: node.node, ...lifecycleOf(node) },
  };
}

/** A target is `node.function` with one dot, so an id with a dot could not be called. Throws usage.invalid. */
function nodeId(id: string): string {
  if (id !== "" && !id.includes(".")) return id;
  throw new StemmaError(
    "usage.invalid",
    `Expected the id of a node to be text without a dot, got ${JSON.stringify(id.slice(0, 100))}.`,
  );
}

function functionsOf(given: Json | undefined, kind: "reasoner" | "skill"): NodeFunction[] {
  if (given === undefined || given === null) return [];
  if (!Array.isArray(given)) throw new StemmaError("usage.invalid", `Expected ${kind}s to be a list.`);
  return given.map((one) => {
    const { id, name, description, tags, input_schema: input, output_schema: output } = objectOf(one);
    return {
      name: typeof id === "string" ? id : typeof name === "string" ? name : "",
      kind,
      ...(typeof description === "string" ? { description } : {}),
      ...(Array.isArray(tags)
        ? { tags: tags.flatMap((tag) => (typeof tag === "string" && tag !== "" ? [tag] : [])) }
        : {}),
      ...(input === undefined || input === null ? {} : { input }),
      ...(output === undefined || output === null ? {} : { output }),
    };
  });
}

type Kept = { deployment_type: string; tags: Json; metadata: Json };

function metadataOf(given: { readonly [name: string]: Json }, deployment: string): Json {
  return { deployment_type: deployment, tags: given["tags"] ?? [], metadata: given["metadata"] ?? {} };
}

export function keptOf({ metadata }: NodeState): Kept {
  const kept = typeof metadata === "object" && metadata !== null && !Array.isArray(metadata) ? metadata : {};
  const { deployment_type: deployment, tags, metadata: own } = kept;
  return {
    deployment_type: typeof deployment === "string" ? deployment : "long_running",
    tags: tags ?? [],
    metadata: own ?? {},
  };
}

function textOf(given: { readonly [name: string]: Json }, name: string): string | undefined {
  const value = given[name];
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "string") return value;
  throw new StemmaError("usage.invalid", `Expected ${name} to be text.`);
}

function numberOf(given: { readonly [name: string]: Json }, name: string): number | undefined {
  const value = given[name];
  if (value === undefined || value === null || value === 0) return undefined;
  if (typeof value === "number") return value;
  throw new StemmaError("usage.invalid", `Expected ${name} to be a number.`);
}

/** A beat of `ready`, or of any other word: who can say it is there. */
export async function heartbeat(agents: Agents, { params, body }: Asked): Promise<Answer> {
  const node = await heardOf(agents, params["node"] ?? "", body);
  return ok({ success: true, message: "ok", ...lifecycleOf(node) });
}

/** Some SDKs renew a lease and are told for how long. */
export async function renewLease(agents: Agents, { params, body }: Asked): Promise<Answer> {
  return ok(leaseText(await heardOf(agents, params["node"] ?? "", body)));
}

function heardOf(agents: Agents, node: string, body: Json | undefined): Promise<NodeState> {
  const { version } = objectOf(body);
  const known = agents.nodes().some((one) => one.node === node && one.version === version);
  return agents.heartbeat(node, known && typeof version === "string" ? { version } : {});
}

function leaseText(node: NodeState): object {
  const renewal = new Date(Date.now() + leaseSeconds * 1000).toISOString();
  return { ...lifecycleOf(node), lease_seconds: leaseSeconds, next_lease_renewal: renewal };
}

export function lifecycleOf({ state }: NodeState): { lifecycle_status: string; health_status: string } {
  const lifecycle = { up: "ready", silent: "degraded", down: "offline" } as const;
  return { lifecycle_status: lifecycle[state], health_status: state === "down" ? "inactive" : "active" };
}

/** How long a node that leaves may work on what it has in hand, and how often it is looked whether it has any. */
const drainMsMax = 60_000;
const drainLookMs = 100;

/**
 * A node says that it leaves, works on what it has in hand, and ends. So it is let go when that is done; what it has not
 * done by then is given out anew.
 */
export async function shutdownNode(agents: Agents, { params, body }: Asked, stopped: AbortSignal): Promise<Answer> {
  const { version } = objectOf(body);
  const leaving = agents
    .nodes()
    .filter(
      (one) =>
        one.node === params["node"] && (version === one.version || typeof version !== "string" || version === ""),
    );
  const [node] = leaving;
  if (node === undefined)
    return refusal(404, "node_not_found", {
      message: `There is no node ${(params["node"] ?? "").slice(0, 100)} here.`,
    });
  for (const one of leaving) void drain(agents, one, stopped);
  return ok({ ...leaseText(node), success: true, message: "it is let go when it has done what it has in hand" });
}

async function drain(agents: Agents, { node, instance }: NodeState, stopped: AbortSignal): Promise<void> {
  const until = Date.now() + drainMsMax;
  for (;;) {
    const now = agents.nodes().find((one) => one.node === node && one.instance === instance);
    if (now === undefined || stopped.aborted) return;
    if (now.working === 0 || now.state === "down" || Date.now() > until) break;
    await new Promise((resolve) => setTimeout(resolve, drainLookMs).unref());
  }
  await agents.leave(node, { instance }).catch((error: unknown) => {
    if (!isStemmaError(error)) throw error;
  });
}

export async function readNode(agents: Agents, { params }: Asked): Promise<Answer> {
  const node = agents.nodes().find((one) => one.node === params["node"]);
  if (node === undefined)
    return refusal(404, "node_not_found", {
      message: `There is no node ${(params["node"] ?? "").slice(0, 100)} here.`,
    });
  return ok(nodeText(node));
}

export async function listNodes(agents: Agents): Promise<Answer> {
  const nodes = agents.nodes().map(nodeText);
  return ok({ nodes, count: nodes.length });
}

function nodeText(node: NodeState): object {
  const { node: id, version, url, instance, weight, at, heardAt } = node;
  return {
    id,
    version,
    base_url: url,
    public_url: url,
    instance_id: instance,
    traffic_weight: weight,
    ...keptOf(node),
    ...lifecycleOf(node),
    registered_at: timeText(at),
    last_heartbeat: timeText(heardAt),
    reasoners: node.functions.filter(({ kind }) => kind === "reasoner").map((one) => functionText(id, one)),
    skills: node.functions.filter(({ kind }) => kind === "skill").map((one) => functionText(id, one)),
  };
}

function functionText(node: string, { name, description, tags, input, output, kind }: KeptFunction): object {
  return {
    id: name,
    ...(description === undefined ? {} : { description }),
    tags,
    input_schema: input ?? {},
    ...(kind === "reasoner" ? { output_schema: output ?? {} } : {}),
    invocation_target: `${node}.${name}`,
  };
}
