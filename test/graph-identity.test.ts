/** What an executor does is known by its message, wherever in the supersteps it comes: in forks, restarts and graphs inside. */
import { expect, test } from "vitest";
import { z } from "zod";
import { executor, responseHandler, WorkflowBuilder } from "../src/graph.ts";
import type { DurableGraph, WorkflowContext } from "../src/graph.ts";
import type { RunHandle, RunId, Stemma } from "../src/index.ts";
import { stage, until } from "./stage.ts";

type Ctx = WorkflowContext<string, string>;
type Entered = { message: string; key: string }[];

/** Asks about each letter, and charges for each answer: once. */
function desk(entered: Entered, asked: string[] = []): DurableGraph<string, string> {
  const start = executor("start", (text: string, ctx: Ctx) => {
    for (const letter of text) ctx.sendMessage(letter);
  });
  const ask = executor<string, string, string>(
    "ask",
    {
      onResponse: responseHandler<string, string, string, string>({ response: z.string() }, (about, answer, ctx) =>
        ctx.sendMessage(`${about}=${answer}`),
      ),
    },
    (letter, ctx) => {
      asked.push(letter);
      ctx.requestInfo(letter, { prompt: `${letter}?` });
    },
  );
  const charge = executor<string, string, string>("charge", { effect: "once" }, (message, ctx) => {
    entered.push({ message, key: ctx.idempotencyKey });
    ctx.sendMessage(`charged ${message}`);
  });
  const end = executor("end", (message: string, ctx: Ctx) => ctx.yieldOutput(message));
  return new WorkflowBuilder<string, string>({ name: "desk", start })
    .addChain([start, ask, charge, end])
    .build()
    .durable();
}

/** Answers the questions about these, one after the other: each is worked on before the next. */
async function answer(stemma: Stemma, run: RunHandle<string[]>, answers: Record<string, string>): Promise<void> {
  for (const [about, value] of Object.entries(answers)) {
    const open = async () => (await stemma.waits({ run: run.id })).waits;
    await until(async () => (await open()).some(({ input }) => input === about));
    const wait = (await open()).find(({ input }) => input === about);
    await stemma.resume(run.id, wait?.key ?? "", value);
    await until(async () => {
      const history = await run.history();
      const end = history.at(-1)?.type;
      const isTaken = history.some(({ type, data }) => type === "step.succeeded" || type === "step.reused" ? "output" in data && JSON.stringify(data).includes(`charged ${about}`) : false);
      return isTaken && (end === "run.suspended" || end === "run.succeeded");
    });
  }
}

const checkpointsOf = async (stemma: Stemma, run: RunId): Promise<number[]> =>
  (await stemma.history(run)).flatMap(({ type, seq }) => (type === "checkpoint" ? [seq] : []));

test("a fork whose answers come in another order enters a once step with an equal message once", async () => {
  const entered: Entered = [];
  const graph = desk(entered);
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "ab");
  await answer(on.stemma, run, { a: "1", b: "2" });
  expect(await run.result()).toEqual(["charged a=1", "charged b=2"]);
  const [first, asked] = await checkpointsOf(on.stemma, run.id);
  for (const checkpoint of [first, asked]) {
    const fork = (await on.stemma.fork(run.id, { checkpoint: checkpoint ?? 0 })) as RunHandle<string[]>;
    await answer(on.stemma, fork, { b: "2", a: "1" });
    expect(await fork.result()).toEqual(["charged b=2", "charged a=1"]);
  }
  expect(entered.map(({ message }) => message)).toEqual(["a=1", "b=2"]);
});
