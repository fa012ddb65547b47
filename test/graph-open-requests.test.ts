/** Requests that stay open while a graph under the engine goes on: superstep by superstep, through crashes, into forks. */
import { expect, test } from "vitest";
import { z } from "zod";
import { executor, responseHandler, WorkflowBuilder } from "../src/graph.ts";
import type { DurableGraph, WorkflowContext } from "../src/graph.ts";
import { components } from "../src/index.ts";
import type { Event, RunHandle, Stemma } from "../src/index.ts";
import type { Scene } from "./crashes.ts";
import { playEveryCrash } from "./crashes.ts";
import { errorOf, stage, until } from "./stage.ts";

type Ctx = WorkflowContext<string, string>;

/** Asks for `a` and `b`, and walks three supersteps meanwhile; each answer is carried three supersteps too. */
function walks(fails: () => boolean = () => false): DurableGraph<undefined, string> {
  const start = executor("start", (_: undefined, ctx: Ctx) => {
    for (const letter of ["a", "b"]) ctx.sendMessage(letter, { target: "ask" });
    ctx.sendMessage("meanwhile", { target: "walk" });
  });
  const ask = executor<string, string, string>(
    "ask",
    {
      onResponse: responseHandler<string, string, string, string>({ response: z.string() }, (asked, answer, ctx) =>
        ctx.sendMessage(`${asked}=${answer}`),
      ),
    },
    (letter, ctx) => void ctx.requestInfo(letter, { id: letter, prompt: `${letter}?` }),
  );
  const walk = executor("walk", (word: string, ctx: Ctx) => {
    if (word === "meanwhile." && fails()) throw new Error("it fails once");
    if (word.endsWith("..")) ctx.yieldOutput(word.slice(0, -2));
    else ctx.sendMessage(`${word}.`, { target: "walk" });
  });
  return new WorkflowBuilder<undefined, string>({ name: "walks", start })
    .addFanOutEdges(start, [ask, walk])
    .addEdge(ask, walk)
    .addEdge(walk, walk)
    .build()
    .durable();
}

const countOf = (history: readonly Event[], type: Event["type"]): number =>
  history.filter((event) => event.type === type).length;
const outputsOf = (history: readonly Event[]): number =>
  history.filter(({ type, data }) => type === "step.succeeded" && JSON.stringify(data).includes('yielded":["')).length;
const openOf = async (stemma: Stemma, run: RunHandle): Promise<Awaited<ReturnType<Stemma["waits"]>>["waits"]> =>
  (await stemma.waits({ run: run.id })).waits;
/** Comes to rest when so many executors have given their output. */
const atRest = (run: RunHandle, outputs: number): Promise<void> =>
  until(async () => {
    const history = await run.history();
    return outputsOf(history) === outputs && history.at(-1)?.type === "run.suspended";
  });

test("63, 64: requests are open over supersteps, each with its checkpoint, and each request is one wait with one key", async () => {
  const graph = walks();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, undefined);
  await atRest(run, 1);
  const asked = await openOf(on.stemma, run);
  expect(asked.map(({ input, prompt }) => [input, prompt])).toEqual([
    ["a", "a?"],
    ["b", "b?"],
  ]);
  const before = await run.history();
  expect([countOf(before, "wait.opened"), countOf(before, "checkpoint")]).toEqual([2, 4]);
  // Some of the answers: the rest stays open, under the key that it had.
  await on.stemma.resume(run.id, asked[1]!.key, "2");
  await atRest(run, 2);
  expect((await openOf(on.stemma, run)).map(({ key }) => key)).toEqual([asked[0]!.key]);
  await on.stemma.resume(run.id, asked[1]!.key, "a second answer, which changes nothing");
  await on.stemma.resume(run.id, asked[0]!.key, "1");
  expect(await run.result()).toEqual(["meanwhile", "b=2", "a=1"]);
  const history = await run.history();
  expect([countOf(history, "wait.opened"), countOf(history, "wait.withdrawn")]).toEqual([2, 0]);
  expect(countOf(history, "checkpoint")).toBe(12);
  expect(components(await run.trace())).toBe(1);
});

test("a crash at any commit while requests are open asks nobody twice, and no answer is lost", async () => {
  const act = async ({ stemma, run }: Scene): Promise<unknown> => {
    // The younger question first, so that supersteps go on behind an answer while another is still missing.
    const last = (await openOf(stemma, run)).at(-1);
    return last && stemma.resume(run.id, last.key, `to ${String(last.input)}`);
  };
  const crashes = await playEveryCrash(
    walks(),
    act,
    () => undefined,
    ({ history, fault }) => {
      const end = history.at(-1);
      const at = `${fault?.point} ${fault?.at}`;
      expect(end?.type === "run.succeeded" && end.data.output, at).toEqual({
        inline: ["meanwhile", "b=to b", "a=to a"],
      });
      expect([countOf(history, "wait.opened"), countOf(history, "wait.answered")], at).toEqual([2, 2]);
      expect(countOf(history, "wait.withdrawn"), at).toBe(0);
      expect(countOf(history, "checkpoint"), at).toBe(12);
    },
  );
  expect(crashes, "each superstep and each answer is a commit or more").toBeGreaterThan(12);
});

test("63: who goes on from a checkpoint with requests open is asked them anew, from each such checkpoint", async () => {
  const graph = walks();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, undefined);
  await atRest(run, 1);
  const asked = await openOf(on.stemma, run);
  const checkpoints = (await run.history()).filter(({ type }) => type === "checkpoint").slice(1);
  expect(checkpoints).toHaveLength(3);
  for (const { seq: checkpoint } of checkpoints) {
    const fork = await on.stemma.fork(run.id, { checkpoint, reuse: "none" });
    await until(async () => (await openOf(on.stemma, fork)).length === 2);
    const again = await openOf(on.stemma, fork);
    expect(again.map(({ input, prompt }) => [input, prompt])).toEqual(
      asked.map(({ input, prompt }) => [input, prompt]),
    );
    for (const { key, input } of again) await on.stemma.resume(fork.id, key, `${String(input)} there`);
    expect(((await fork.result()) as string[]).toSorted()).toEqual(["a=a there", "b=b there", "meanwhile"]);
    expect(components(await on.stemma.trace(fork.id, { family: true }))).toBe(1);
  }
  // What was answered there is open here, and is answered otherwise.
  expect((await openOf(on.stemma, run)).map(({ key }) => key)).toEqual(asked.map(({ key }) => key));
  for (const { key } of asked) await on.stemma.resume(run.id, key, "here");
  expect((await run.result()).toSorted()).toEqual(["a=here", "b=here", "meanwhile"]);
});

test("61: a restart of a graph that failed with requests open goes on from its last checkpoint, and asks them anew", async () => {
  let fails = true;
  const graph = walks(() => fails);
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, undefined);
  expect((await errorOf(run.result())).message).toContain("it fails once");
  expect(await openOf(on.stemma, run), "of a run that has ended nobody is asked").toEqual([]);
  fails = false;
  const again = await on.stemma.restart(run.id);
  await until(async () => (await openOf(on.stemma, again)).length === 2);
  for (const { key, input } of await openOf(on.stemma, again)) await on.stemma.resume(again.id, key, String(input));
  expect(((await again.result()) as string[]).toSorted()).toEqual(["a=a", "b=b", "meanwhile"]);
  expect(components(await on.stemma.trace(again.id, { family: true }))).toBe(1);
});
