/**
 * A process that reads the sources of a folder and dies in the midst of it:
 *
 *     node examples/sources/worker.ts --store stemma.db --folder src --report report.md --die-at 20
 */
import { parseArgs } from "node:util";
import { Stemma } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";
import { taskWorkflow } from "../../src/tasks.ts";
import type { Sources } from "./steps.ts";
import { sourceSteps } from "./steps.ts";

const { values } = parseArgs({
  options: {
    store: { type: "string", default: "" },
    folder: { type: "string", default: "" },
    report: { type: "string", default: "" },
    "die-at": { type: "string", default: "20" },
  },
});

let read = 0;
const steps = sourceSteps(() => {
  if (++read === Number(values["die-at"])) process.kill(process.pid, "SIGKILL");
});
const workflow = taskWorkflow<Sources, typeof steps>(steps, { name: "sources", concurrency: 4 });
const stemma = new Stemma({ store: sqlite(values.store), workflows: [workflow], lease: "1s" });
await stemma.start();
const run = await stemma.run(workflow, { folder: values.folder, report: values.report }, { idempotencyKey: "sources" });
await run.result();
