/**
 * Random programs whose steps are functions of what they are given: of their declared input, or, where they declare
 * none, of everything that the body had been given when it asked, whatever branch it came to. So it is known of each
 * value that a body is given whether it is right, also in a run that has most of its values from another one.
 */
import { createHash } from "node:crypto";
import fc from "fast-check";
import type { Context, StepTools, Workflow } from "../../src/index.ts";
import { notDone } from "../../src/index.ts";

export type Part =
  | {
      do: "step";
      name: string;
      uses: "constant" | "last" | "context" | "all";
      salt: number;
      turns: number;
      fails: boolean;
      /** It may be done once only. */
      once: boolean;
      /** It is made up for where the run does not succeed. */
      undone: boolean;
    }
  | { do: "sequence"; parts: Part[] }
  | { do: "together"; how: "all" | "race" | "settled"; parts: Part[] }
  | { do: "branches"; how: "all" | "race"; parts: Part[] }
  | { do: "map"; name: string; items: number[]; concurrency: number; turns: number }
  | { do: "scope"; name: string; part: Part }
  | { do: "caught"; part: Part }
  | { do: "if"; part: Part; other: Part }
  | { do: "loop"; times: number; part: Part }
  | { do: "wait"; name: string; declared: boolean }
  | { do: "call"; part: Part }
  | { do: "checkpoint" };

const names = fc.constantFrom("a", "b", "c");
const turns = fc.integer({ min: 0, max: 3 });

const anyStep = fc.record({
  do: fc.constant("step" as const),
  name: names,
  uses: fc.constantFrom("constant" as const, "last" as const, "context" as const, "all" as const, "all" as const),
  salt: fc.nat(1),
  turns,
  fails: fc.nat(5).map((n) => n === 0),
  once: fc.nat(5).map((n) => n === 0),
  undone: fc.nat(5).map((n) => n === 0),
});

const { part: anyPart } = fc.letrec<{ part: Part }>((tie) => {
  const parts = fc.array(tie("part"), { minLength: 1, maxLength: 4 });
  return {
    part: fc.oneof(
      { depthSize: "large", maxDepth: 5, withCrossShrink: true },
      { weight: 8, arbitrary: anyStep },
      { weight: 5, arbitrary: fc.record({ do: fc.constant("sequence" as const), parts }) },
      {
        weight: 3,
        arbitrary: fc.record({
          do: fc.constant("together" as const),
          how: fc.constantFrom("all" as const, "race" as const, "settled" as const),
          parts,
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant("branches" as const),
          how: fc.constantFrom("all" as const, "race" as const),
          parts,
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant("map" as const),
          // What it does with an item is something else than what a step does with an equal input.
          name: fc.constantFrom("each-a", "each-b"),
          items: fc.array(fc.nat(2), { maxLength: 5 }),
          concurrency: fc.integer({ min: 1, max: 3 }),
          turns,
        }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("scope" as const), name: names, part: tie("part") }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("caught" as const), part: tie("part") }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("if" as const), part: tie("part"), other: tie("part") }) },
      {
        weight: 1,
        arbitrary: fc.record({
          do: fc.constant("loop" as const),
          times: fc.integer({ min: 2, max: 3 }),
          part: tie("part"),
        }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("wait" as const), name: names, declared: fc.boolean() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("call" as const), part: tie("part") }) },
    ),
  };
});

/** A body: parts one behind the other, with checkpoints between some. */
export const programs: fc.Arbitrary<Part[]> = fc.array(
  fc.oneof({ weight: 6, arbitrary: anyPart }, { weight: 1, arbitrary: fc.constant<Part>({ do: "checkpoint" }) }),
  { minLength: 1, maxLength: 4 },
);

/** Bodies in which a step without a declared input comes behind a checkpoint, whose state it uses. */
export const checkpointed: fc.Arbitrary<Part[]> = fc
  .tuple(anyPart, fc.constant<Part>({ do: "checkpoint" }), anyStep)
  .map(([before, checkpoint, behind]) => [before, checkpoint, { ...behind, uses: "all" as const }]);

export type Input = { program: Part[]; n: number };

/** What a step returns for what it is given. */
export function valueOf(what: string, given: unknown): string {
  return `${what}:${createHash("sha256")
    .update(JSON.stringify([what, given]))
    .digest("hex")
    .slice(0, 12)}`;
}

/** What surrounds a body: it hears of every ask with what is right for it, and of every value that was given. */
export type World = {
  /** The code at work: what a step without declared input returns depends on it. */
  code(): number;
  /** Whether a declared input leaves out what is used: a wrong program, which must be found out. */
  lies: boolean;
  /** Whether steps that can fail do so now. */
  broken(): boolean;
  enter(run: string, step: string, args: string): void;
  /** A step that is to be done once was done, for this one key. */
  done(step: string, key: string): void;
  /** What the body was given, and what would be right. */
  given(run: string, step: string, args: string, value: unknown, right: string): void;
  call: Workflow<Input>;
};

/** What a body knows: everything that it was given, in order. */
type Mind = { seen: string[]; input: number; context: unknown };

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export async function play(ctx: Context, input: Input, world: World): Promise<unknown> {
  const mind: Mind = { seen: [], input: input.n, context: ctx.context };
  let restored = (ctx.restored as { at: number; seen: string[] } | undefined) ?? { at: 0, seen: [] };
  mind.seen.push(...restored.seen);
  for (let at = restored.at; at < input.program.length; at += 1) {
    const part = input.program[at] as Part;
    if (part.do !== "checkpoint") {
      await perform(ctx, part, mind, world);
      continue;
    }
    restored = { at: at + 1, seen: mind.seen.slice(-2) };
    await ctx.checkpoint(restored);
    mind.seen.splice(0, Infinity, ...restored.seen);
  }
  return mind.seen;
}

async function perform(ctx: Context, part: Part, mind: Mind, world: World): Promise<void> {
  switch (part.do) {
    case "step":
      return step(ctx, part, mind, world);
    case "sequence":
      for (const one of part.parts) await perform(ctx, one, mind, world);
      return;
    case "together": {
      const all = part.parts.map(async (one) => perform(ctx, one, mind, world));
      for (const one of all) one.catch(() => {});
      if (part.how === "settled") await Promise.allSettled(all);
      else await (part.how === "all" ? Promise.all(all) : Promise.race(all));
      return;
    }
    case "branches": {
      const branches = Object.fromEntries(part.parts.map((one, i) => [`p${i}`, () => perform(ctx, one, mind, world)]));
      if (part.how === "all") await ctx.all(branches);
      else mind.seen.push((await ctx.race(branches)).key);
      return;
    }
    case "map": {
      const { name, items, concurrency } = part;
      const values = await ctx.map(name, items, { concurrency }, async (item) => {
        world.enter(ctx.runId, name, JSON.stringify(item));
        for (let i = 0; i < part.turns; i += 1) await turn();
        return valueOf(name, item);
      });
      for (const [i, value] of values.entries()) {
        world.given(ctx.runId, name, JSON.stringify(items[i]), value, valueOf(name, items[i]));
        mind.seen.push(value);
      }
      return;
    }
    case "scope":
      return ctx.scope(part.name, () => perform(ctx, part.part, mind, world));
    case "caught":
      try {
        await perform(ctx, part.part, mind, world);
      } catch (error) {
        mind.seen.push(`caught ${(error as Error).message}`);
      }
      return;
    case "if": {
      const heads = Number.parseInt(valueOf("if", [mind.seen, mind.input]).slice(3, 5), 16) % 2 === 0;
      return perform(ctx, heads ? part.part : part.other, mind, world);
    }
    case "loop":
      for (let i = 0; i < part.times; i += 1) await perform(ctx, part.part, mind, world);
      return;
    case "wait": {
      const about = part.declared ? { input: mind.seen.at(-1) ?? null } : {};
      const answer = await ctx.wait(part.name, { ...about, prompt: part.name });
      // Whoever is asked answers what is asked about; where that is not said, anything may come.
      if (part.declared) {
        const right = valueOf(part.name, about.input);
        world.given(ctx.runId, `wait ${part.name}`, JSON.stringify(about.input), answer, right);
      }
      mind.seen.push(String(answer));
      return;
    }
    case "call": {
      const value = await ctx.call(world.call, { program: [part.part], n: mind.seen.length });
      mind.seen.push(JSON.stringify(value));
      return;
    }
    case "checkpoint":
      return;
  }
}

async function step(ctx: Context, part: Part & { do: "step" }, mind: Mind, world: World): Promise<void> {
  const { name, uses, salt } = part;
  const { model = null } = (mind.context ?? {}) as { model?: unknown };
  const given =
    uses === "constant"
      ? salt
      : uses === "last"
        ? (mind.seen.at(-1) ?? mind.input)
        : uses === "context"
          ? mind.input
          : null;
  // What it really uses. A step that declares its input uses that, its version, and what it says of the context.
  const args = JSON.stringify(
    uses === "all"
      ? [world.code(), salt, mind.input, mind.context, mind.seen]
      : [given, salt, uses === "context" ? model : null],
  );
  const right = valueOf(name, args);
  const work = async (tools: StepTools): Promise<string> => {
    world.enter(ctx.runId, name, args);
    for (let i = 0; i < part.turns; i += 1) await turn();
    if (part.fails && world.broken()) throw notDone(new Error(`failed ${right}`));
    // What was made up for is done anew, under a key of its own.
    if (part.once) world.done(name, tools.idempotencyKey);
    return right;
  };
  const options = {
    input: world.lies && uses === "last" ? "something" : given,
    version: salt + 1,
    ...(uses === "context" ? { context: ["model"] } : {}),
  };
  const more = {
    ...(part.once ? { effect: "once" as const } : {}),
    ...(part.undone ? { compensate: (): void => undefined } : {}),
  };
  try {
    const value =
      uses === "all"
        ? await ctx.step(name, more, (_, tools) => work(tools))
        : await ctx.step(name, { ...options, ...more }, (_, tools) => work(tools));
    world.given(ctx.runId, name, args, value, right);
    mind.seen.push(value);
  } catch (error) {
    world.given(ctx.runId, name, args, (error as Error).message, `failed ${right}`);
    throw error;
  }
}
