/**
 * Three nodes that research a question together: what do the licences of installed packages ask of whoever ships them? One
 * plans, one assesses (several at a time) and verifies, one writes. The one that assesses is killed in the middle; the one
 * that writes has a mistake, so the run fails, and is restarted with the mistake mended; then it is forked into a brief one.
 *
 *     node examples/research/main.ts [FOLDER OF MODULES]      (default: node_modules of this project)
 */
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { StemmaError, client } from "../../src/client.ts";
import { components } from "../../src/index.ts";
import type { Child } from "../audit/child.ts";
import { startChild } from "../audit/child.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const modules = resolve(process.argv[2] ?? join(repository, "node_modules"));
const parent = join(repository, ".stemma");
mkdirSync(parent, { recursive: true });
const kept = mkdtempSync(join(parent, "research-"));
const [file, diary] = [join(kept, "stemma.db"), join(kept, "diary.txt")];

type Answer = { text: string; doubts: string[] };

await using open = new AsyncDisposableStack();
const start = async (role: string, ...args: string[]): Promise<Child> => {
  const child = await startChild(new URL("worker.ts", import.meta.url), [role, "--diary", diary, ...args]);
  open.defer(async () => void (await child.kill()));
  return child;
};
const plane = await start("server", "--store", file);
const url = String(plane.ready["url"]);
const node = (role: string, ...more: string[]): Promise<Child> =>
  start(role, "--server", url, "--modules", modules, ...more);
const [assessor, writer] = await Promise.all([node("assessor"), node("writer"), node("planner")]);
const stemma = client({ url });

const entered = (name: string): string[] =>
  readFileSync(diary, "utf8")
    .split("\n")
    .filter((line) => line !== "" && line.startsWith(name));

const run = await stemma.run<object, Answer>("planner.research", { count: 8, style: "full" });
console.log(`Run ${run.id}: three nodes research ${modules}.`);

// In the middle: some licences are read, others are being read.
while ((await finished()) < 2) await wait(20);
const { signal } = await assessor.kill();
console.log(`The node that assesses was ended by ${signal}; ${await finished()} of 8 licences are on record.`);
await node("assessor");
const failure = await run.result().then(
  () => "it succeeded",
  (error: unknown) => (error instanceof StemmaError ? error.message : String(error)),
);
const assessed = entered("assess ");
const again = assessed.length - new Set(assessed).size;
console.log(`Another one went on: 8 licences were read, ${again <= 3 ? "at most 3" : again} of them twice.`);
console.log(`It fails: ${failure}`);

// Version 2 knows all licences. What was planned and assessed is not done again.
await writer.stop();
await node("writer", "--version", "2");
const before = entered("").length;
const restarted = await stemma.restart<Answer>(run.id, { reason: "version 2 of the writer knows all licences" });
const { text, doubts } = await restarted.result();
console.log(`\nRestarted. Entered: ${entered("").slice(before).join(", ")}.\n\n${text}\n`);
console.log(`${doubts.length} quotes are not in the texts that they are said to be from.`);

const middle = entered("").length;
const fork = await stemma.fork<Answer>(restarted.id, { patch: { style: "brief" }, reason: "for the board" });
const brief = await fork.result();
console.log(`\nForked into a brief one. Entered: ${entered("").slice(middle).join(", ")}.\n\n${brief.text}\n`);

const trace = await stemma.trace(run.id, { family: true });
const { runs } = await stemma.lineage(run.id);
console.log(`${runs.length} runs are one family: ${trace.nodes.length} nodes, ${components(trace)} component.`);
console.log(`Look at it: npx stemma lineage ${run.id} --store ${file}`);
console.log(`Kept in: ${kept}`);

async function finished(): Promise<number> {
  return (await stemma.list({ workflow: "assessor.assess", status: ["succeeded"] })).runs.length;
}
