/**
 * What there is to call, as agents look for it: filtered by agent, name, tag and health, in the form that they ask for. The
 * names under which models are offered the functions are made of these targets, so they have colons, as agents expect.
 */
import { StemmaError, isStemmaError } from "../../core/error.ts";
import { limits } from "../../core/limits.ts";
import type { Agents } from "../agents/agents.ts";
import type { KeptFunction, NodeState } from "../agents/node.ts";
import type { Answer } from "./answer.ts";
import { ok, refusal, timeText } from "./answer.ts";
import type { Asked } from "./mount.ts";
import { keptOf, lifecycleOf } from "./nodes.ts";

type Capability = {
  id: string;
  description?: string;
  tags: readonly string[];
  input_schema?: unknown;
  output_schema?: unknown;
  invocation_target: string;
};

type OfAgent = {
  agent_id: string;
  base_url: string;
  version: string;
  health_status: string;
  deployment_type: string;
  last_heartbeat: string;
  reasoners: Capability[];
  skills: Capability[];
};

type Found = { total_agents: number; total_reasoners: number; total_skills: number };

const formats = ["json", "compact", "xml"] as const;
const healths = ["active", "inactive", "degraded", "unknown"] as const;
const yes: ReadonlySet<string> = new Set(["true", "1", "yes", "y"]);
const no: ReadonlySet<string> = new Set(["false", "0", "no", "n"]);
const limitMax = 500;
const offsetMax = 1_000_000;

/** A parameter that cannot be read. */
function wrong(parameter: string, provided: string, allowed: readonly string[]): StemmaError {
  const data = { parameter, provided: provided.slice(0, 100), allowed };
  return new StemmaError("usage.invalid", `Expected ${parameter} to be one of ${allowed.join(", ")}.`, { data });
}

export async function discover(agents: Agents, { query }: Asked): Promise<Answer> {
  try {
    return found(agents, query);
  } catch (error) {
    if (!isStemmaError(error, "usage.invalid")) throw error;
    return refusal(400, "invalid_parameter", { message: error.message, details: error.data });
  }
}

function found(agents: Agents, query: URLSearchParams): Answer {
  const format = oneOf(query, "format", formats) ?? "json";
  const health = oneOf(query, "health_status", healths);
  const [limit, offset] = [wholeOf(query, "limit", 100, limitMax), wholeOf(query, "offset", 0, offsetMax)];
  const only = wantedAgents(query);
  const shownOf = textsOf(query);
  const all = agents.nodes().flatMap((node): OfAgent[] => {
    if (only.size > 0 && !only.has(node.node)) return [];
    const { health_status } = lifecycleOf(node);
    if (health !== undefined && health_status !== health) return [];
    const [reasoners, skills] = [shownOf(node, "reasoner"), shownOf(node, "skill")];
    if (reasoners.length === 0 && skills.length === 0) return [];
    return [
      {
        agent_id: node.node,
        base_url: node.url,
        version: node.version,
        health_status,
        deployment_type: keptOf(node).deployment_type,
        last_heartbeat: timeText(node.heardAt),
        reasoners,
        skills,
      },
    ];
  });
  const totals: Found = {
    total_agents: all.length,
    total_reasoners: all.reduce((sum, { reasoners }) => sum + reasoners.length, 0),
    total_skills: all.reduce((sum, { skills }) => sum + skills.length, 0),
  };
  const page = all.slice(offset, offset + limit);
  const at = new Date().toISOString();
  switch (format) {
    case "xml":
      return { status: 200, body: {}, text: xmlOf(at, totals, page), headers: { "content-type": "application/xml" } };
    case "compact":
      return ok({ discovered_at: at, reasoners: compact(page, "reasoners"), skills: compact(page, "skills") });
    case "json":
      return ok({
        discovered_at: at,
        ...totals,
        pagination: { limit, offset, has_more: offset + page.length < all.length },
        capabilities: page,
      });
  }
}

// ---- what is asked for -----------------------------------------------------------------------------------------

function oneOf<T extends string>(query: URLSearchParams, name: string, allowed: readonly T[]): T | undefined {
  const given = query.get(name)?.trim().toLowerCase() ?? "";
  if (given === "") return undefined;
  const known = allowed.find((one) => one === given);
  if (known === undefined) throw wrong(name, given, allowed);
  return known;
}

function wholeOf(query: URLSearchParams, name: string, otherwise: number, max: number): number {
  const given = query.get(name) ?? "";
  if (given === "") return otherwise;
  if (!/^\d{1,7}$/.test(given) || Number(given) > max) throw wrong(name, given, [`0-${max}`]);
  return Number(given);
}

function isAsked(query: URLSearchParams, name: string, otherwise: boolean): boolean {
  const given = query.get(name)?.trim().toLowerCase() ?? "";
  if (given === "") return otherwise;
  if (!yes.has(given) && !no.has(given)) throw wrong(name, given, ["true", "false"]);
  return yes.has(given);
}

function wantedAgents(query: URLSearchParams): ReadonlySet<string> {
  const lists = [query.get("agent") ?? query.get("node_id"), query.get("agent_ids"), query.get("node_ids")];
  return new Set(lists.flatMap((list) => partsOf(list)));
}

function partsOf(list: string | null): string[] {
  return (list ?? "")
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** Whether a name fits a pattern, in which `*` stands for anything. */
export function fitsPattern(name: string, pattern: string): boolean {
  const [first = "", ...rest] = pattern.slice(0, limits.nameCharsMax).split("*");
  if (rest.length === 0) return name === first;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  const last = rest.pop() ?? "";
  for (const part of rest) {
    const next = name.indexOf(part, at);
    if (next < 0) return false;
    at = next + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}

function textsOf(query: URLSearchParams): (node: NodeState, kind: "reasoner" | "skill") => Capability[] {
  const tags = partsOf(query.get("tags"));
  const has = {
    input: isAsked(query, "include_input_schema", false),
    output: isAsked(query, "include_output_schema", false),
    description: isAsked(query, "include_descriptions", true),
  };
  isAsked(query, "include_examples", false);
  const fits = (one: KeptFunction): boolean => {
    const pattern = query.get(one.kind) ?? "";
    if (pattern !== "" && !fitsPattern(one.name, pattern)) return false;
    return tags.length === 0 || one.tags.some((tag) => tags.some((wanted) => fitsPattern(tag, wanted)));
  };
  return ({ node, functions }, kind) =>
    functions
      .filter((one) => one.kind === kind && fits(one))
      .map(({ name, description, tags: own, input, output }) => ({
        id: name,
        ...(has.description && description !== undefined ? { description } : {}),
        tags: own,
        ...(has.input ? { input_schema: input ?? {} } : {}),
        ...(has.output && kind === "reasoner" ? { output_schema: output ?? {} } : {}),
        invocation_target: kind === "skill" ? `${node}:skill:${name}` : `${node}:${name}`,
      }));
}

// ---- forms -----------------------------------------------------------------------------------------------------

function compact(page: readonly OfAgent[], kind: "reasoners" | "skills"): object[] {
  return page.flatMap(({ agent_id, [kind]: list }) =>
    list.map(({ id, invocation_target: target, tags }) => ({ id, agent_id, target, tags })),
  );
}

function xmlOf(at: string, totals: Found, page: readonly OfAgent[]): string {
  const agents = page.map(({ reasoners, skills, ...agent }) => {
    const { agent_id: id, ...more } = agent;
    const lists = `${xmlList("reasoner", reasoners)}${xmlList("skill", skills)}`;
    return `<agent${attributes({ id, ...more })}>${lists}</agent>`;
  });
  const summary = `<summary${attributes(totals)}></summary>`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<discovery${attributes({ discovered_at: at })}>${summary}<capabilities>${agents.join("")}</capabilities></discovery>`;
}

function xmlList(kind: string, list: readonly Capability[]): string {
  if (list.length === 0) return "";
  const items = list.map(({ id, invocation_target: target, description, tags, input_schema, output_schema }) => {
    const parts = [
      description === undefined ? "" : `<description>${escaped(description)}</description>`,
      tags.length === 0 ? "" : `<tags>${tags.map((tag) => `<tag>${escaped(tag)}</tag>`).join("")}</tags>`,
      schemaXml("input_schema", input_schema),
      schemaXml("output_schema", output_schema),
    ];
    return `<${kind}${attributes({ id, target })}>${parts.join("")}</${kind}>`;
  });
  return `<${kind}s>${items.join("")}</${kind}s>`;
}

function schemaXml(name: string, schema: unknown): string {
  return schema === undefined ? "" : `<${name}>${escaped(JSON.stringify(schema))}</${name}>`;
}

function attributes(of: Readonly<Record<string, string | number>>): string {
  return Object.entries(of)
    .map(([name, value]) => ` ${name}="${escaped(String(value))}"`)
    .join("");
}

function escaped(text: string): string {
  const marks: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&apos;",
  };
  return text.replace(/[&<>"']/g, (mark) => marks[mark] ?? mark);
}
