/**
 * A trace as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html): one node per node of the trace, shaped
 * by its kind and coloured by its status; edges drawn by kind; the runs of a family each in a frame of its own.
 */
import type { RunId } from "./event.ts";
import type { EdgeKind, NodeKind, Trace, TraceNode } from "./trace.ts";

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

const classes: Readonly<Record<string, readonly string[]>> = {
  good: ["succeeded", "answered", "resolved", "decided", "ended"],
  reused: ["reused", "overridden"],
  bad: ["failed", "timed_out", "expired", "in_doubt"],
  open: ["queued", "running", "retrying", "suspended", "paused", "waiting"],
  gone: ["cancelled", "withdrawn"],
  record: ["stored", "closed"],
};

const looks: Readonly<Record<string, string>> = {
  good: "fill:#e6f4ea,stroke:#1e7d34,color:#0b3d17",
  reused: "fill:#e7f0fd,stroke:#1a5fb4,color:#0b2c57",
  bad: "fill:#fde8e8,stroke:#b3261e,color:#5c0f0a",
  open: "fill:#fff6db,stroke:#9a6b00,color:#4a3400",
  gone: "fill:#f0f0f0,stroke:#767676,color:#404040",
  record: "fill:#ffffff,stroke:#9a9a9a,color:#404040",
  other: "fill:#ffffff,stroke:#404040,color:#202020",
};

const classOf: ReadonlyMap<string, string> = new Map(
  Object.entries(classes).flatMap(([name, statuses]) => statuses.map((status) => [status, name] as const)),
);

/**
 * The flowchart's text. Labels hold nothing that Mermaid could read as syntax, whatever keys a run has.
 *
 * @example toMermaid(trace([{ run, events }])); // "flowchart TD\n  n0([\"run …<br/>succeeded\"]):::good\n …"
 */
export function toMermaid(trace: Trace): string {
  const names = new Map<string, string>();
  for (const node of trace.nodes) names.set(node.id, `n${names.size}`);
  const lines = ["flowchart TD", ...framed(trace.nodes, names)];
  const used = new Set(trace.nodes.map(({ status }) => classOf.get(status) ?? "other"));
  for (const id of new Set(trace.edges.flatMap(({ from, to }) => [from, to]))) {
    if (names.has(id)) continue;
    // An edge to a run that is not drawn: its end is shown as what it is called, and never left out.
    names.set(id, `n${names.size}`);
    lines.push(`  ${names.get(id)}["${label(id)}"]:::other`);
    used.add("other");
  }
  for (const { kind, from, to } of trace.edges) lines.push(`  ${names.get(from)} ${arrows[kind]} ${names.get(to)}`);
  for (const name of Object.keys(looks)) if (used.has(name)) lines.push(`  classDef ${name} ${looks[name]}`);
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
  return `${indent}${names.get(node.id)}${open}${text}${close}:::${classOf.get(node.status) ?? "other"}`;
}

/**
 * Text for a label: letters, digits and a few harmless marks stay, everything else becomes an entity code (`#34;` for a
 * quote), which Mermaid shows as the character and never reads. A colon is not harmless: a line with `style`, a colon
 * and an entity is taken for a style statement. What a reader could not see is spelled out as `\u…`.
 */
function label(text: string): string {
  const seen = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (found) => {
    return `\\u${(found.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
  });
  return seen.replace(/[^\p{L}\p{M}\p{N} _./,@-]/gu, (character) => `#${character.codePointAt(0)};`);
}
