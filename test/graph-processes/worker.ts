/** A process that resumes one checkpoint of a folder again and again, and deletes what it saved itself but the last time. */
import { parseArgs } from "node:util";
import { executor, fileCheckpoints, WorkflowBuilder } from "../../src/graph.ts";
import type { CheckpointID, Workflow, WorkflowContext } from "../../src/graph.ts";

type Ctx = WorkflowContext<number, number>;

/** Counts to five; what it keeps is large, and the same in all of its runs. */
export function counting(): Workflow<number, number> {
  const count = executor("count", (n: number, ctx: Ctx) => {
    ctx.setState(
      "kept",
      Array.from({ length: 200 }, (_, at) => `the same in all, ${n} ${at}`),
    );
    if (n < 5) ctx.sendMessage(n + 1);
    else ctx.yieldOutput(n);
  });
  return new WorkflowBuilder({ name: "counting", start: count }).addEdge(count, count).build();
}

const { values } = parseArgs({
  options: { folder: { type: "string" }, from: { type: "string" }, times: { type: "string", default: "0" } },
});
const checkpointStorage = fileCheckpoints(values.folder ?? "");
const checkpointId = values.from as CheckpointID;
for (let left = Number(values.times); left > 0; left -= 1) {
  const { outputs, runId } = await counting().run({ checkpointId }, { checkpointStorage });
  process.stdout.write(`${outputs.join()}\n`);
  for (const saved of await checkpointStorage.listCheckpoints({ workflowName: "counting" })) {
    if (left > 1 && saved.runId === runId) await checkpointStorage.delete(saved.checkpointId);
  }
}
