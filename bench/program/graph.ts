/** Message graphs: two executors that send a message back and forth, in memory and durable. */
import { setTimeout as wait } from "node:timers/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { expectDurable } from "../connections.ts";
import { fileBytes } from "../file-bytes.ts";
import { executor, memoryCheckpoints, WorkflowBuilder } from "../../src/graph.ts";
import type { Workflow, WorkflowContext } from "../../src/graph.ts";
import { Stemma } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";

type Ctx = WorkflowContext<number, number>;

/** Parts of a superstep's time are compared: the first of these and the last. */
const partOf = (supersteps: number): number => Math.floor(supersteps / 10);

/** A kilobyte that is in no other. */
const kilobyte = (n: number): string => `${n}:`.padEnd(1024, `${(n * 2_654_435_761) % 4_294_967_296} `);

/** Supersteps of the run before the one that is measured. */
const warmUp = 200;

/** Times at which supersteps began, and the CPU that this process had taken by then, in milliseconds. */
let begun: { at: number; cpu: number }[] = [];
const now = (): { at: number; cpu: number } => {
  const { user, system } = process.cpuUsage();
  return { at: performance.now(), cpu: (user + system) / 1000 };
};

/** A kilobyte more of shared state in each superstep. */
function pingPong(supersteps: number): Workflow<number, number> {
  const turn = (n: number, ctx: Ctx): void => {
    begun.push(now());
    ctx.setState("log", kilobyte(n));
    if (n + 1 < supersteps) ctx.sendMessage(n + 1);
    else ctx.yieldOutput(n + 1);
  };
  const [ping, pong] = [executor<number, number, number>("ping", turn), executor<number, number, number>("pong", turn)];
  const options = { name: "ping-pong", start: ping, state: { log: "append" as const }, maxSupersteps: supersteps };
  return new WorkflowBuilder(options).addEdge(ping, pong).addEdge(pong, ping).build();
}

/** Milliseconds per superstep of all, of the first tenth and of the last, and of CPU. */
function times(end: { at: number; cpu: number }): Record<string, number> {
  const count = begun.length;
  const part = partOf(count);
  const between = (from: number, to: number, what: "at" | "cpu"): number =>
    ((begun[to] ?? end)[what] - (begun[from] ?? end)[what]) / (to - from);
  return {
    ms: between(0, count, "at"),
    earlyMs: between(0, part, "at"),
    lateMs: between(count - part, count, "at"),
    cpuMs: between(0, count, "cpu"),
    earlyCpuMs: between(0, part, "cpu"),
    lateCpuMs: between(count - part, count, "cpu"),
  };
}

/** In memory, with a checkpoint behind each superstep. */
export async function pingPongMemory({ supersteps }: { supersteps: number }): Promise<Record<string, number>> {
  await pingPong(warmUp).run(0, { checkpointStorage: memoryCheckpoints() });
  begun = [];
  const storage = memoryCheckpoints();
  const { outputs } = await pingPong(supersteps).run(0, { checkpointStorage: storage });
  const found = times(now());
  if (outputs[0] !== supersteps) throw new Error(`Expected ${supersteps} supersteps, got ${String(outputs[0])}.`);
  return { ...found, bytes: storage.bytes / supersteps };
}

/** Under the engine: a step and a checkpoint for each superstep. */
export async function pingPongDurable({
  folder,
  supersteps,
}: {
  folder: string;
  supersteps: number;
}): Promise<Record<string, number>> {
  const file = join(folder, "stemma.db");
  const [warm, graph] = [pingPong(warmUp).durable({ name: "warm" }), pingPong(supersteps).durable()];
  const store = sqlite(file);
  const stemma = await new Stemma({ store, workflows: [warm, graph] }).start();
  await (await stemma.run(warm, 0)).result();
  begun = [];
  await (await stemma.run(graph, 0)).result();
  const found = times(now());
  expectDurable();
  await stemma.stop();
  await store.close();
  const database = new DatabaseSync(file);
  const bytes = fileBytes(database) / (supersteps + warmUp);
  database.close();
  return { ...found, bytes };
}

/** A graph of twenty supersteps of a millisecond's work each, again and again; the median of it, whole. */
export async function twentySupersteps({ rounds }: { rounds: number }): Promise<Record<string, number>> {
  const turn = async (n: number, ctx: Ctx): Promise<void> => {
    await wait(1);
    if (n < 20) ctx.sendMessage(n + 1);
    else ctx.yieldOutput(n);
  };
  const [ping, pong] = [executor<number, number, number>("ping", turn), executor<number, number, number>("pong", turn)];
  const graph = new WorkflowBuilder({ name: "twenty", start: ping }).addEdge(ping, pong).addEdge(pong, ping).build();
  const [bare, whole]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    let start = performance.now();
    for (let n = 0; n < 20; n++) await wait(1);
    bare.push(performance.now() - start);
    start = performance.now();
    await graph.run(1);
    whole.push(performance.now() - start);
  }
  const half = (found: number[]): number => found.toSorted((a, b) => a - b)[rounds >> 1] ?? Number.NaN;
  return { ms: half(whole), bareMs: half(bare) };
}
