/**
 * Random programs for the whole life of a run: everything that a workflow function can do and wait for, as data, so
 * that a program can be printed and shrunk. It is the input of the run, so one workflow plays them all, and a child
 * plays the part of its parent's program that it was called with.
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import fc from "fast-check";
import { notDone } from "../../src/index.ts";
import type { Context, Workflow } from "../../src/index.ts";

export type Part =
  | ({ do: "step"; name: string; input?: number; turns: number; fails: number; attempts: number } & Ways)
  | { do: "once"; name: string; turns: number; how: "returns" | "throws" | "not done"; finds: Finds }
  | { do: "sequence"; parts: Part[] }
  | { do: "branches"; how: "all" | "race"; parts: Part[] }
  | { do: "together"; how: "all" | "race" | "settled"; parts: Part[] }
  | { do: "map"; name: string; items: number[]; concurrency: number; turns: number; fails: number }
  | { do: "scope"; name: string; part: Part }
  | { do: "caught"; part: Part }
  | { do: "sleep"; ms: number }
  | { do: "detach"; part: Part }
  | { do: "wait" | "signal"; name: string; expires?: number; default: boolean; looks: "not" | "at once" | "slowly" }
  | { do: "call"; parts: Part[]; timeout?: number }
  | { do: "checkpoint" }
  | { do: "standing"; name: string; expires?: number; looks: "not" | "slowly" }
  | { do: "throw" };

/** How a step makes up for itself, whether it has a limit of time, and whether it stops when it is told to. */
type Ways = { undo: "no" | "yes" | "fails"; limit: boolean; obeys: boolean };

/** What the `reconcile` of a step finds out; "nothing" is that it has none. */
type Finds = "nothing" | "cannot tell" | "run" | "record" | "fail";

/**
 * A run's program: the parts of its body, one behind the other. A checkpoint may stand between two of them. What stands
 * is asked where it is, and once more behind every checkpoint until it is answered, which is waited for in the end.
 */
export type Program = Part[];

const name = fc.constantFrom("a", "b", "c");
const turns = fc.integer({ min: 0, max: 4 });
const expires = fc.integer({ min: 1, max: 60 });
const few = fc.nat(7).map((n) => n === 0);

const { program: anyProgram } = fc.letrec<{ part: Part; program: Program }>((tie) => {
  const anyStep = fc
    .record({
      name,
      turns: fc.oneof({ weight: 5, arbitrary: turns }, { weight: 1, arbitrary: fc.integer({ min: 20, max: 40 }) }),
      fails: fc.nat(12),
      attempts: fc.integer({ min: 1, max: 3 }),
      undo: fc.constantFrom("no" as const, "yes" as const, "yes" as const, "fails" as const),
      limit: few,
      obeys: fc.boolean(),
      input: turns,
    })
    .map(({ input, fails, ...rest }): Part => {
      const some = { do: "step" as const, ...rest, fails: Math.max(0, fails - 9) };
      return input > 2 ? some : { ...some, input };
    });
  const anyOnce = fc.record({
    do: fc.constant("once" as const),
    name,
    turns,
    how: fc.constantFrom("returns" as const, "returns" as const, "throws" as const, "not done" as const),
    finds: fc.constantFrom<Finds>("nothing", "nothing", "cannot tell", "run", "record", "fail"),
  });
  const question = fc.record(
    {
      do: fc.constantFrom("wait" as const, "wait" as const, "signal" as const),
      name,
      expires,
      default: fc.boolean(),
      looks: fc.constantFrom("not" as const, "not" as const, "at once" as const, "slowly" as const),
    },
    { requiredKeys: ["do", "name", "default", "looks"] },
  );
  const standing: fc.Arbitrary<Part> = fc.record(
    {
      do: fc.constant("standing" as const),
      name: fc.constantFrom("d", "e"),
      expires,
      looks: fc.constantFrom("not" as const, "slowly" as const),
    },
    { requiredKeys: ["do", "name", "looks"] },
  );
  const parts = fc.array(tie("part"), { minLength: 1, maxLength: 3 });
  return {
    part: fc.oneof(
      { depthSize: "large", maxDepth: 4, withCrossShrink: true },
      { weight: 6, arbitrary: anyStep },
      { weight: 2, arbitrary: anyOnce },
      { weight: 4, arbitrary: question },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("sequence" as const), parts }) },
      {
        weight: 3,
        arbitrary: fc.record({
          do: fc.constant("branches" as const),
          how: fc.constantFrom("all" as const, "race" as const),
          parts,
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant("together" as const),
          how: fc.constantFrom("all" as const, "race" as const, "settled" as const),
          parts,
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          do: fc.constant("map" as const),
          name,
          items: fc.array(fc.nat(2), { maxLength: 4 }),
          concurrency: fc.integer({ min: 1, max: 3 }),
          turns,
          fails: fc.nat(5),
        }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("scope" as const), name, part: tie("part") }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("caught" as const), part: tie("part") }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("detach" as const), part: tie("part") }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("sleep" as const), ms: fc.nat(60) }) },
      {
        weight: 3,
        arbitrary: fc.record(
          { do: fc.constant("call" as const), parts: tie("program"), timeout: fc.oneof(expires, fc.constant(60_000)) },
          { requiredKeys: ["do", "parts"] },
        ),
      },
      { weight: 1, arbitrary: fc.constant({ do: "throw" as const }) },
    ),
    program: fc
      .tuple(
        fc.array(fc.tuple(tie("part"), few), { minLength: 1, maxLength: 3 }),
        fc.array(standing, { maxLength: 2 }),
        few,
      )
      .map(([list, standings, stands]): Part[] =>
        list.flatMap(([part, closes], i): Part[] => [
          ...(stands ? standings.slice(i, i + 1) : []),
          part,
          ...(closes || stands ? [{ do: "checkpoint" as const }] : []),
        ]),
      ),
  };
});

export const programs: fc.Arbitrary<Program> = anyProgram;

export type Tools = { idempotencyKey: string; attempt: number; abort: AbortSignal };

/** What bodies and steps do to the world outside of their runs. */
export type World = {
  /** A function of a step is entered. Never settles where its process is dead. */
  enter(run: string, name: string, tools: Tools, once: boolean): Promise<void>;
  /** A value that nothing else returns, with the run that it belongs to. */
  fresh(run: string, name: string): string;
  /** A body has observed something, at a place that it passes once. */
  note(run: string, place: string, what: string): void;
  /** A body begins from a state, or from its start. */
  restored(run: string, checkpoints: number): void;
  /** The workflow that plays children. */
  child(): Workflow<Program>;
};

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Where it is, how many checkpoints there were, and which parts stand open. */
export type State = { next: number; count: number; standing: number[] };

/** Runs a program from its start, or from the last checkpoint. */
export async function interpret(ctx: Context<State>, program: Program, world: World): Promise<string> {
  const { next, count: before, standing: left } = ctx.restored ?? { next: 0, count: 0, standing: [] };
  let count = before;
  world.restored(ctx.runId, count);
  let standing = new Map<number, Promise<unknown>>();
  const stand = (i: number): void => {
    const now = standing;
    const heard = observed(ctx, program[i] as Part, world, `.${i}s${count}`).finally(() => now.delete(i));
    heard.catch(() => {});
    now.set(i, heard);
  };
  for (const i of left) stand(i);
  for (const [i, part] of program.entries()) {
    if (i < next) continue;
    if (part.do === "checkpoint") {
      const open = [...standing.keys()];
      const carryWaits = program.some((other) => other.do === "standing");
      await ctx.checkpoint({ next: i + 1, count: (count += 1), standing: open }, { carryWaits });
      standing = new Map();
      for (const again of open) stand(again);
    } else if (part.do === "standing") stand(i);
    else await play(ctx, part, world, `.${i}`);
  }
  await Promise.allSettled(standing.values());
  return world.fresh(ctx.runId, "end");
}

async function play(ctx: Context<State>, part: Part, world: World, place: string): Promise<unknown> {
  const all = (parts: Part[]): Promise<unknown>[] => {
    const played = parts.map(async (one, i) => play(ctx, one, world, `${place}.${i}`));
    for (const promise of played) promise.catch(() => {});
    return played;
  };
  switch (part.do) {
    case "sequence":
      for (const [i, one] of part.parts.entries()) await play(ctx, one, world, `${place}.${i}`);
      return undefined;
    case "together":
      if (part.how === "all") return Promise.all(all(part.parts));
      if (part.how === "settled") return Promise.allSettled(all(part.parts));
      return Promise.race(all(part.parts));
    case "branches": {
      const branches = Object.fromEntries(
        part.parts.map((one, i) => [`p${i}`, () => play(ctx, one, world, `${place}.${i}`)]),
      );
      if (part.how === "all") return ctx.all(branches);
      const winner = await ctx.race(branches);
      world.note(ctx.runId, place, `won ${winner.key}`);
      // What comes next depends on who won.
      return ctx.step(`won-${winner.key}`, () => world.fresh(ctx.runId, winner.key));
    }
    case "scope":
      return ctx.scope(part.name, () => play(ctx, part.part, world, `${place}.0`));
    case "caught":
      try {
        return await play(ctx, part.part, world, `${place}.0`);
      } catch (error) {
        world.note(ctx.runId, place, `caught ${(error as Error).message}`);
        return "caught";
      }
    case "detach":
      play(ctx, part.part, world, `${place}.0`).catch(() => {});
      return undefined;
    case "throw":
      throw new Error(`thrown at ${place}`);
    default:
      return observed(ctx, part, world, place);
  }
}

/** Plays what the engine has to answer, and notes what came back: a value of this very run, or an error. */
async function observed(ctx: Context<State>, part: Part, world: World, place: string): Promise<unknown> {
  try {
    const value = await ask(ctx, part, world);
    world.note(ctx.runId, place, `got ${JSON.stringify(value)}`);
    return value;
  } catch (error) {
    world.note(ctx.runId, place, `threw ${(error as Error).message}`);
    throw error;
  }
}

async function ask(ctx: Context<State>, part: Part, world: World): Promise<unknown> {
  switch (part.do) {
    case "step":
      return step(ctx, part, world);
    case "once":
      return once(ctx, part, world);
    case "map":
      return ctx.map(part.name, part.items, { concurrency: part.concurrency }, async (item, tools) => {
        await work(ctx.runId, part, tools, world, false);
        if (item < part.fails - 3) throw new Error(world.fresh(ctx.runId, "failed"));
        return world.fresh(ctx.runId, part.name);
      });
    case "sleep":
      return ctx.sleep("nap", part.ms);
    case "standing":
    case "wait":
    case "signal": {
      const { name: asked, expires: ms, looks } = part;
      const options = {
        ...(ms === undefined ? {} : { expires: ms }),
        ...(part.do !== "standing" && part.default ? { default: "by default" } : {}),
        ...(looks === "not" ? {} : { schema: lookAt(looks === "slowly" ? 3 : 0) }),
      };
      return part.do === "signal" ? ctx.signal(asked, options) : ctx.wait(asked, options);
    }
    case "call":
      return ctx.call(world.child(), part.parts, part.timeout === undefined ? {} : { timeout: part.timeout });
    default:
      throw new Error(`${part.do} asks nothing.`);
  }
}

/** A schema that refuses what is bad, and takes some turns for it. */
function lookAt(turnsOfIt: number): StandardSchemaV1<unknown, unknown> {
  const check = (value: unknown): StandardSchemaV1.Result<unknown> =>
    String(value).includes(" bad ") ? { issues: [{ message: "this is bad" }] } : { value };
  const later = async (value: unknown): Promise<StandardSchemaV1.Result<unknown>> => {
    await turnsLater(turnsOfIt);
    return check(value);
  };
  return { "~standard": { version: 1, vendor: "lives", validate: turnsOfIt === 0 ? check : later } };
}

async function turnsLater(count: number, abort?: AbortSignal): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    await turn();
    abort?.throwIfAborted();
  }
}

async function work(
  run: string,
  part: { name: string; turns: number; obeys?: boolean },
  tools: Tools,
  world: World,
  isOnce: boolean,
): Promise<void> {
  await world.enter(run, part.name, tools, isOnce);
  await turnsLater(part.turns, part.obeys === true ? tools.abort : undefined);
}

function step(ctx: Context<State>, part: Part & { do: "step" }, world: World): Promise<unknown> {
  const run = ctx.runId;
  const compensate = async (_output: unknown, tools: Tools): Promise<void> => {
    await work(run, part, tools, world, false);
    if (part.undo === "fails") throw new Error(world.fresh(run, "not undone"));
  };
  const options = {
    ...(part.input === undefined ? {} : { input: part.input }),
    ...(part.attempts === 1 ? {} : { retry: { attempts: part.attempts, delay: 8 } }),
    ...(part.limit ? { timeout: 10 } : {}),
    ...(part.undo === "no" ? {} : { compensate }),
  };
  return ctx.step(part.name, options, async (_input, tools) => {
    await work(run, part, tools, world, false);
    if (tools.attempt <= part.fails) throw new Error(world.fresh(run, "failed"));
    return world.fresh(run, part.name);
  });
}

function once(ctx: Context<State>, part: Part & { do: "once" }, world: World): Promise<unknown> {
  const { how, finds } = part;
  const run = ctx.runId;
  const reconcile = (): { record: string } | "run" | { fail: Error } | undefined => {
    if (finds === "record") return { record: world.fresh(run, "found") };
    if (finds === "fail") return { fail: new Error(world.fresh(run, "found failed")) };
    return finds === "run" ? "run" : undefined;
  };
  const options = {
    effect: "once" as const,
    retry: { attempts: 2, delay: 5 },
    ...(finds === "nothing" ? {} : { reconcile }),
  };
  return ctx.step(part.name, options, async (_input, tools) => {
    await work(run, part, tools, world, true);
    // It throws on its first attempt only, or a `reconcile` that always says "run" would never come to an end.
    if (how === "throws" && tools.attempt === 1) throw new Error(world.fresh(run, "threw"));
    if (how === "not done") throw notDone(new Error(world.fresh(run, "not done")));
    return world.fresh(run, part.name);
  });
}
