/**
 * A trace as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html): one node per node of the trace, shaped
 * by its kind and coloured by its status; edges drawn by kind; the runs of a family each in a frame of its own.
 */
import type { RunId } from "./event.ts";
import type { EdgeKind, NodeKind, Trace, TraceNode } from "./trace.ts";
import type { Kind } from "./trace-look.ts";
import { colours, kindOfStatus, seen } from "./trace-look.ts";

const shapes: Readonly<Record<NodeKind, readonly [string, string]>> = {
  run: ['(["', '"])'],
  step: ['["', '"]'],
  checkpoint: ['[("', '")]'],
  scope: ['{{"', '"}}'],
  terminal: ['(["', '"])'],
};

/** Solid: one thing led to another. Dotted: it was put on record, or taken from there. Thick: one run led to another. */
const arrows: Readonly<Record<EdgeKind, string>> = {
  wf_next_step_exec: "-->",
  persist_checkpoint: "-.->",
  scope_closed: "-->",
  reused_from: "-.->|reused from|",
  forked_from: "==>|forked from|",
  restarted_from: "==>|restarted from|",
  child_run: "==>|child run|",
  resolved: "-->|resolved|",
  terminal: "-->",
};

/**
 * The flowchart's text. Labels hold nothing that Mermaid could read as syntax, whatever keys a run has.
 *
 * @example toMermaid(trace([{ run, events }])); // "flowchart TD\n  n0([\"run …<br/>succeeded\"]):::good\n …"
 */
export function toMermaid(trace: Trace): string {
  const names = new Map<string, string>();
  for (const node of trace.nodes) names.set(node.id, `n${names.size}`);
  const lines = ["flowchart TD", ...framed(trace.nodes, names)];
  const used = new Set(trace.nodes.map(({ status }) => kindOfStatus(status)));
  for (const id of new Set(trace.edges.flatMap(({ from, to }) => [from, to]))) {
    if (names.has(id)) continue;
    // An edge to a run that is not drawn: its end is shown as what it is called, and never left out.
    names.set(id, `n${names.size}`);
    lines.push(`  ${names.get(id)}["${label(id)}"]:::other`);
    used.add("other");
  }
  for (const { kind, from, to } of trace.edges) lines.push(`  ${names.get(from)} ${arrows[kind]} ${names.get(to)}`);
  for (const [name, { fill, line, ink }] of Object.entries(colours)) {
    if (used.has(name as Kind)) lines.push(`  classDef ${name} fill:${fill},stroke:${line},color:${ink}`);
  }
  return `${lines.join("\n")}\n`;
}

/** The lines of the nodes; with more runs than one, those of each run in a subgraph. */
function framed(nodes: readonly TraceNode[], names: ReadonlyMap<string, string>): string[] {
  const runs = new Map<RunId, TraceNode[]>();
  for (const node of nodes) {
    const others = runs.get(node.run);
    if (others === undefined) runs.set(node.run, [node]);
    else others.push(node);
  }
  if (runs.size < 2) return nodes.map((node) => nodeLine(node, names, "  "));
  return [...runs].flatMap(([run, own], i) => [
    `  subgraph r${i}["${label(run)}"]`,
    ...own.map((node) => nodeLine(node, names, "    ")),
    "  end",
  ]);
}

function nodeLine(node: TraceNode, names: ReadonlyMap<string, string>, indent: string): string {
  const [open, close] = shapes[node.kind];
  const name = node.kind === "run" ? node.run : (node.key ?? (node.kind === "checkpoint" ? "checkpoint" : "end"));
  const number = node.n === undefined ? "" : `${node.n} `;
  const text = `${number}${label(name)}<br/>${label(node.status)}`;
  return `${indent}${names.get(node.id)}${open}${text}${close}:::${kindOfStatus(node.status)}`;
}

/**
 * Text for a label: letters, digits and a few harmless marks stay, everything else becomes an entity code (`#34;` for a
 * quote), which Mermaid shows as the character and never reads. A colon is not harmless: a line with `style`, a colon
 * and an entity is taken for a style statement.
 */
function label(text: string): string {
  return seen(text).replace(/[^\p{L}\p{M}\p{N} _./,@-]/gu, (character) => `#${character.codePointAt(0)};`);
}
