/** A graph of steps as text for Mermaid (https://mermaid.js.org/syntax/flowchart.html). */
import type { TaskStep } from "./step.ts";

const escapes: Readonly<Record<string, string>> = {
  '"': "&quot;",
  "[": "&#91;",
  "]": "&#93;",
  "(": "&#40;",
  ")": "&#41;",
  "{": "&#123;",
  "}": "&#125;",
  "<": "&lt;",
  ">": "&gt;",
  "#": "&#35;",
  ";": "&#59;",
  "\n": " ",
  "\r": " ",
};

/** Words that a flowchart takes for something else than a node. */
const reserved: ReadonlySet<string> = new Set([
  "end",
  "graph",
  "subgraph",
  "flowchart",
  "style",
  "linkStyle",
  "classDef",
  "class",
  "click",
  "default",
]);

/** The definition of the graph: its nodes, and then its edges, each once. */
export function mermaidGraph<C>(steps: readonly TaskStep<C>[]): string {
  const ids = new Map<string, string>();
  const taken = new Map<string, number>();
  const used = new Set<string>();
  const idOf = (name: string): string => {
    const known = ids.get(name);
    if (known !== undefined) return known;
    const plain = name.replaceAll(/[^a-zA-Z0-9_-]/gu, "_");
    const base = plain === "" || reserved.has(plain) ? `task_${plain}` : plain;
    let id = base;
    let n = taken.get(base) ?? 0;
    while (used.has(id)) id = `${base}_${++n}`;
    taken.set(base, n);
    used.add(id);
    ids.set(name, id);
    return id;
  };
  // Ids are given in the order in which names are met, those of dependencies where they stand.
  const nodes = new Set<string>(["graph TD"]);
  const edges = new Set<string>();
  for (const { name, dependencies = [] } of steps) {
    nodes.add(`  ${idOf(name)}["${labelOf(name)}"]`);
    for (const dependency of dependencies) edges.add(`  ${idOf(dependency)} --> ${idOf(name)}`);
  }
  return [...nodes, ...edges].join("\n");
}

function labelOf(name: string): string {
  return name.replaceAll(/["[\](){}<>#;\n\r]/gu, (found) => escapes[found] ?? found);
}
