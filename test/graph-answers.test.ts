/** Answers that come while a graph under the engine is at work: none is lost, and none is asked for twice. */
import { expect, test } from "vitest";
import { z } from "zod";
import { executor, responseHandler, WorkflowBuilder } from "../src/graph.ts";
import type { DurableGraph, WorkflowContext } from "../src/graph.ts";
import { fakeClock } from "../src/testing.ts";
import { fresh, stage, until } from "./stage.ts";

type Ctx = WorkflowContext<string, string>;

/** Asks for each letter, and works on meanwhile as long as `work` says. */
function busy(work: (n: number) => void | Promise<void>): DurableGraph<string, string> {
  const start = executor("start", (letters: string, ctx: Ctx) => {
    for (const letter of letters) ctx.sendMessage(letter);
    ctx.sendMessage("1", { target: "work" });
  });
  const ask = executor<string, string, string>(
    "ask",
    {
      onResponse: responseHandler<string, string, string, string>({ response: z.string() }, (asked, answer, ctx) =>
        ctx.yieldOutput(`${asked}=${answer}`),
      ),
    },
    (letter, ctx) => void ctx.requestInfo(letter, { id: letter, prompt: `${letter}?` }),
  );
  const working = executor("work", async (n: string, ctx: Ctx) => {
    await work(Number(n));
    if (Number(n) < 4) ctx.sendMessage(String(Number(n) + 1));
    else ctx.yieldOutput("worked");
  });
  return new WorkflowBuilder<string, string>({ name: "busy", start })
    .addRoutes(start, [
      { to: ask, when: (letter: string) => !/\d/u.test(letter) },
      { to: working, otherwise: true },
    ])
    .addEdge(working, working)
    .build()
    .durable();
}

const waits = (history: readonly { type: string }[]): number =>
  history.filter(({ type }) => type === "wait.opened").length;

test("an answer that comes while a superstep is at work is taken at its end, and the question is not asked again", async () => {
  const gate = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  const graph = busy((n) => {
    if (n !== 3) return undefined;
    entered.resolve();
    return gate.promise;
  });
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "a");
  await entered.promise;
  const [wait] = (await on.stemma.waits()).waits;
  await on.stemma.resume(run.id, wait!.key, "yes");
  await until(async () => (await run.history()).some(({ type }) => type === "wait.answered"));
  gate.resolve();
  expect((await run.result()).toSorted()).toEqual(["a=yes", "worked"]);
  expect(waits(await run.history())).toBe(1);
});

test("an answer that came in before a checkpoint is in it, so whoever goes on from there has it", async () => {
  const [clock, store] = [fakeClock(), fresh()];
  const entered = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  let stops = true;
  const graph = busy((n) => {
    if (n === 3 && stops) {
      entered.resolve();
      return gate.promise;
    }
    // The superstep behind the answer's: the process dies in it.
    return n === 4 && stops ? new Promise(() => {}) : undefined;
  });
  const dying = await stage([graph], { store, clock });
  const run = await dying.stemma.run(graph, "a");
  await entered.promise;
  await dying.stemma.resume(run.id, (await dying.stemma.waits()).waits[0]!.key, "yes");
  await until(async () => (await run.history()).some(({ type }) => type === "wait.answered"));
  gate.resolve();
  const checkpoints = async (): Promise<number> =>
    (await run.history()).filter(({ type }) => type === "checkpoint").length;
  await until(async () => (await checkpoints()) >= 3);
  dying.stemma.abandon();
  stops = false;
  await using next = await stage([graph], { store, clock });
  await clock.advance("15s");
  const again = await next.stemma.get(run.id);
  expect(((await again.result()) as string[]).toSorted()).toEqual(["a=yes", "worked"]);
  expect(waits(await again.history())).toBe(1);
});

test("a fork from a checkpoint with another answer is given it at once, and asks for the others", async () => {
  const graph = busy(() => undefined);
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "ab");
  await until(async () => (await on.stemma.waits()).waits.length === 2);
  const asked = (await on.stemma.waits()).waits;
  for (const { key } of asked) await on.stemma.resume(run.id, key, "yes");
  await run.result();
  const checkpoint = (await run.history()).find(({ type }) => type === "checkpoint")!.seq;
  const key = asked.find(({ input }) => input === "a")!.key;
  const fork = await on.stemma.fork(run.id, { checkpoint, outputs: { [key]: "no" } });
  await until(async () => (await on.stemma.waits({ run: fork.id })).waits.length === 1);
  const [other] = (await on.stemma.waits({ run: fork.id })).waits;
  expect(other).toMatchObject({ input: "b" });
  await on.stemma.resume(fork.id, other!.key, "yes");
  expect(((await fork.result()) as string[]).toSorted()).toEqual(["a=no", "b=yes", "worked"]);
  expect(waits(await fork.history())).toBe(1);
});
