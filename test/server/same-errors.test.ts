/** Who asks what cannot be is refused with the same code here and over HTTP, and nothing comes of it. */
import { expect, test } from "vitest";
import type { Asked } from "../../src/cli/place.ts";
import { limits } from "../../src/core/limits.ts";
import { workflow } from "../../src/index.ts";
import type { Stemma } from "../../src/index.ts";
import { until } from "../stage.ts";
import type { Served } from "./place.ts";
import { serve } from "./place.ts";

const greet = workflow({ name: "greet" }, (ctx) => ctx.step("hi", () => 1));
const asking = workflow({ name: "asking" }, (ctx) => ctx.wait("approval"));
const failing = workflow({ name: "failing" }, (ctx) =>
  ctx.step("bad", () => {
    throw new Error("no luck");
  }),
);

/** What a handle, and `run`, have in common here and there. */
type Handle = Pick<Awaited<ReturnType<Stemma["get"]>>, "events" | "stream" | "result">;
type Either = Asked & {
  get: (id: string) => Promise<Handle>;
  stateAt: (id: string, seq: number) => Promise<unknown>;
  run: (input: unknown, options?: object) => Promise<unknown>;
  feed: (options: { after?: number; run?: string; once?: boolean }) => AsyncIterable<unknown>;
  restart: (id: string, change: object) => Promise<unknown>;
  fork: (id: string, change: object) => Promise<unknown>;
};

const nobody = `run_${"0".repeat(26)}`;
const long = "x".repeat(limits.idCharsMax + 1);
const control = "a\u0000b";
const tooDeep = (): unknown => Array.from({ length: 300 }).reduce((inner: unknown) => [inner], 1);
const first = async (all: AsyncIterable<unknown>): Promise<unknown> => {
  for await (const one of all) return one;
  return undefined;
};

/** By the code that they end with. */
const slips = (done: string, bad: string, open: string): Record<string, ((by: Either) => Promise<unknown>)[]> => ({
  "run.invalid_id": [
    (by) => by.run(1, { id: "bad" }),
    (by) => by.get("x"),
    (by) => by.row("../.."),
    (by) => by.history("x"),
    (by) => by.lineage("x"),
    (by) => by.compare("x", done),
    (by) => by.compare(done, "x"),
    (by) => first(by.export("x")),
  ],
  "run.not_found": [
    (by) => by.get(nobody),
    (by) => by.row(nobody),
    (by) => first(by.feed({ run: nobody, once: true })),
    (by) => by.history(nobody),
    (by) => by.trace(nobody),
    (by) => by.trace(nobody, { family: true }),
    (by) => by.compare(done, nobody),
    (by) => by.plan(nobody),
    (by) => by.fork(nobody, {}),
    (by) => by.resume(nobody, "approval", 1),
    (by) => by.cancel(nobody),
    (by) => by.verify(nobody),
    (by) => by.prov(nobody),
    (by) => by.golden(nobody),
    (by) => first(by.export(nobody)),
  ],
  "run.conflict": [(by) => by.run(2, { id: done })],
  "name.invalid": [
    (by) => by.run(1, { idempotencyKey: long }),
    (by) => by.run(1, { idempotencyKey: "" }),
    (by) => by.run(1, { idempotencyKey: control }),
    (by) => by.run(1, { tags: ["a/b"] }),
    (by) => by.run(1, { by: long }),
    (by) => by.restart(bad, { idempotencyKey: long }),
    (by) => by.restart(bad, { tags: ["a/b"] }),
    (by) => by.resume(open, "approval", 1, { by: control }),
    (by) => by.signal(open, "a/b", 1),
    (by) => by.signal(open, "a", 1, { by: long }),
    (by) => by.signal(open, "a", 1, { idempotencyKey: "" }),
    (by) => by.cancel(open, { reason: control }),
    (by) => by.pause(open, { by: control }),
    (by) => by.golden(done, { name: "a/b" }),
    (by) => by.golden(done, { idempotencyKey: long }),
    async (by) => first((await by.get(done)).stream("a/b")),
  ],
  "duration.invalid": [
    (by) => by.run(1, { delay: "soon" }),
    (by) => by.run(1, { timeout: -1 }),
    (by) => by.resuspend(open, "approval", { expires: "x" }),
    (by) => by.prune({ olderThan: "x" }),
  ],
  "limit.exceeded": [(by) => by.run(1, { tags: Array.from({ length: 101 }, (_, i) => `t${i}`) })],
  "usage.invalid": [
    (by) => by.run(1, { priority: 1.5 }),
    (by) => by.list({ limit: 0 }),
    (by) => by.list({ limit: 1.5 }),
    (by) => by.list({ since: -1 }),
    (by) => by.list({ cursor: "zzz" }),
    (by) => by.waits({ cursor: "zzz" }),
    (by) => by.waits({ limit: 0 }),
    (by) => first(by.feed({ after: -1 })),
    (by) => by.stateAt(done, 1.5),
    (by) => by.stateAt(done, 999),
    (by) => by.history(done, { after: 1.5 }),
    async (by) => first((await by.get(done)).events({ after: 1.5 })),
    async (by) => first((await by.get(done)).stream("s", { after: -1 })),
    (by) => by.restart(bad, { form: 1 }),
    (by) => by.restart(bad, { from: "bad", after: "bad" }),
    (by) => by.restart(bad, { reuse: "some" }),
    (by) => by.decide(done, "hi", "again" as never),
    (by) => by.decide(done, "hi", { record: 1, fail: 2 }),
    (by) => by.ungolden({}),
  ],
  "json.not_serializable": [
    (by) => by.run(1n),
    (by) => by.run(1, { context: () => 1 }),
    (by) => by.resume(open, "approval", () => 1),
    (by) => by.signal(open, "a", Number.NaN),
  ],
  "json.too_deep": [(by) => by.run(tooDeep())],
  "payload.too_large": [(by) => by.run("x".repeat(limits.payloadBytesMax))],
  "step.not_found": [
    (by) => by.plan(done, { from: "zz" }),
    (by) => by.restart(bad, { from: "zz" }),
    (by) => by.why(done, "zz"),
  ],
  "checkpoint.not_found": [(by) => by.restart(bad, { checkpoint: 99 })],
  "override.unused": [(by) => by.restart(bad, { outputs: { zz: 1 } })],
  "run.not_terminal": [(by) => by.restart(open, {}), (by) => by.golden(open)],
  "run.ended": [(by) => by.signal(done, "a", 1), (by) => by.pause(done), (by) => by.unpause(done)],
  "run.failed": [async (by) => (await by.get(bad)).result()],
  "wait.not_open": [(by) => by.resume(open, "zz", 1), (by) => by.fail(done, "approval", new Error("x"))],
  "step.not_in_doubt": [(by) => by.decide(done, "hi", "run")],
  "import.refused": [
    (by) =>
      by.import(async function* () {
        yield "garbage";
      }),
  ],
});

test("what cannot be meant is refused under one code, with the same data, by the engine and over HTTP", async () => {
  await using at: Served = await serve([greet, asking, failing]);
  const { stemma, client } = at;
  const [done, bad, open] = [await stemma.run(greet, 1), await stemma.run(failing, 1), await stemma.run(asking, 1)];
  await done.result();
  await bad.result().catch(() => {});
  await until(async () => (await open.status()) === "suspended");
  const here = eitherOf(stemma, (input, options) => stemma.run(greet, input as never, options));
  const there = eitherOf(client, (input, options) => client.run("greet", input, options));
  const seqs = async (): Promise<unknown> => (await stemma.list()).runs.map(({ id, state }) => [id, state.seq]);
  const before = await seqs();
  for (const [code, all] of Object.entries(slips(done.id, bad.id, open.id))) {
    for (const slip of all) {
      const found = await Promise.all([here, there].map((by) => refusalOf(() => slip(by))));
      expect([slip.toString(), ...found.map((one) => one.code)]).toEqual([slip.toString(), code, code]);
      // Where the contract refuses it already, it says where it does not fit.
      if (found[1]?.data?.["issues"] === undefined)
        expect([slip.toString(), found[1]?.data]).toEqual([slip.toString(), found[0]?.data]);
    }
  }
  expect(await seqs()).toEqual(before);
});

/** As it is, but for what starts a run. */
function eitherOf(whom: object, run: Either["run"]): Either {
  const get = (_: object, name: string): unknown => {
    const method = (whom as Record<string, unknown>)[name];
    return name === "run" ? run : typeof method === "function" ? (method.bind(whom) as unknown) : method;
  };
  return new Proxy({}, { get: get as never }) as Either;
}

async function refusalOf(slip: () => Promise<unknown>): Promise<{ code?: string; data?: Record<string, unknown> }> {
  try {
    await slip();
    return {};
  } catch (error) {
    return error as { code?: string; data?: Record<string, unknown> };
  }
}
