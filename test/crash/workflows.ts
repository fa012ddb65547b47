/**
 * Workflows of different shapes, all of whose steps tell the witness when they are entered and left, and whose code
 * tells it what it was given. Every step returns a value that no other execution returns, so a step that ran twice can
 * be told from one that was recalled. All of them end well, whatever happens to their workers.
 */
import { workflow } from "../../src/index.ts";
import type { Context, StepTools, Workflow } from "../../src/index.ts";
import type { Pen } from "./witness.ts";
import { word } from "./witness.ts";

/** `pace` varies how long the steps of a run take. */
type Input = { pace: number };

/** What steps whose name begins so do is done once: one that is in doubt is settled without being entered again. */
export const onceName = "pay";
/** A run of this workflow waits for a signal of this name. */
export const awaited = { workflow: "order", signal: "go" } as const;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let fresh = 0;

/** How long a step takes: 0 to 15 ms; some are over before anything else can happen. */
function msOf(key: string, pace: number): number {
  let sum = pace;
  for (const char of key) sum = (sum * 31 + char.charCodeAt(0)) % 9973;
  return sum % 4 === 0 ? 0 : sum % 16;
}

async function work(pen: Pen, ctx: Context, key: string, tools: StepTools): Promise<string> {
  pen.write("enter", ctx.runId, tools.idempotencyKey, key);
  const ms = msOf(key, (ctx.input as Input).pace);
  if (ms > 0) await pause(ms);
  pen.write("leave", ctx.runId, tools.idempotencyKey, key);
  return `${key}=${process.pid}.${(fresh += 1)}`;
}

/** A step whose label is `key`; its name is the last part of it. */
async function step(pen: Pen, ctx: Context, key: string, input?: unknown): Promise<string> {
  const name = key.slice(key.lastIndexOf("/") + 1).replace(/#\d+$/, "");
  const run = (_input: unknown, tools: StepTools): Promise<string> => work(pen, ctx, key, tools);
  const value = await (input === undefined ? ctx.step(name, run) : ctx.step(name, { input }, run));
  pen.write("saw", ctx.runId, key, word(value));
  return value;
}

/** A step that fails; gives the message that was caught. */
async function failing(pen: Pen, ctx: Context, key: string): Promise<string> {
  try {
    await ctx.step(key, async (_, tools) => {
      throw new Error(await work(pen, ctx, key, tools));
    });
  } catch (error) {
    const { message } = error as Error;
    pen.write("saw", ctx.runId, key, word(message));
    return message;
  }
  throw new Error(`${key} should have failed`);
}

function chain(pen: Pen): Workflow<Input, string> {
  return workflow<Input, string>({ name: "chain" }, async (ctx) => {
    let value = "start";
    for (let i = 1; i <= 4; i += 1) value = await step(pen, ctx, i === 1 ? "link" : `link#${i}`, value);
    await ctx.sleep("nap", 8);
    const message = await failing(pen, ctx, "broken");
    await step(pen, ctx, "mend", message);
    // Longer than the engine lingers: the run is given back, and whoever is free goes on with it.
    await ctx.sleep("night", 70);
    for (let i = 5; i <= 7; i += 1) value = await step(pen, ctx, `link#${i}`, value);
    return step(pen, ctx, "end");
  });
}

function fan(pen: Pen): Workflow<Input, number> {
  return workflow<Input, number>({ name: "fan" }, async (ctx) => {
    const items = [1, 2, 3, 4, 5, 6, 7];
    const sizes = await ctx.map("size", items, { concurrency: 3 }, (item, tools) =>
      work(pen, ctx, `size/${item}`, tools),
    );
    for (const [i, value] of sizes.entries())
      pen.write("saw", ctx.runId, i === 0 ? "size" : `size#${i + 1}`, word(value));
    await Promise.all([step(pen, ctx, "left"), step(pen, ctx, "right"), failing(pen, ctx, "wrong")]);
    // Nobody waits for these; they run beside what follows, and are taken back if it ends before them.
    void step(pen, ctx, "aside");
    void (async () => step(pen, ctx, "behind", await step(pen, ctx, "before")))();
    const both = await ctx.all({
      one: async () => [await step(pen, ctx, "one/a"), await step(pen, ctx, "one/b")],
      two: () =>
        ctx.scope("deep", async () => [await step(pen, ctx, "two/deep/a"), await step(pen, ctx, "two/deep/b")]),
    });
    await step(pen, ctx, "sum", [...both.one, ...both.two].length);
    return sizes.length;
  });
}

function contest(pen: Pen): Workflow<Input, string> {
  return workflow<Input, string>({ name: "contest" }, async (ctx) => {
    const hare = step(pen, ctx, "hare");
    const tortoise = (async () => {
      await step(pen, ctx, "tortoise");
      return step(pen, ctx, "tortoise#2");
    })();
    const winner = (await Promise.race([hare, tortoise])).startsWith("hare") ? "hare" : "tortoise";
    await step(pen, ctx, `cheer-${winner}`);
    const race = await ctx.race({
      steps: async () => {
        await step(pen, ctx, "steps/run");
        return step(pen, ctx, "steps/jump");
      },
      clock: async () => {
        await ctx.sleep("wait", 12);
        return step(pen, ctx, "clock/ring");
      },
    });
    await step(pen, ctx, `prize-${race.key}`, race.value);
    if (ctx.random() < 0.5) await ctx.sleep("rest", 60);
    await Promise.all([hare, tortoise]);
    return step(pen, ctx, "end");
  });
}

/** A step that is entered once, or, with a planted bug, like any other. */
async function pay(pen: Pen, ctx: Context, key: string, once: boolean): Promise<void> {
  const reconcile = (): { record: string } => ({ record: `${key}=found.${process.pid}.${(fresh += 1)}` });
  const options = once ? { effect: "once" as const, reconcile } : {};
  const value = await ctx.step(key, options, (_, tools) => work(pen, ctx, key, tools));
  pen.write("saw", ctx.runId, key, word(value));
}

/** Of a run that calls another, waits for a signal, and does what must be done once. */
function order(pen: Pen, once: boolean, parcel: Workflow<Input, string>): Workflow<Input, string> {
  return workflow<Input, string>({ name: awaited.workflow }, async (ctx) => {
    await step(pen, ctx, "pack");
    await pay(pen, ctx, `${onceName}-deposit`, once);
    await ctx.signal(awaited.signal);
    await pay(pen, ctx, `${onceName}-rest`, once);
    const stamp = await ctx.call(parcel, ctx.input as Input);
    return step(pen, ctx, "close", stamp);
  });
}

function parcelOf(pen: Pen, once: boolean): Workflow<Input, string> {
  return workflow<Input, string>({ name: "parcel" }, async (ctx) => {
    await pay(pen, ctx, `${onceName}-postage`, once);
    return step(pen, ctx, "stamp");
  });
}

/** Those that runs are started of, and those that they call. */
export type Workflows = { started: readonly Workflow<Input>[]; called: readonly Workflow<Input>[] };

/**
 * A process that only creates runs gives a pen that writes nowhere. Without `once`, steps that must be entered once do
 * not say so.
 */
export function workflowsWith(pen: Pen, once: boolean = true): Workflows {
  const parcel = parcelOf(pen, once);
  const started: readonly unknown[] = [chain(pen), fan(pen), contest(pen), order(pen, once, parcel)];
  const called: readonly unknown[] = [parcel];
  return { started, called } as Workflows;
}
