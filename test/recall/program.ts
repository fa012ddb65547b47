/**
 * Random concurrent programs: trees of everything that a workflow function can do. A program is data, so it can be
 * printed, shrunk and changed; `interpret` runs it on a real `ctx` and notes what it observes, place by place.
 */
import fc from "fast-check";
import type { Context } from "../../src/index.ts";

export type Program =
  | { do: "step"; name: string; input?: number; turns: number; fails: boolean; effect?: "once" }
  | { do: "sequence"; parts: Program[] }
  | { do: "together"; how: "all" | "race" | "any" | "settled"; parts: Program[] }
  | { do: "branches"; how: "all" | "race"; parts: Program[] }
  | { do: "map"; name: string; items: number[]; concurrency: number; turns: number }
  | { do: "scope"; name: string; part: Program }
  | { do: "detach"; part: Program }
  | { do: "caught"; part: Program }
  | { do: "hops"; count: number; part: Program }
  | { do: "sleep"; ms: number }
  | { do: "io"; turns: number; part: Program }
  | { do: "chance"; part: Program; other: Program }
  | { do: "patched"; name: string; part: Program; other: Program };

const names = ["a", "b", "c"] as const;
const name = fc.constantFrom(...names);
const turns = fc.integer({ min: 0, max: 4 });

const { program: anyProgram } = fc.letrec<{ program: Program }>((tie) => {
  const step = fc.record(
    {
      do: fc.constant("step" as const),
      name,
      input: fc.integer({ min: 0, max: 2 }),
      turns,
      fails: fc.nat(9).map((n) => n === 0),
    },
    { requiredKeys: ["do", "name", "turns", "fails"] },
  );
  const parts = fc.array(tie("program"), { minLength: 1, maxLength: 4 });
  const part = tie("program");
  return {
    program: fc.oneof(
      { depthSize: "large", maxDepth: 6, withCrossShrink: true },
      { weight: 6, arbitrary: step },
      { weight: 4, arbitrary: fc.record({ do: fc.constant("sequence" as const), parts }) },
      {
        weight: 4,
        arbitrary: fc.record({
          do: fc.constant("together" as const),
          how: fc.constantFrom("all" as const, "race" as const, "race" as const, "any" as const, "settled" as const),
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
        weight: 1,
        arbitrary: fc.record({
          do: fc.constant("map" as const),
          name,
          items: fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 5 }),
          concurrency: fc.integer({ min: 1, max: 3 }),
          turns,
        }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("scope" as const), name, part }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("detach" as const), part }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("caught" as const), part }) },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constant("hops" as const), count: fc.integer({ min: 1, max: 5 }), part }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("sleep" as const), ms: fc.integer({ min: 0, max: 30 }) }) },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constant("io" as const), turns: fc.integer({ min: 1, max: 6 }), part }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("chance" as const), part, other: part }) },
    ),
  };
});

export const programs: fc.Arbitrary<Program> = anyProgram;

/** What a program does to the world outside: enters a step's function. */
export type World = {
  /** Whether equal names must be told apart by their place: with plain I/O the order of asks is not the body's. */
  apart: boolean;
  enter(name: string, input: unknown, idempotencyKey: string): void;
  /** A value that no other execution returns. */
  fresh(name: string, input: unknown): string;
};

/** What one activation observed, at each place of the program, in order. */
export type Notes = { write(place: string, what: string): void };

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function turnsLater(count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) await turn();
}

/** Runs a program. `place` is the path in the tree, so that notes of concurrent parts do not mix. */
export async function interpret(
  ctx: Context,
  whole: Program,
  world: World,
  notes: Notes,
  from = ".",
): Promise<unknown> {
  let [program, place] = [whole, from];
  // A guard is an `if`: the code behind it takes no more turns than without it. The old part stands where it stood.
  while (program.do === "patched") {
    const taken = ctx.patched(program.name);
    notes.write(`patch ${program.name}`, taken ? "new" : "old");
    [program, place] = taken ? [program.part, `${place}new.`] : [program.other, place];
  }
  const at = (i: number | string): string => `${place}${i}.`;
  const own = (base: string): string => (world.apart ? `${base}${place.replaceAll(/[^0-9a-z]/g, "_")}` : base);
  switch (program.do) {
    case "step": {
      const run = async (input: unknown, tools: { idempotencyKey: string }): Promise<string> => {
        world.enter(program.name, input, tools.idempotencyKey);
        await turnsLater(program.turns);
        if (program.fails) throw new Error(`failed ${world.fresh(program.name, input)}`);
        return world.fresh(program.name, input);
      };
      try {
        const value =
          program.input === undefined
            ? await ctx.step(own(program.name), run)
            : await ctx.step(own(program.name), { input: program.input }, run);
        notes.write(place, `got ${value}`);
        return value;
      } catch (error) {
        notes.write(place, `threw ${(error as Error).message}`);
        throw error;
      }
    }
    case "sequence": {
      const values: unknown[] = [];
      for (const [i, part] of program.parts.entries()) values.push(await interpret(ctx, part, world, notes, at(i)));
      return values;
    }
    case "together": {
      const parts = program.parts.map(async (part, i) => {
        const value = await interpret(ctx, part, world, notes, at(i));
        return { i, value };
      });
      for (const part of parts) part.catch(() => {});
      if (program.how === "all") return Promise.all(parts);
      if (program.how === "settled") return (await Promise.allSettled(parts)).map((part) => part.status);
      const winner = await (program.how === "race" ? Promise.race(parts) : Promise.any(parts));
      notes.write(place, `winner ${winner.i}`);
      // What comes next depends on who won.
      return ctx.step(own(`won${winner.i}`), () => world.fresh("won", winner.i));
    }
    case "branches": {
      const branches = Object.fromEntries(
        program.parts.map((part, i) => [own(`p${i}`), () => interpret(ctx, part, world, notes, at(i))]),
      );
      if (program.how === "all") return ctx.all(branches);
      const winner = await ctx.race(branches);
      notes.write(place, `raced ${winner.key}`);
      return ctx.step(own(`raced-${winner.key}`), () => world.fresh("raced", winner.key));
    }
    case "map":
      return ctx.map(own(program.name), program.items, { concurrency: program.concurrency }, async (item, tools) => {
        world.enter(program.name, item, tools.idempotencyKey);
        await turnsLater(program.turns);
        return world.fresh(program.name, item);
      });
    case "scope":
      return ctx.scope(own(program.name), () => interpret(ctx, program.part, world, notes, at("s")));
    case "detach":
      interpret(ctx, program.part, world, notes, at("d")).catch(() => {});
      return "detached";
    case "caught":
      try {
        return await interpret(ctx, program.part, world, notes, at("c"));
      } catch (error) {
        notes.write(place, `caught ${(error as Error).message}`);
        return "caught";
      }
    case "hops":
      for (let i = 0; i < program.count; i += 1) await Promise.resolve();
      try {
        return await interpret(ctx, program.part, world, notes, at("h"));
      } finally {
        for (let i = 0; i < program.count; i += 1) await Promise.resolve();
      }
    case "sleep":
      await ctx.sleep(own("nap"), program.ms);
      notes.write(place, `slept until ${ctx.now() > 0}`);
      return "slept";
    case "io":
      await turnsLater(program.turns);
      await interpret(ctx, program.part, world, notes, at("io"));
      // A part that ends in plain I/O would race with recorded outcomes by the clock, which no engine can repeat.
      return ctx.step(own("after-io"), () => world.fresh("after-io", 0));
    case "chance": {
      // Draws are counted in each scope, and two that race through plain I/O would swap: then each has its own scope.
      const draw = world.apart ? await ctx.scope(own("coin"), () => ctx.random()) : ctx.random();
      const heads = draw < 0.5;
      notes.write(place, heads ? "heads" : "tails");
      return interpret(ctx, heads ? program.part : program.other, world, notes, at(heads ? "x" : "y"));
    }
  }
}
