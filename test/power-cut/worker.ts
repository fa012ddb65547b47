/**
 * A real Stemma process that acknowledges what it promises to keep. Several runs are under way at a time; each line goes
 * straight to the descriptor, because a line in a buffer of this process would be an acknowledgement that nobody saw.
 *
 *     run <id> <input>               a run was created
 *     enter <id> <key>               the function of a step was entered
 *     ack <id> <key> <repeats> <value>   the body received the outcome of a step
 *     end <id> <output>              whoever waited for the run received its output
 *
 * A step's value has a part that no other execution returns, so one that ran twice can be told from one that was recalled.
 *
 *     node worker.ts <database> <full | normal> <milliseconds by which its clock is ahead>
 */
import { writeSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { Context, Log, Workflow } from "../../src/index.ts";
import { Stemma, workflow } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";

/** Where the lines go. */
export type Witness = (line: string) => void;

/** Text that is long enough to be kept apart from its event, and can be checked by who knows value and repeats. */
export function textOf(value: string, repeats: number): string {
  return `${value} `.repeat(repeats);
}

let fresh = 0;

async function step(witness: Witness, ctx: Context, key: string, repeats: number): Promise<string> {
  const text = await ctx.step(key, { input: repeats }, () => {
    witness(`enter ${ctx.runId} ${key}`);
    return textOf(`${process.pid}.${(fresh += 1)}`, repeats);
  });
  return received(witness, ctx, key, repeats, text);
}

function received(witness: Witness, ctx: Context, key: string, repeats: number, text: string): string {
  const [value = ""] = text.split(" ");
  witness(`ack ${ctx.runId} ${key} ${repeats} ${value}`);
  return value;
}

/** A chain of small steps, a map, and steps with large values; a third of the runs begins with each. */
export function workflowsWith(witness: Witness): readonly Workflow<string, string>[] {
  const chain = async (ctx: Context): Promise<string[]> => {
    const values: string[] = [];
    for (let i = 0; i < 6; i += 1) values.push(await step(witness, ctx, `small-${i}`, 1));
    return values;
  };
  const fan = async (ctx: Context): Promise<string[]> => {
    const items = [1, 300, 2, 40, 5];
    const key = (_: number, i: number): string => `item-${i}`;
    const texts = await ctx.map("fan", items, { concurrency: 3, key }, (repeats, _tools) => {
      witness(`enter ${ctx.runId} fan/item-${items.indexOf(repeats)}`);
      return textOf(`${process.pid}.${(fresh += 1)}`, repeats);
    });
    return texts.map((text, i) => received(witness, ctx, `fan/item-${i}`, items[i] ?? 0, text));
  };
  const bulk = async (ctx: Context): Promise<string[]> =>
    Promise.all([200, 1000, 6000].map((repeats, i) => step(witness, ctx, `large-${i}`, repeats)));
  return [
    workflow<string, string>({ name: "chain" }, async (ctx) => [...(await chain(ctx)), ...(await fan(ctx))].join()),
    workflow<string, string>({ name: "fan" }, async (ctx) => [...(await fan(ctx)), ...(await bulk(ctx))].join()),
    workflow<string, string>({ name: "bulk" }, async (ctx) => [...(await bulk(ctx)), ...(await chain(ctx))].join()),
  ];
}

/** How many runs are under way at a time. */
const places = 5;
/** A log that is emptied often, so that cuts fall into that too and the log begins new rounds. */
const emptyMs = 12;

async function main(path: string, synchronous: "full" | "normal", aheadMs: number): Promise<void> {
  const witness: Witness = (line) => void writeSync(1, `${line}\n`);
  witness("begin"); // before the file is there, so that cuts fall into its creation too
  const fail: Log["error"] = (message, data) => void writeSync(2, `${message} ${JSON.stringify(data)}\n`);
  const log: Log = { debug() {}, info() {}, warn() {}, error: fail };
  const store = sqlite({ path, synchronous, now: () => Date.now() + aheadMs });
  const workflows = workflowsWith(witness);
  const stemma = new Stemma({ store, workflows, log });
  await stemma.start();
  const emptying = new DatabaseSync(path);
  emptying.exec(`pragma synchronous = ${synchronous}`);
  setInterval(() => emptying.exec("pragma wal_checkpoint(passive)"), emptyMs);
  const place = async (first: number): Promise<void> => {
    for (let n = first; ; n += places) {
      const definition = workflows[n % workflows.length] as Workflow<string, string>;
      const run = await stemma.run(definition, textOf(`${process.pid}.${n}`, n % 2 === 0 ? 1 : 200));
      witness(`run ${run.id} ${process.pid}.${n}`);
      witness(`end ${run.id} ${await run.result()}`);
    }
  };
  await Promise.all(Array.from({ length: places }, (_, n) => place(n)));
}

// Started without arguments it ends at once: that compiles its modules, and the cache of compiled code keeps them.
const [path, synchronous, aheadMs = "0"] = process.argv.slice(2);
if (import.meta.main && path !== undefined) {
  if (synchronous !== "full" && synchronous !== "normal")
    throw new Error(`expected full or normal, got ${synchronous}`);
  await main(path, synchronous, Number(aheadMs));
}
