/** Answers from outside, checked before they touch anything. */
import { StemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import { checkFit } from "../../engine/schema.ts";
import type { GraphDefinition } from "./definition.ts";
import type { Running } from "./deliver.ts";
import { responseHandlerOf } from "./invoke.ts";
import { running } from "./loop.ts";
import type { GraphState } from "./message.ts";
import { fromPlain, toPlain } from "./plain.ts";
import { WorkflowExecutor } from "./sub-workflow.ts";
import { notOpen } from "./superstep.ts";

/** @throws wait.not_open, wait.invalid_answer, json.not_serializable */
export async function checkAnswers(
  parts: Running,
  state: GraphState,
  responses: Readonly<Record<string, unknown>>,
): Promise<{ id: string; data: Json }[]> {
  const answers = [];
  for (const [id, value] of Object.entries(responses)) {
    answers.push({ id, data: await checkAnswer(parts, state, id, value) });
  }
  return answers;
}

async function checkAnswer(parts: Running, state: GraphState, id: string, value: unknown): Promise<Json> {
  const request = Object.hasOwn(state.requests, id) ? state.requests[id] : undefined;
  if (request === undefined) throw notOpen(id, Object.keys(state.requests));
  const executor = parts.executors.get(request.executor);
  const { classes } = parts.graph;
  if (executor instanceof WorkflowExecutor) {
    const inside = insideOf(state, request.executor, id);
    if (inside !== undefined) return checkAnswer(running(executor.graph), inside, id, value);
  }
  const found = executor && (await responseHandlerOf(executor, fromPlain(request.data, classes)));
  if (found?.response === undefined) return toPlain(value, `answer to ${id}`, classes);
  const fitting = await checkFit(found.response, value, "wait.invalid_answer", `The answer does not fit request ${id}`);
  return toPlain(fitting, `answer to ${id}`, classes);
}

/** The state of the graph inside an executor that asked this. */
function insideOf(state: GraphState, executor: string, id: string): GraphState | undefined {
  const own = Object.hasOwn(state.executors, executor) ? state.executors[executor] : undefined;
  const children = (own ?? {}) as unknown as Record<string, GraphState>;
  return Object.values(children).find(({ requests }) => Object.hasOwn(requests, id));
}

/** A state with what a fork changes. Throws json.not_serializable. */
export function forked(
  state: GraphState,
  change: {
    state?: Readonly<Record<string, unknown>>;
    messages?: (data: unknown, message: { source: string; target?: string }) => unknown;
  },
  graph: GraphDefinition,
): GraphState {
  const { messages: other } = change;
  const messages = state.messages.flatMap((message) => {
    if (other === undefined) return [message];
    const { source, target } = message;
    const data = other(fromPlain(message.data, graph.classes), { source, ...(target === undefined ? {} : { target }) });
    return data === undefined ? [] : [{ ...message, data: toPlain(data, `message of ${source}`, graph.classes) }];
  });
  const added = Object.entries(change.state ?? {}).map(([key, value]) => [
    key,
    toPlain(value, `state ${key}`, graph.classes),
  ]);
  // What was done of a superstep was done with what is changed here.
  const { settled: _, unfinished: __, ...kept } = state;
  return {
    ...kept,
    messages,
    shared: { ...state.shared, ...(Object.fromEntries(added) as Record<string, Json>) },
    sinceInput: 0,
  };
}

/** Refuses checkpoints of another graph. Throws checkpoint.mismatch. */
export function checkSame(
  checkpoint: { workflowName: string; graphSignature: string; checkpointId: string; state: GraphState },
  graph: GraphDefinition,
  signature: string,
): void {
  const refuse = (message: string): never => {
    throw new StemmaError("checkpoint.mismatch", message, { data: { checkpoint: checkpoint.checkpointId } });
  };
  if (checkpoint.workflowName !== graph.name) {
    refuse(
      `Checkpoint ${checkpoint.checkpointId} is of workflow '${checkpoint.workflowName}', not of '${graph.name}'.`,
    );
  }
  if (checkpoint.graphSignature !== signature) {
    refuse(
      "Workflow graph has changed since the checkpoint was created: its executors, edges or predicates are others.",
    );
  }
  const misplaced = misplacedIn(checkpoint.state, graph);
  if (misplaced !== undefined) refuse(`The checkpoint has ${misplaced}, which is not in the graph.`);
}

/** What of a state has no place in a graph: it would be lost there without a word. */
export function misplacedIn(state: GraphState, graph: GraphDefinition): string | undefined {
  const ids = Object.keys(state.executors);
  const asked = Object.values(state.requests).map(({ executor }) => executor);
  const [own, asking] = [ids, asked].map((all) => all.find((id) => !graph.nodes.has(id)));
  const join = Object.keys(state.joins).find((id) => !graph.joins.includes(id));
  const fanIn = Object.keys(state.fanIn).find((id) => !graph.groups.some((group) => group.id === id));
  if (own !== undefined) return `the state of executor '${own}'`;
  if (asking !== undefined) return `an open request of executor '${asking}'`;
  if (join !== undefined) return `messages that wait at join '${join}'`;
  return fanIn === undefined ? undefined : `messages that wait at '${fanIn.replaceAll("|", ", ")}'`;
}
