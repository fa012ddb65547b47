/** In memory too, what is sent to services so that they do not act twice is the same for the same work, and for no other. */
import { expect, test } from "vitest";
import { z } from "zod";
import type { Workflow, WorkflowContext } from "../src/graph.ts";
import { executor, memoryCheckpoints, responseHandler, WorkflowBuilder, WorkflowExecutor } from "../src/graph.ts";
import { errorOf } from "./stage.ts";

type Ctx = WorkflowContext<string, string>;

test("an invocation that is made again behind a failure has its key, in a resumed run of a resumed run; with another message it has not", async () => {
  const keys: string[] = [];
  let fails = 2;
  const graph = (): Workflow<string, string> => {
    const start = executor("start", (text: string, ctx: Ctx) => ctx.sendMessage(text));
    const pay = executor("pay", (text: string, ctx: Ctx) => {
      keys.push(ctx.idempotencyKey);
      if ((fails -= 1) >= 0) throw new Error("the line is dead");
      ctx.yieldOutput(text);
    });
    return new WorkflowBuilder<string, string>({ name: "pays", start }).addEdge(start, pay).build();
  };
  const checkpointStorage = memoryCheckpoints();
  let checkpointId = (await errorOf(graph().run("x", { checkpointStorage }))).data?.["checkpoint"] as never;
  const first = checkpointId;
  // The second run saves one of its own, because its storage is asked for the one with the message as it was.
  const again = graph().run({ checkpointId, fork: { messages: (data) => data } }, { checkpointStorage });
  checkpointId = (await errorOf(again)).data?.["checkpoint"] as never;
  expect(checkpointId).not.toBe(first);
  expect((await graph().run({ checkpointId }, { checkpointStorage })).outputs).toEqual(["x"]);
  expect([keys.length, new Set(keys).size]).toEqual([3, 1]);
  await graph().run({ checkpointId, fork: { messages: () => "y" } }, { checkpointStorage });
  await graph().run({ checkpointId, fork: { state: { other: 1 } } }, { checkpointStorage });
  await graph().run("x", { checkpointStorage });
  expect(new Set(keys).size, "another message, another state, another run").toBe(4);
});

test("answers in another order lead to the same work with the same keys, inside a graph too; along two edges each has its own", async () => {
  for (const isInside of [false, true]) {
    const keys = new Map<string, string[]>();
    const ask = executor<string, string>(
      "ask",
      { onResponse: responseHandler<string, string, string>({}, (about, said, ctx) => ctx.sendMessage(about + said)) },
      (letter, ctx) => void ctx.requestInfo(letter, { id: letter }),
    );
    const pay = executor<string, never, string>("pay", (text, ctx) => {
      keys.set(text, [...(keys.get(text) ?? []), ctx.idempotencyKey]);
      ctx.yieldOutput(text);
    });
    const nobody = executor<string, never, string>("nobody", { input: z.string().startsWith("no") }, () => 0);
    const paying = new WorkflowBuilder<string, string>({ name: "paying", start: pay }).build();
    const build = (): Workflow<string, string> => {
      const to = isInside ? new WorkflowExecutor(paying, "inside", { allowDirectOutput: true }) : pay;
      const start = executor("start", (text: string, ctx: Ctx) => {
        for (const letter of text) ctx.sendMessage(letter);
      });
      const graph = new WorkflowBuilder<string, string>({ name: "pays", start }).addEdge(start, ask).addEdge(ask, to);
      return graph.addFanOutEdges(ask, [to, nobody]).build();
    };
    const checkpointStorage = memoryCheckpoints();
    const checkpointId = (await build().run("ab", { checkpointStorage })).checkpointId!;
    for (const order of ["ab", "ba"]) {
      const graph = build();
      const [first = "", then = ""] = order;
      await graph.run({ checkpointId, responses: { [first]: "!" } }, { checkpointStorage });
      await graph.run({ responses: { [then]: "!" } });
    }
    expect([...keys.values()].map((all) => [all.length, new Set(all).size])).toEqual([
      [4, 2],
      [4, 2],
    ]);
  }
});

test("graphs inside that were given two messages, equal or not, have keys of their own", async () => {
  const keys: string[] = [];
  const pay = executor("pay", (_: string, ctx: Ctx) => void keys.push(ctx.idempotencyKey));
  const inner = new WorkflowBuilder<string, string>({ name: "inner", start: pay }).build();
  const start = executor("start", (text: string, ctx: Ctx) => {
    for (const letter of text) ctx.sendMessage(letter);
  });
  const graph = new WorkflowBuilder<string, string>({ name: "outer", start })
    .addEdge(start, new WorkflowExecutor(inner, "inside"))
    .build();
  await graph.run("aab");
  expect([keys.length, new Set(keys).size]).toEqual([3, 3]);
});
