/** Small graphs, and how their checkpoints and events are read, for the behaviours of message graphs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { Executor, executor, factory, handler, responseHandler, WorkflowBuilder } from "../../src/graph.ts";
import type {
  CheckpointStorage,
  Node,
  Workflow,
  WorkflowCheckpoint,
  WorkflowContext,
  WorkflowEvent,
} from "../../src/graph.ts";

export type Ctx = WorkflowContext<unknown, unknown>;
export const step = (id: string, run: (message: unknown, ctx: Ctx) => unknown): Executor =>
  executor<unknown, unknown, unknown>(id, run);
export const pass = (id: string): Executor => step(id, (message, ctx) => ctx.sendMessage(`${String(message)}-${id}`));
export const chain = (...nodes: Executor[]): Workflow =>
  new WorkflowBuilder({ name: "chain", start: nodes[0] as Executor, state: { list: "append" } })
    .addChain(nodes)
    .build();
export const ends = (id: string): Executor => step(id, (message, ctx) => ctx.yieldOutput(`${String(message)}-${id}`));
export const linear = (): Workflow => chain(pass("start"), pass("middle"), ends("done"));

export const all = (storage: CheckpointStorage, workflowName = "chain"): Promise<WorkflowCheckpoint[]> =>
  storage.listCheckpoints({ workflowName });
export const links = (checkpoints: readonly WorkflowCheckpoint[]): unknown[] =>
  checkpoints.map((one) => [
    one.kind,
    one.iterationCount,
    checkpoints.findIndex((other) => other.checkpointId === one.previousCheckpointId),
  ]);
export const types = (events: readonly WorkflowEvent[]): string[] => events.map(({ type }) => type);

export function folder(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "stemma-graph-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export const asking = (id = "ask", name?: string): Executor => {
  class Asking extends Executor {
    readonly handlers = [
      handler({}, (message, ctx: Ctx) => void ctx.requestInfo(message, name === undefined ? {} : { id: name })),
    ];
    override readonly responseHandlers = [
      responseHandler({ response: z.string() }, (request, response, ctx: Ctx) =>
        ctx.yieldOutput(`${String(request)}->${response}`),
      ),
    ];
  }
  return new Asking(id);
};
/** Asks once for each letter of its input. */
export const asks = (ask: Node = asking()): Workflow => {
  const letters = (text: unknown, ctx: Ctx): void => {
    for (const letter of String(text)) ctx.sendMessage(letter);
  };
  const start = factory(() => step("start", letters));
  return new WorkflowBuilder({ name: "asks", start }).addEdge(start, ask).build();
};
export const shortAndLong = ({ fanInFirst = false }: { fanInFirst?: boolean } = {}): Workflow => {
  const [a, b, c, d] = [pass("a"), pass("b"), pass("c"), pass("d")];
  const sum = step("sum", (list, ctx) => ctx.yieldOutput((list as string[]).join("+")));
  const builder = new WorkflowBuilder({ name: "chain", start: a });
  if (fanInFirst) return builder.addFanInEdges([b, d], sum).addFanOutEdges(a, [b, c]).addEdge(c, d).build();
  return builder.addFanOutEdges(a, [b, c]).addEdge(c, d).addFanInEdges([b, d], sum).build();
};
