/**
 * Executors as functions of what is on record. An executor with fields of its own is shared by all runs of a process, so
 * it is entered by one at a time, with the state that this run has of it, and leaves the state that the run goes on with.
 */
import type { Json } from "../../core/json.ts";
import type { GraphDefinition } from "./definition.ts";
import { Executor } from "./executor.ts";
import type { Call, Tools } from "./invoke.ts";
import { invoke } from "./invoke.ts";
import { hasOwnState } from "./loop.ts";
import type { Effects } from "./message.ts";
import { fromPlain, toPlain } from "./plain.ts";

/** Who is in an executor, for those who come after. */
const turns = new WeakMap<Executor, Promise<unknown>>();

/** The state that an executor had before any durable run entered it. */
const initial = new WeakMap<Executor, Json>();

type Entering = { call: Call; snapshot: Json | undefined };

export function enterAlone(
  graph: GraphDefinition,
  executor: Executor,
  entering: Entering,
  tools: Tools,
): Promise<Effects> {
  const node = graph.nodes.get(executor.id);
  if (node !== undefined && !(node instanceof Executor)) return enter(graph, node.create(), entering, tools);
  if (!hasOwnState(executor)) return invoke(executor, entering.call, tools);
  const turn = (turns.get(executor) ?? Promise.resolve()).then(() => enter(graph, executor, entering, tools));
  turns.set(
    executor,
    turn.catch(() => undefined),
  );
  return turn;
}

async function enter(
  { classes }: GraphDefinition,
  executor: Executor,
  { call, snapshot }: Entering,
  tools: Tools,
): Promise<Effects> {
  if (!initial.has(executor) && hasOwnState(executor)) {
    initial.set(executor, toPlain(await executor.onCheckpointSave(), `state of executor ${executor.id}`, classes));
  }
  const before = snapshot ?? initial.get(executor);
  if (before !== undefined) await executor.onCheckpointRestore(fromPlain(before, classes));
  return invoke(executor, call, tools);
}
