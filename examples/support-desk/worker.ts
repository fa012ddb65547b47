/**
 * A process that works at the support desk and dies between two supersteps:
 *
 *     node examples/support-desk/worker.ts --store stemma.db --tickets tickets.txt --outbox outbox.jsonl --die-at refund
 */
import { parseArgs } from "node:util";
import { Stemma } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";
import { supportDesk } from "./desk.ts";

const { values } = parseArgs({
  options: {
    store: { type: "string", default: "" },
    tickets: { type: "string", default: "" },
    outbox: { type: "string", default: "" },
    "die-at": { type: "string", default: "refund" },
  },
});

const desk = supportDesk((executor) => {
  // The superstep before is on record with its checkpoint, and nothing of this one is.
  if (executor === values["die-at"]) process.kill(process.pid, "SIGKILL");
}).durable();
const { tickets, outbox } = values;
const stemma = await new Stemma({ store: sqlite(values.store), workflows: [desk], lease: "1s" }).start();
const run = await stemma.run(desk, { tickets, outbox }, { idempotencyKey: "support-desk" });
await run.result();
