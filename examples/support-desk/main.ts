/**
 * A support desk that survives: a process sorts the tickets of a file and is killed, another one goes on and asks a
 * person; then the run is forked from a checkpoint in its middle with another answer, and the two are compared.
 *
 *     node examples/support-desk/main.ts [TICKETS]      (default: tickets.txt beside this file)
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { toMermaid } from "../../src/graph.ts";
import { components, Stemma } from "../../src/index.ts";
import type { OpenWait, RunHandle, RunId } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";
import type { Reply, Report } from "./desk.ts";
import { supportDesk } from "./desk.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const tickets = resolve(process.argv[2] ?? fileURLToPath(new URL("tickets.txt", import.meta.url)));
const parent = join(repository, ".stemma");
mkdirSync(parent, { recursive: true });
const kept = mkdtempSync(join(parent, "support-desk-"));
const file = join(kept, "stemma.db");
const outbox = join(kept, "outbox.jsonl");

const worker = fileURLToPath(new URL("worker.ts", import.meta.url));
const child = spawn(
  process.execPath,
  [worker, "--store", file, "--tickets", tickets, "--outbox", outbox, "--die-at", "refund"],
  { stdio: "inherit" },
);
const [, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];

const store = sqlite(file);
const entered: string[] = [];
const graph = supportDesk((executor) => entered.push(executor));
const desk = graph.durable();
const stemma = new Stemma({ store, workflows: [desk], lease: "1s" });
const { runs } = await stemma.list();
const id = runs[0]?.id as RunId;
const done = (await stemma.history(id)).filter(({ type }) => type === "step.succeeded").length;
console.log(`The first process was ended by ${signal}; ${done} invocations are on record.`);

await stemma.start();
const run = (await stemma.get(id)) as RunHandle<Report[]>;
const [question] = await questions(run);
if (question === undefined) throw new Error(`Expected a refund of ${tickets} to be put before a person.`);
console.log(`This process went on: ${counted(entered)}. It asks: ${question.prompt}`);
console.log(`A person would say: npx stemma resume ${id} '${question.key}' --value '{"approve":true}' --store ${file}`);
console.log(`\n${toMermaid(graph, await run.trace())}\n`);

const middle = (await run.history()).findLast(({ type }) => type === "checkpoint");
await stemma.resume(id, question.key, { approve: true }, { by: "mia" });
const [report] = await run.result();
console.log(`It is approved. ${report?.replies.length} replies, ${report?.spam} tickets are spam.`);
const sent = letters();

// The same desk from where it waited for the answer, with another one: what would have been?
const refusal = { approve: false, note: "it was used for a week" };
const fork = await stemma.fork(id, {
  checkpoint: middle?.seq ?? 0,
  outputs: { [question.key]: refusal },
  // The letter that was sent there says something else. Unless it is said that this one may go out too, somebody is asked.
  allowEffects: ["send"],
  reason: "what if it is refused?",
});
await fork.result();
const { output, totals } = await stemma.compare(id, fork.id);
console.log(`\nForked with another answer. ${totals.same} steps are the same, ${totals.changed} changed.`);
for (const { path, a, b } of output?.places ?? [])
  console.log(`  ${path}\n    ${JSON.stringify(a)}\n    ${JSON.stringify(b)}`);
console.log(`\n${toMermaid(graph, await fork.trace())}\n`);

const more = letters().slice(sent.length);
console.log(`${sent.length} letters were sent before the fork, ${more.length} by it: ${more[0]?.text}`);
const family = await stemma.trace(id, { family: true });
console.log(`Its trace: ${family.nodes.length} nodes, ${family.edges.length} edges, ${components(family)} component.`);
console.log(`Store and letters: ${kept}`);
await stemma.stop();
await store.close();

/** The open waits of a run, as soon as it has some and rests. */
async function questions(of: RunHandle): Promise<readonly OpenWait[]> {
  while ((await of.status()) !== "suspended") await wait(20);
  return (await stemma.waits({ run: of.id })).waits;
}

function letters(): Reply[] {
  const lines = readFileSync(outbox, "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as Reply);
}

function counted(names: readonly string[]): string {
  const times = Map.groupBy(names, (name) => name);
  return [...times].map(([name, all]) => `${name} ${all.length}`).join(", ");
}
