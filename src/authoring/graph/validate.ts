/** What is wrong with a graph, found when it is built and all at once: six kinds of problems. */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { StemmaError } from "../../core/error.ts";
import type { GraphDefinition } from "./definition.ts";
import { arrows, sourcesOf, targetsOf } from "./edges.ts";
import type { EdgeGroup } from "./edges.ts";
import type { AnyHandler, Executor, Node } from "./executor.ts";
import { instanceOf } from "./executor.ts";
import { areDisjoint, refusesList } from "./schema.ts";

export type ProblemKind =
  | "executor_duplication"
  | "edge_duplication"
  | "edge_shape"
  | "type_compatibility"
  | "graph_connectivity"
  | "output_validation";

export type GraphFault = { readonly kind: ProblemKind; readonly message: string };

type Chosen = { output: readonly string[]; intermediate: readonly string[] };

/** Throws graph.invalid with all problems. */
export function checkGraph(graph: GraphDefinition, nodes: readonly Node[], chosen: Chosen): void {
  const executors = new Map(nodes.map((node) => [node.id, instanceOf(node)]));
  const problems = [
    ...duplicateExecutors(nodes),
    ...missingHandlers(executors),
    ...duplicateEdges(graph.groups),
    ...shapes(graph.groups),
    ...types(graph, executors),
    ...unreachable(graph),
    ...outputs(chosen, executors),
  ];
  const [first] = problems;
  if (first === undefined) return;
  const more = problems.length === 1 ? "" : ` And ${problems.length - 1} more, in data.problems.`;
  throw new StemmaError("graph.invalid", `${first.message}${more}`, { data: { graph: graph.name, problems } });
}

function duplicateExecutors(nodes: readonly Node[]): GraphFault[] {
  return repeated(nodes.map(({ id }) => id)).map((id) => ({
    kind: "executor_duplication",
    message: `Duplicate executor ID '${id}' detected in workflow.`,
  }));
}

function missingHandlers(executors: ReadonlyMap<string, Executor>): GraphFault[] {
  return [...executors]
    .filter(([, executor]) => executor.handlers.length === 0)
    .map(([id]) => ({ kind: "type_compatibility", message: `Executor '${id}' has no handlers.` }));
}

function duplicateEdges(groups: readonly EdgeGroup[]): GraphFault[] {
  const single = groups.filter(({ kind }) => kind === "single");
  const pairs = arrows(single).map(({ source, target }) => `${source} -> ${target}`);
  const fanIns = groups
    .filter(({ kind }) => kind === "fanIn")
    .map((group) => JSON.stringify([sourcesOf(group), targetsOf(group)]));
  return [...repeated(pairs), ...repeated(fanIns)].map((edge) => ({
    kind: "edge_duplication",
    message: `Duplicate edge ${edge}. Put its conditions into one predicate.`,
  }));
}

function shapes(groups: readonly EdgeGroup[]): GraphFault[] {
  const fault = (message: string): GraphFault => ({ kind: "edge_shape", message });
  return groups.flatMap((group) => {
    const [sources, targets] = [sourcesOf(group), targetsOf(group)];
    const found: GraphFault[] = [];
    if (group.kind === "fanIn" && sources.length < 2)
      found.push(fault(`The fan-in to '${group.target}' needs two sources.`));
    if (group.kind === "fanOut" && targets.length < 2)
      found.push(fault(`The fan-out of '${group.source}' needs two targets.`));
    if ((group.kind === "select" || group.kind === "routes") && targets.length === 0) {
      found.push(fault(`The edges of '${group.source}' need a target.`));
    }
    if (group.kind === "routes") found.push(...wrongRoutes(group).map(fault));
    const twice =
      group.kind === "fanIn"
        ? repeated(sources)
        : group.kind === "fanOut" || group.kind === "select"
          ? repeated(targets)
          : [];
    return [...found, ...twice.map((id) => fault(`'${id}' is twice in one group of edges.`))];
  });
}

function wrongRoutes({ source, edges }: EdgeGroup & { kind: "routes" }): string[] {
  const names = edges.flatMap(({ route }) => (route === undefined ? [] : [route]));
  const defaults = edges.filter(({ otherwise }) => otherwise).length;
  return [
    ...repeated(names).map((name) => `The route '${name}' of '${source}' is there twice.`),
    ...(defaults > 1 ? [`The routes of '${source}' have ${defaults} defaults.`] : []),
    ...edges
      .filter(({ priority }) => !Number.isFinite(priority))
      .map(({ target, priority }) => `The priority of the route to '${target}' is ${priority}.`),
  ];
}

/** Where sender and receiver both say their types, one pair that may fit is enough. */
function types(graph: GraphDefinition, executors: ReadonlyMap<string, Executor>): GraphFault[] {
  const fault = (sources: readonly string[], target: string): GraphFault => ({
    kind: "type_compatibility",
    message: `Nothing that '${sources.join("' and '")}' sends is accepted by '${target}'.`,
  });
  const edges = arrows(graph.groups).flatMap(({ source, target, group }) => {
    if (group.kind === "fanIn") return [];
    const [from, to] = [sentBy(executors.get(source)), executors.get(target)];
    // A failure has a form of its own.
    const isForFailures =
      group.kind === "routes" && group.edges.every((edge) => edge.target !== target || edge.onFailure);
    if (from === undefined || to === undefined || isForFailures) return [];
    // What arrives at a join is a list of what was sent by some of those that lead to it.
    const fits = graph.joins.includes(target) ? takesList([from], to) : takesOne(from, to);
    return fits ? [] : [fault([source], target)];
  });
  const fanIns = graph.groups.flatMap((group) => {
    const to = group.kind === "fanIn" ? executors.get(group.target) : undefined;
    if (group.kind !== "fanIn" || to === undefined) return [];
    const sent = group.sources.map((source) => sentBy(executors.get(source)) ?? []);
    return takesList(sent, to) ? [] : [fault(group.sources, group.target)];
  });
  return [...edges, ...fanIns];
}

/** What it says that it sends; nothing where one of its handlers does not say. */
function sentBy(executor: Executor | undefined): readonly StandardSchemaV1[] | undefined {
  const handlers: readonly Pick<AnyHandler, "sends">[] = [
    ...(executor?.handlers ?? []),
    ...(executor?.responseHandlers ?? []),
  ];
  return handlers.some(({ sends }) => sends === undefined) ? undefined : handlers.flatMap(({ sends = [] }) => sends);
}

function takesOne(sent: readonly StandardSchemaV1[], { handlers }: Executor): boolean {
  return handlers.some(({ input }) => input === undefined || sent.some((one) => !areDisjoint(one, input)));
}

/** @param sent of each that sends into the list; empty where it is not known */
function takesList(sent: readonly (readonly StandardSchemaV1[])[], { handlers }: Executor): boolean {
  const known = sent.filter((schemas) => schemas.length > 0);
  return handlers.some(({ input }) => input === undefined || !refusesList(known, input));
}

function unreachable(graph: GraphDefinition): GraphFault[] {
  const seen = new Set([graph.start]);
  const next = new Map<string, string[]>();
  for (const { source, target } of arrows(graph.groups)) next.set(source, [...(next.get(source) ?? []), target]);
  for (const id of seen) for (const target of next.get(id) ?? []) seen.add(target);
  return [...graph.nodes.keys()]
    .filter((id) => !seen.has(id))
    .map((id) => ({
      kind: "graph_connectivity",
      message: `Executor '${id}' cannot be reached from the start '${graph.start}'.`,
    }));
}

function outputs({ output, intermediate }: Chosen, executors: ReadonlyMap<string, Executor>): GraphFault[] {
  const fault = (message: string): GraphFault => ({ kind: "output_validation", message });
  return [
    ...[...output, ...intermediate]
      .filter((id) => !executors.has(id))
      .map((id) => fault(`'${id}' is named for outputs and is not in the graph.`)),
    ...[...repeated(output), ...repeated(intermediate)].map((id) => fault(`'${id}' is named twice for outputs.`)),
    ...output
      .filter((id) => intermediate.includes(id))
      .map((id) => fault(`'${id}' is named for outputs and for intermediate ones.`)),
  ];
}

function repeated(texts: readonly string[]): string[] {
  return [...new Set(texts.filter((text, index) => texts.indexOf(text) !== index))];
}
