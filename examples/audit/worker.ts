/**
 * A process that works on audits until it is told to stop:
 *
 *     node examples/audit/worker.ts --store stemma.db
 *     STEMMA_STORE=postgres://… node examples/audit/worker.ts --schema stemma
 *
 * With `--summary first` its code still has the bug of `summary-bug.ts`.
 * It prints one line of JSON when it works. SIGTERM drains it: steps in flight are finished and recorded first.
 */
import { parseArgs } from "node:util";
import { Stemma } from "../../src/index.ts";
import { audit, auditWith } from "./audit.ts";
import { openStore, placeTold } from "./store.ts";
import { summariseAtFirst } from "./summary-bug.ts";

const { values } = parseArgs({
  options: {
    store: { type: "string" },
    schema: { type: "string" },
    lease: { type: "string", default: "2s" },
    summary: { type: "string" },
  },
});
const place = placeTold(values.store, values.schema);
if (place === undefined)
  throw new Error("expected --store FILE, or $STEMMA_STORE and --schema: where the runs are kept");

const store = openStore(place);
const stemma = new Stemma({
  store,
  workflows: [values.summary === "first" ? auditWith(summariseAtFirst) : audit],
  lease: values.lease,
});
await stemma.start();

let stopping = false;
async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  await stemma.stop();
  await store.close();
  process.exit(0);
}
process.on("SIGTERM", () => void stop());
process.on("SIGINT", () => void stop());
// Whoever started this worker with a channel is gone: nobody else would ever stop it.
process.once("disconnect", () => void stop());
process.channel?.unref();

console.log(JSON.stringify({ ready: true, pid: process.pid }));
