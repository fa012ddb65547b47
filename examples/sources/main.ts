/**
 * A graph of tasks that survives: a process works on it and is killed, another one goes on, and no file is read twice.
 *
 *     node examples/sources/main.ts [FOLDER]      (default: src of this repository)
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { components, Stemma, toMermaid } from "../../src/index.ts";
import type { RunId } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";
import { TaskRunner } from "../../src/tasks.ts";
import type { Sources } from "./steps.ts";
import { sourceSteps } from "./steps.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const folder = resolve(process.argv[2] ?? join(repository, "src"));
const parent = join(repository, ".stemma");
mkdirSync(parent, { recursive: true });
const kept = mkdtempSync(join(parent, "sources-"));
const file = join(kept, "stemma.db");
const report = join(kept, "report.md");

const worker = fileURLToPath(new URL("worker.ts", import.meta.url));
const child = spawn(
  process.execPath,
  [worker, "--store", file, "--folder", folder, "--report", report, "--die-at", "20"],
  { stdio: "inherit" },
);
const [, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];

const store = sqlite(file);
const before = new Stemma({ store });
const { runs } = await before.list();
const id = runs[0]?.id as RunId;
const recorded = (await before.history(id)).filter(({ type }) => type === "step.succeeded").length;
console.log(`The first process was ended by ${signal}; it left ${recorded} tasks done.`);

const entered: string[] = [];
const context: Sources = { folder, report };
const results = await new TaskRunner(context).durable(before, { name: "sources", concurrency: 4 }).execute(
  sourceSteps((name) => entered.push(name)),
  { idempotencyKey: "sources" },
);
console.log(`This process went on: it read ${entered.length} of ${context.files} files; ${results.size} tasks in all.`);

const trace = await before.trace(id);
const { nodes, edges } = trace;
console.log(`Its trace: ${nodes.length} nodes, ${edges.length} edges, ${components(trace)} component.`);
console.log(toMermaid(trace).split("\n").slice(0, 6).join("\n"));
console.log(`\n${readFileSync(report, "utf8").split("\n").slice(0, 4).join("\n")}`);
console.log(`Store and report: ${kept}`);
await store.close();
