/**
 * A trace as a graph of Graphviz (the DOT language, https://graphviz.org/doc/info/lang.html): one node per node of the
 * trace, shaped by its kind and coloured by its status; edges drawn by kind; the runs of a family each in a frame of its
 * own. Labels are quoted strings, and nothing of a run stands anywhere else.
 */
import type { RunId } from "./event.ts";
import type { EdgeKind, NodeKind, Trace, TraceNode } from "./trace.ts";
import { colours, kindOfStatus, seen } from "./trace-look.ts";

const shapes: Readonly<Record<NodeKind, string>> = {
  run: `shape=box style="rounded,filled"`,
  step: `shape=box style="filled"`,
  checkpoint: `shape=cylinder style="filled"`,
  scope: `shape=hexagon style="filled"`,
  terminal: `shape=box style="rounded,filled"`,
};

/** Solid: one thing led to another. Dotted: it was put on record, or taken from there. Bold: one run led to another. */
const edgeLooks: Readonly<Record<EdgeKind, string>> = {
  wf_next_step_exec: "",
  persist_checkpoint: ` [style=dotted]`,
  scope_closed: "",
  reused_from: ` [style=dotted label="reused from"]`,
  forked_from: ` [style=bold label="forked from"]`,
  restarted_from: ` [style=bold label="restarted from"]`,
  child_run: ` [style=bold label="child run"]`,
  resolved: ` [label="resolved"]`,
  terminal: "",
};

/**
 * The text of the graph, for `dot -Tsvg`. Labels hold nothing that Graphviz could read as syntax, as an escape or as an
 * entity, whatever keys a run has.
 *
 * @example toDot(trace([{ run, events }])); // "digraph trace {\n  … n0 [label=\"run …\\nsucceeded\" shape=box …];\n …"
 */
export function toDot(trace: Trace): string {
  const names = new Map<string, string>();
  for (const node of trace.nodes) names.set(node.id, `n${names.size}`);
  const lines = [
    "digraph trace {",
    `  graph [charset="UTF-8" fontname="sans-serif"];`,
    `  node [fontname="sans-serif" fontsize=11];`,
    `  edge [fontname="sans-serif" fontsize=10 color="#404040"];`,
    ...framed(trace.nodes, names),
  ];
  for (const id of new Set(trace.edges.flatMap(({ from, to }) => [from, to]))) {
    if (names.has(id)) continue;
    // An edge to a run that is not drawn: its end is shown as what it is called, and never left out.
    names.set(id, `n${names.size}`);
    lines.push(`  ${names.get(id)} [label=${quoted(id)} ${shapes.step} ${paintOf("")}];`);
  }
  for (const { kind, from, to } of trace.edges)
    lines.push(`  ${names.get(from)} -> ${names.get(to)}${edgeLooks[kind]};`);
  return `${lines.join("\n")}\n}\n`;
}

/** The lines of the nodes; with more runs than one, those of each run in a cluster. */
function framed(nodes: readonly TraceNode[], names: ReadonlyMap<string, string>): string[] {
  const runs = Map.groupBy<RunId, TraceNode>(nodes, ({ run }) => run);
  if (runs.size < 2) return nodes.map((node) => nodeLine(node, names, "  "));
  return [...runs].flatMap(([run, own], i) => [
    `  subgraph cluster_${i} {`,
    `    label=${quoted(run)};`,
    `    color="#9a9a9a";`,
    ...own.map((node) => nodeLine(node, names, "    ")),
    "  }",
  ]);
}

function nodeLine(node: TraceNode, names: ReadonlyMap<string, string>, indent: string): string {
  const name = node.kind === "run" ? node.run : (node.key ?? (node.kind === "checkpoint" ? "checkpoint" : "end"));
  const number = node.n === undefined ? "" : `${node.n} `;
  const label = quoted(`${number}${name}`, node.status);
  return `${indent}${names.get(node.id)} [label=${label} ${shapes[node.kind]} ${paintOf(node.status)}];`;
}

function paintOf(status: string): string {
  const { fill, line, ink } = colours[kindOfStatus(status)];
  return `fillcolor="${fill}" color="${line}" fontcolor="${ink}"`;
}

/**
 * A quoted string of one or more lines. A quote would end it; a backslash would begin an escape (`\N` is the node's
 * name, `\l` ends a line); an ampersand would begin an entity (https://graphviz.org/docs/attr-types/escString/).
 */
function quoted(...lines: readonly string[]): string {
  const escaped = lines.map((text) =>
    seen(text)
      .replaceAll("\\", "\\\\")
      .replaceAll('"', String.raw`\"`)
      .replaceAll("&", "&amp;"),
  );
  return `"${escaped.join(String.raw`\n`)}"`;
}
