/**
 * The ids of a trace's nodes and edges, in the vocabulary that viewers of such traces already know. They are written
 * here and nowhere else, and nothing parses them. They are stable: a node keeps its id while its run goes on, and an
 * edge's id says which way it points.
 */
import type { RunId } from "./event.ts";
import type { Status } from "./run.ts";

export function runNode(run: RunId): string {
  return `wf_run|${run}`;
}

/** @param n step number in the run, 0-based, in the order in which the history first mentions steps */
export function stepNode(run: RunId, n: number): string {
  return `wf_step|${run}|${n}`;
}

export function checkpointNode(run: RunId, n: number): string {
  return `wf_ckpt|${run}|${n}`;
}

/**
 * Where the ends of a scope, map, all or race come together.
 *
 * @param k its place among those of the run, 0-based; not its seq, which also counts how often the run rested
 */
export function scopeNode(run: RunId, k: number): string {
  return `wf_scope|${run}|${k}`;
}

const ends: Partial<Record<Status, string>> = {
  succeeded: "wf_completed",
  failed: "wf_failed",
  cancelled: "wf_cancelled",
  timed_out: "wf_timed_out",
};

export function terminalNode(run: RunId, status: Status): string {
  return `${ends[status] ?? "wf_ended"}|${run}`;
}

export function nextStepEdge(run: RunId, n: number, from: string, to: string): string {
  return `wf_next_step_exec|${run}|${n}|last::${from}|to::${to}`;
}

export function checkpointEdge(run: RunId, n: number, from: string, to: string): string {
  return `persist_checkpoint|${run}|${n}|last::${from}|to::${to}`;
}

/** Every other kind of edge, which has no step number. */
export function plainEdge(kind: string, run: RunId, from: string, to: string): string {
  return `${kind}|${run}|last::${from}|to::${to}`;
}
