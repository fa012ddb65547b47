/**
 * Whatever a node that dies again and again says in whatever order: each of its calls gets what it asked for, of equal calls
 * the nth gets the nth, no more are made than any of the node's processes asked for, and who reads the history knows of each
 * call what the run did.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { components } from "../../src/index.ts";
import type { Execution } from "../../src/api/agents/execution.ts";
import { silent, until } from "../stage.ts";
import { serve } from "../server/place.ts";
import { rawNode } from "./raw-node.ts";
import { Agent } from "../../src/agents.ts";

type Said = { kind: "call" | "local" | "ask"; input: number };
const said: fc.Arbitrary<Said> = fc.record({
  kind: fc.constantFrom("call" as const, "call" as const, "call" as const, "local" as const, "ask" as const),
  input: fc.integer({ min: 0, max: 2 }),
});
/** Of each process of the node: what it says, and how much of that at a time. */
const lives = fc.array(fc.record({ all: fc.array(said, { maxLength: 8 }), atOnce: fc.integer({ min: 1, max: 4 }) }), {
  minLength: 1,
  maxLength: 3,
});

test("calls of an execution are what its processes asked for, in any order", { timeout: 120_000 }, async () => {
  await using at = await serve([]);
  const { agents, stemma } = at;
  if (agents === undefined) throw new Error("expected agents");
  let made = 0;
  const beta = new Agent({ nodeId: "beta", server: at.url, log: silent });
  beta.skill("echo", (_ctx, input) => ({ input, n: (made += 1) }));
  await using serving = await beta.serve();
  expect(serving.port).toBeGreaterThan(0);
  let count = 0;

  await fc.assert(
    fc.asyncProperty(lives, async (processes) => {
      await using node = await rawNode();
      count += 1;
      const name = `alpha${count}`;
      const functions = [{ name: "root" }];
      const madeBefore = made;
      let run = "";
      const results = new Map<number, unknown[]>();
      for (const [life, { all, atOnce }] of processes.entries()) {
        await agents.register({ node: name, url: node.url, instance: `i${life}`, functions });
        if (life === 0) run = (await agents.call({ target: `${name}.root` })).id;
        await until(async () => node.given.length > life);
        const caller = node.given[life]?.id ?? "";
        const own = new Map<number, unknown[]>();
        for (let i = 0; i < all.length; i += atOnce) {
          const now = all.slice(i, i + atOnce);
          // Of those that are said at once nobody knows which comes first, so they are told apart by their input.
          const told = now.filter((one, k) => now.findIndex((other) => other.input === one.input) === k);
          const ends = await Promise.all(
            told.map(async ({ kind, input }, k): Promise<[Said, Execution | undefined]> => {
              if (kind === "local") {
                const local = { id: `${life} ${i} ${k}`, target: `${name}.own`, input };
                await agents.local(caller, { ...local, status: "running" });
                await agents.local(caller, { ...local, status: "succeeded", output: { input } });
                return [{ kind, input }, undefined];
              }
              if (kind === "ask") {
                await agents.ask(caller, { name: `question ${input}`, input });
                return [{ kind, input }, undefined];
              }
              const { id } = await agents.call({ target: "beta.echo", input, caller });
              return [{ kind, input }, await agents.read(id, { waitMs: 20_000 })];
            }),
          );
          for (const [{ kind, input }, end] of ends) {
            if (kind !== "call") continue;
            expect(end).toMatchObject({ status: "succeeded", input, output: { input } });
            own.set(input, [...(own.get(input) ?? []), end?.output]);
          }
        }
        for (const [input, outputs] of own) {
          const known = results.get(input) ?? [];
          const shared = Math.min(known.length, outputs.length);
          expect(outputs.slice(0, shared)).toEqual(known.slice(0, shared));
          if (outputs.length > known.length) results.set(input, outputs);
        }
      }
      const wanted = [...results.values()].reduce((sum, outputs) => sum + outputs.length, 0);
      expect(made - madeBefore).toBe(wanted);
      const course = await agents.course(run);
      expect(course.calls.map(({ run: called }) => called)).toHaveLength(wanted);
      for (const call of course.calls) {
        const execution = await agents.read(String(call.run));
        expect(execution).toMatchObject({ caller: { run, key: call.key }, input: call.messages[0]?.input });
      }
      await agents.report(run, { ok: true, output: "done" });
      expect(await agents.read(run, { waitMs: 20_000 })).toMatchObject({ status: "succeeded", output: "done" });
      expect(components(await stemma.trace(run, { family: true }))).toBe(1);
      const history = await stemma.history(run);
      const locals = history.filter(
        ({ type, data }) => type === "step.succeeded" && data.key.startsWith(`${name}.own`),
      );
      expect(locals).toHaveLength([...course.locals.values()].length);
    }),
    { numRuns: Number(process.env["STEMMA_COURSES"] ?? 12) },
  );
});
