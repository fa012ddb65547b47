/** Functions of nodes, called from workflows, from each other and over HTTP: recorded, reused and cancelled like any run. */
import { expect, test } from "vitest";
import { components, workflow } from "../../src/index.ts";
import { StepError, fatal } from "../../src/agents.ts";
import { until } from "../stage.ts";
import { plane } from "./place.ts";

test("a workflow calls a function of a node, which calls others: one connected family of runs", async () => {
  const top = workflow({ name: "top" }, (ctx, topic: string) => ctx.call<string>("writer.write", { topic }));
  await using at = await plane([top]);
  await at.node("reader", (agent) => {
    agent.skill("facts", (_ctx, { topic }: { topic: string }) => [`${topic} is old`, `${topic} is new`]);
  });
  await at.node("writer", (agent) => {
    agent.reasoner("write", async (ctx, { topic }: { topic: string }) => {
      const facts = await ctx.call<string[]>("reader.facts", { topic });
      const lines = await Promise.all(facts.map((fact) => ctx.call<string>("writer.line", { fact })));
      return lines.join(" ");
    });
    agent.skill("line", (_ctx, { fact }: { fact: string }) => `${fact}.`);
  });
  const run = await at.stemma.run(top, "paper");
  expect(await run.result()).toBe("paper is old. paper is new.");
  const { runs } = await at.stemma.lineage(run.id);
  expect(runs.map(({ workflow: name, status }) => `${name} ${status}`).toSorted()).toEqual([
    "reader.facts succeeded",
    "top succeeded",
    "writer.line succeeded",
    "writer.line succeeded",
    "writer.write succeeded",
  ]);
  expect(components(await at.stemma.trace(run.id, { family: true }))).toBe(1);
  for (const { id } of runs) expect((await at.stemma.verify(id)).ok).toBe(true);
});

test("a function that failed is entered again in a restart, and what it had called is reused: the nth gets the nth", async () => {
  await using at = await plane();
  const entered: string[] = [];
  let broken = true;
  let dice = 0;
  await at.node("alpha", (agent) => {
    agent.reasoner("root", async (ctx) => {
      entered.push("root");
      const rolled = [await ctx.call("alpha.roll"), await ctx.call("alpha.roll"), await ctx.call("alpha.roll")];
      if (broken) throw new Error("not today");
      return rolled;
    });
    agent.skill("roll", () => {
      entered.push("roll");
      return (dice += 1);
    });
  });
  const { body } = await at.post("/v1/calls", { target: "alpha.root", input: { n: 1 } });
  const ended = await at.get(`/v1/calls/${String(body["id"])}?wait=20000`);
  expect(ended.body).toMatchObject({ status: "failed", attempt: 1, error: { message: "not today" } });
  broken = false;
  const again = await at.stemma.restart<number[]>(String(body["id"]), { reason: "it was broken" });
  expect(await again.result()).toEqual([1, 2, 3]);
  expect(entered).toEqual(["root", "roll", "roll", "roll", "root"]);
  const { runs } = await at.stemma.lineage(again.id);
  expect(components(await at.stemma.trace(again.id, { family: true }))).toBe(1);
  expect(runs).toHaveLength(5);
});

test("what a function throws reaches its caller with name, code and data, and a failure that was caught fails nobody", async () => {
  await using at = await plane();
  await at.node("alpha", (agent) => {
    agent.reasoner("root", async (ctx) => {
      try {
        return await ctx.call("alpha.bad", { n: 1 });
      } catch (error) {
        const { name, code, message, data, cause } = error as StepError;
        const why = cause instanceof StepError ? cause.message : "";
        return { isStepError: error instanceof StepError, name, code, message, data, why };
      }
    });
    agent.skill("bad", () => {
      throw Object.assign(new RangeError("too far", { cause: new Error("the wind") }), {
        code: "FAR",
        data: { by: 3 },
      });
    });
  });
  const { body } = await at.post("/v1/calls", { target: "alpha.root" });
  const ended = await at.get(`/v1/calls/${String(body["id"])}?wait=20000`);
  expect(ended.body["output"]).toEqual({
    isStepError: true,
    name: "RangeError",
    code: "FAR",
    message: "too far",
    data: { by: 3 },
    why: "the wind",
  });
});

test("a function is tried again as often as its node says, and not where it says that it is of no use", async () => {
  await using at = await plane();
  const entered: string[] = [];
  await at.node("alpha", (agent) => {
    agent.reasoner("flaky", { retry: { attempts: 3, delay: 1 } }, async (ctx) => {
      entered.push(`flaky ${await ctx.call<number>("alpha.count")}`);
      if (entered.length < 3) throw new Error("once more", { cause: new Error("the line broke") });
      return "done";
    });
    agent.skill("count", () => entered.length);
    agent.skill("hopeless", { retry: { attempts: 3, delay: 1 } }, () => {
      entered.push("hopeless");
      throw fatal(new Error("never"));
    });
  });
  const { body } = await at.post("/v1/calls", { target: "alpha.flaky" });
  expect((await at.get(`/v1/calls/${String(body["id"])}?wait=20000`)).body).toMatchObject({
    status: "succeeded",
    output: "done",
    attempt: 3,
  });
  // What it had called and had succeeded is its own, also in the next attempt.
  expect(entered).toEqual(["flaky 0", "flaky 0", "flaky 0"]);
  const hopeless = await at.post("/v1/calls", { target: "alpha.hopeless" });
  expect((await at.get(`/v1/calls/${String(hopeless.body["id"])}?wait=20000`)).body["status"]).toBe("failed");
  expect(entered.filter((one) => one === "hopeless")).toHaveLength(1);
});

test("a cancel ends what was called first, and reaches the nodes that work on it", async () => {
  await using at = await plane();
  const aborted: string[] = [];
  const forever = (name: string, abort: AbortSignal): Promise<never> =>
    new Promise((_, reject) => {
      abort.addEventListener("abort", () => {
        aborted.push(name);
        reject(new Error("aborted"));
      });
    });
  await at.node("alpha", (agent) => {
    agent.reasoner("root", (ctx) => {
      // That what it called was cancelled is nothing to it: it ends when it is told to.
      void ctx.call("alpha.slow");
      return forever("root", ctx.abort);
    });
    agent.skill("slow", (ctx) => forever("slow", ctx.abort));
  });
  const { body } = await at.post("/v1/calls", { target: "alpha.root" });
  const id = String(body["id"]);
  await until(async () => (await at.stemma.list({ workflow: "alpha.slow", status: ["suspended"] })).runs.length === 1);
  const cancelled = await at.post(`/v1/calls/${id}/cancel`, { reason: "enough" });
  expect(cancelled.body).toMatchObject({ accepted: true });
  expect((await at.get(`/v1/calls/${id}?wait=20000`)).body["status"]).toBe("cancelled");
  expect((await at.stemma.list({ workflow: "alpha.slow" })).runs[0]?.state.status).toBe("cancelled");
  await until(async () => aborted.length === 2);
  expect(aborted.toSorted()).toEqual(["root", "slow"]);
});

test("a question of a function is a wait of its run: the answer goes on to it", async () => {
  await using at = await plane();
  await at.node("alpha", (agent) => {
    agent.reasoner("publish", (ctx, draft: string) =>
      ctx.wait<{ approve: boolean }>("approval", { input: draft, prompt: "Publish?" }),
    );
  });
  const { body } = await at.post("/v1/calls", { target: "alpha.publish", input: "text" });
  const id = String(body["id"]);
  await until(async () => (await at.stemma.waits({ run: id })).waits.some(({ name }) => name === "approval"));
  const waits = (await at.stemma.waits({ kind: "approval" })).waits.map(({ name, input, prompt }) => ({
    name,
    input,
    prompt,
  }));
  expect(waits).toEqual([{ name: "approval", input: "text", prompt: "Publish?" }]);
  await at.stemma.resume(id, "approval", { approve: true });
  expect((await at.get(`/v1/calls/${id}?wait=20000`)).body).toMatchObject({ output: { approve: true } });
});

test("a result is taken once: the same again changes nothing, another one is refused", async () => {
  await using at = await plane();
  await at.node("alpha", (agent) => agent.skill("one", () => 1));
  const { body } = await at.post("/v1/calls", { target: "alpha.one" });
  const id = String(body["id"]);
  await at.get(`/v1/calls/${id}?wait=20000`);
  expect(await at.post(`/v1/calls/${id}/result`, { ok: true, output: 1 })).toMatchObject({ body: { accepted: false } });
  const error = { name: "Error", message: "late" };
  expect(await at.post(`/v1/calls/${id}/result`, { ok: false, error })).toMatchObject({
    status: 409,
    body: { code: "run.ended" },
  });
  expect((await at.get(`/v1/calls/${id}`)).body).toMatchObject({ status: "succeeded", output: 1 });
});
