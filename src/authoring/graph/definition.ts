/** A graph as it was built: immutable, and shared by all its runs. */
import { encode } from "../../core/json.ts";
import { sha256 } from "../../engine/hash.ts";
import type { EdgeGroup } from "./edges.ts";
import { textOfFunction } from "./edges.ts";
import type { Executor, Node } from "./executor.ts";
import { instanceOf } from "./executor.ts";
import type { ValueClass } from "./plain.ts";
import type { Reducers } from "./shared-state.ts";

/** Who sees what an executor yields: it is among the outputs, shown on the way, or only in the executor's own event. */
export type Designation = "output" | "intermediate" | "hidden";

export type GraphDefinition = {
  readonly name: string;
  readonly description?: string;
  readonly start: string;
  readonly nodes: ReadonlyMap<string, Node>;
  readonly groups: readonly EdgeGroup[];
  /** Ids of executors that wait for all messages that can still reach them. */
  readonly joins: readonly string[];
  readonly reducers: Reducers;
  readonly classes: readonly ValueClass[];
  readonly designation: (executor: string) => Designation;
  /** Supersteps without an input or an answer between them. */
  readonly maxSupersteps: number;
  /** What a message that nobody can take does. */
  readonly undeliverable: "fail" | "report";
};

/** The executor of a node, for looking at what it accepts. Executors that do work belong to a run. */
export function prototypeOf(graph: GraphDefinition, id: string): Executor {
  const node = graph.nodes.get(id);
  if (node === undefined) throw new TypeError(`There is no executor ${id}.`);
  return instanceOf(node);
}

/**
 * What a checkpoint fits: a digest of executors, edges with their order, predicates and selections (by text or version),
 * joins and reducers, and of the graphs inside. Handlers are not in it: their code may be repaired and go on.
 */
export function signatureOf(graph: GraphDefinition): string {
  const nodes = [...graph.nodes.keys()].sort().map((id) => {
    const executor = prototypeOf(graph, id);
    const inner = "graph" in executor ? signatureOf(executor.graph as GraphDefinition) : null;
    return [id, executor.constructor.name, inner];
  });
  const groups = graph.groups.map((group) => JSON.stringify(group, textInPlaceOfFunction)).sort();
  return sha256(encode([graph.start, nodes, groups, [...graph.joins].sort(), graph.reducers]) ?? "");
}

function textInPlaceOfFunction(key: string, value: unknown): unknown {
  if (key === "id") return undefined;
  return (key === "when" || key === "select") && value !== undefined ? textOfFunction(value as never) : value;
}
