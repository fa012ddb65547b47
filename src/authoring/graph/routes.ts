/**
 * Which ways out of a router a message takes. In order: the routes that it names; those whose predicate is true; those
 * without one; the default. Within each kind lower priorities come first, and the first is taken; with `fanOut` all are,
 * and one that is `many` never keeps others from being taken. A failure takes only ways for failures. A name that is
 * not there and a message that goes nowhere are errors.
 */
import { StemmaError } from "../../core/error.ts";
import type { EdgeGroup, RouteEdge } from "./edges.ts";

export type Routed = {
  readonly edges: readonly RouteEdge[];
  readonly reason: "named" | "predicate" | "unconditional" | "default";
};

/**
 * @param isTrue what the predicate of an edge says of this message
 * @throws graph.unknown_route; graph.dead_end, not for failures: then there are no edges
 */
export function route(
  group: EdgeGroup & { kind: "routes" },
  message: { routes?: readonly string[]; failed?: true },
  isTrue: (edge: RouteEdge) => boolean,
): Routed {
  const { source, fanOut } = group;
  if (message.routes !== undefined) return { edges: named(group, message.routes), reason: "named" };
  const usable = group.edges
    .filter(({ onFailure }) => onFailure === (message.failed ?? false))
    .toSorted((a, b) => a.priority - b.priority);
  const ways = usable.filter(({ otherwise }) => !otherwise);
  const predicate = taken(
    ways.filter((edge) => edge.when !== undefined && isTrue(edge)),
    fanOut,
  );
  if (predicate.length > 0) return { edges: predicate, reason: "predicate" };
  const unconditional = taken(
    ways.filter(({ when }) => when === undefined),
    fanOut,
  );
  if (unconditional.length > 0) return { edges: unconditional, reason: "unconditional" };
  const fallback = usable.filter(({ otherwise }) => otherwise);
  if (fallback.length > 0 || message.failed) return { edges: fallback, reason: "default" };
  throw new StemmaError(
    "graph.dead_end",
    `A message of '${source}' goes nowhere: none of its ${group.edges.length} routes is open. Give it a default.`,
    { data: { executor: source } },
  );
}

function taken(edges: readonly RouteEdge[], fanOut: boolean): RouteEdge[] {
  const one = edges.findIndex(({ many }) => !many);
  return edges.filter((edge, index) => fanOut || edge.many || index === one);
}

function named({ source, edges }: EdgeGroup & { kind: "routes" }, names: readonly string[]): RouteEdge[] {
  const found = names.map((name) => {
    const edge = edges.find(({ route: label }) => label === name) ?? edges.find(({ target }) => target === name);
    if (edge !== undefined) return edge;
    const known = edges.map(({ route: label, target }) => label ?? target).join(", ");
    throw new StemmaError("graph.unknown_route", `'${source}' has no route '${name}'. It has: ${known}.`, {
      data: { executor: source, route: name },
    });
  });
  if (found.length > 0) return [...new Set(found)];
  throw new StemmaError("graph.dead_end", `A message of '${source}' names an empty list of routes.`, {
    data: { executor: source },
  });
}
