/**
 * A trace as text: the steps of a run as the tree that their keys make, in the order in which they were first asked
 * for, each with what it was caused by. Long lists of siblings are folded; what a fold hides is counted, never dropped.
 */
import { styleText } from "node:util";

export type TraceText = {
  nodes: readonly { id: string; kind: string; key?: string; n?: number; status: string }[];
  edges: readonly { kind: string; from: string; to: string }[];
};

/** More siblings than this are folded to the first ones and the last one. */
const siblingsMax = 7;
const shownFirst = 4;
const causesShownMax = 2;

type Branch = { name: string; key: string; node?: TraceText["nodes"][number]; branches: Map<string, Branch> };

/** The lines of the tree, the run first. */
export function traceTree(trace: TraceText): string[] {
  const run = trace.nodes.find(({ kind }) => kind === "run");
  const root: Branch = { name: "", key: "", branches: new Map() };
  const steps = trace.nodes.filter(({ kind, key }) => kind === "step" && key !== undefined);
  for (const node of steps.toSorted((a, b) => (a.n ?? 0) - (b.n ?? 0))) grow(root, node);
  const causes = causesOf(trace);
  return [`${run?.id.split("|")[1] ?? "run"} ${coloured(run?.status ?? "unknown")}`, ...branchLines(root, "", causes)];
}

function grow(root: Branch, node: TraceText["nodes"][number]): void {
  let at = root;
  for (const name of (node.key ?? "").split("/")) {
    const key = at.key === "" ? name : `${at.key}/${name}`;
    const next = at.branches.get(name) ?? { name, key, branches: new Map() };
    at.branches.set(name, next);
    at = next;
  }
  at.node = node;
}

function branchLines(branch: Branch, indent: string, causes: Map<string, string[]>): string[] {
  const all = [...branch.branches.values()];
  const folded = all.length > siblingsMax;
  const shown = folded ? [...all.slice(0, shownFirst), ...all.slice(-1)] : all;
  const lines: string[] = [];
  for (const [at, child] of shown.entries()) {
    const last = at === shown.length - 1;
    if (folded && last) lines.push(`${indent}├─ … ${summary(all.slice(shownFirst, -1))}`);
    lines.push(`${indent}${last ? "└─" : "├─"} ${describe(child, causes)}`);
    lines.push(...branchLines(child, `${indent}${last ? "   " : "│  "}`, causes));
  }
  return lines;
}

function describe(branch: Branch, causes: Map<string, string[]>): string {
  const { node } = branch;
  if (node === undefined) return `${branch.name}  ${summary([...branch.branches.values()])}`;
  const from = causes.get(branch.key) ?? [];
  const named = from.length > causesShownMax ? `${from.length} steps` : from.join(", ");
  return `${branch.name} ${coloured(node.status)}${named === "" ? "" : styleText("dim", `  ← ${named}`)}`;
}

/** `121 steps: 120 succeeded, 1 failed` */
function summary(branches: readonly Branch[]): string {
  const counts = new Map<string, number>();
  let steps = 0;
  // Grows while it is walked: the steps of inner scopes are counted too.
  const pending = [...branches];
  for (const { node, branches: inner } of pending) {
    pending.push(...inner.values());
    if (node === undefined) continue;
    steps += 1;
    counts.set(node.status, (counts.get(node.status) ?? 0) + 1);
  }
  return `${steps} steps: ${[...counts].map(([status, count]) => `${count} ${status}`).join(", ")}`;
}

/**
 * The labels of what each step was caused by; the run itself is not worth naming. A question and its answer, or two
 * attempts, are one step here, which is not its own cause.
 */
function causesOf({ nodes, edges }: TraceText): Map<string, string[]> {
  const labels = new Map(nodes.map(({ id, kind, key }) => [id, kind === "run" ? undefined : (key ?? kind)]));
  const causes = new Map<string, string[]>();
  for (const { kind, from, to } of edges) {
    const [label, of] = [labels.get(from), labels.get(to)];
    if (kind !== "wf_next_step_exec" || label === undefined || of === undefined || label === of) continue;
    causes.set(of, [...(causes.get(of) ?? []), label]);
  }
  return causes;
}

function coloured(status: string): string {
  if (status === "succeeded" || status === "reused") return styleText("green", status);
  return styleText(status === "failed" || status === "timed_out" ? "red" : "yellow", status);
}
