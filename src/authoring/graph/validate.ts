/** What is wrong with a graph, found when it is built and all at once: six kinds of problems. */
import { StemmaError } from "../../core/error.ts";
import type { GraphDefinition } from "./definition.ts";
import { arrows, sourcesOf, targetsOf } from "./edges.ts";
import type { EdgeGroup } from "./edges.ts";
import type { AnyHandler, Executor, Node } from "./executor.ts";
import { instanceOf } from "./executor.ts";
import { areDisjoint } from "./schema.ts";

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
  return arrows(graph.groups).flatMap(({ source, target, group }) => {
    // What arrives behind a fan-in or at a join is a list of what was sent.
    if (group.kind === "fanIn" || graph.joins.includes(target)) return [];
    const [from, to] = [executors.get(source), executors.get(target)];
    if (from === undefined || to === undefined || canFit(from, to)) return [];
    return [{ kind: "type_compatibility", message: `Nothing that '${source}' sends is accepted by '${target}'.` }];
  });
}

function canFit(from: Executor, to: Executor): boolean {
  const handlers: readonly Pick<AnyHandler, "sends">[] = [...from.handlers, ...from.responseHandlers];
  if (handlers.some(({ sends }) => sends === undefined)) return true;
  const sent = handlers.flatMap(({ sends = [] }) => sends);
  const accepted = to.handlers.map(({ input }) => input);
  return sent.some((one) => accepted.some((other) => other === undefined || !areDisjoint(one, other)));
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
