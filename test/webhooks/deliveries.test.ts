/** Who wants to hear of something does, once for each event, whatever state the receiver is in; reused work is no event. */
import { expect, test } from "vitest";
import { webhookRecords } from "../../src/api/webhooks/records.ts";
import { isRecord } from "../../src/core/record-names.ts";
import { workflow } from "../../src/index.ts";
import type { Served, ServeOptions } from "../server/place.ts";
import { serve } from "../server/place.ts";
import { Webhooks } from "../../src/api/webhooks/webhooks.ts";
import { errorOf, fresh, silent, until } from "../stage.ts";
import type { Receiver } from "./receiver.ts";
import { receiver } from "./receiver.ts";

const double = workflow({ name: "double" }, (ctx, n: number) => ctx.step("times", { input: n }, () => n * 2));
const asking = workflow({ name: "asking" }, async (ctx, n: number) => {
  const base = await ctx.step("base", { input: n }, () => n);
  await ctx.sleep(5);
  const { add } = await ctx.wait<{ add: number }>("approval", { input: base, prompt: "How much?", tags: ["money"] });
  return ctx.step("sum", { input: [base, add] }, ([a = 0, b = 0]) => {
    if (b < 0) throw new Error("negative");
    return a + b;
  });
});
const failing = workflow({ name: "failing" }, () => {
  throw new Error("as it has to");
});
const large = workflow({ name: "large" }, (_ctx, n: number) => "x".repeat(n));
const all = [double, asking, failing, large];

const serving = (retries: number[] = [20, 20, 20], options: ServeOptions = {}): Promise<Served> =>
  serve(all, { ...options, webhooks: { allow: ["127.0.0.1"], retries } });
const types = ({ requests }: Receiver): string[] => requests.map(({ message }) => message.type);
const about = ({ requests }: Receiver): unknown[] =>
  requests.map(({ message: { type, data } }) => [type, data["run"], data["seq"]]);
const settled = async ({ client }: Served, id: string): Promise<void> =>
  until(async () => (await client.webhooks.deliveries(id)).deliveries.every(({ status }) => status !== "pending"));

/** Until all that happened was told: a last run was, so what came before it was looked at, and nothing is on its way. */
async function told({ client, stemma }: Served, at: Receiver): Promise<void> {
  const last = await client.run(double, 0, { webhook: { url: `${at.url}/last` } });
  await until(() => at.requests.some(({ path, message }) => path === "/last" && message.data["run"] === last.id));
  const moving = { workflow: webhookRecords.delivery, status: ["queued", "running"] as const };
  await until(async () => (await stemma.list(moving)).runs.length === 0);
  const mine = at.requests.filter(({ message }) => message.data["run"] !== last.id);
  at.requests.splice(0, at.requests.length, ...mine);
}

test("a webhook hears how runs end and what they ask, with what came of it", async () => {
  await using at = await receiver();
  await using served = await serving();
  const { client } = served;
  await (await client.run(double, 1)).result();
  const hook = await client.webhooks.create({ url: `${at.url}/a/b?c=d`, headers: { "X-Key": "k" } });
  const run = await client.run(asking, 1, { tags: ["eu"] });
  await at.got(1);
  await client.resume(run.id, "approval", { add: 2 });
  await run.result();
  // What runs tell is sent side by side, so the next one waits its turn for the order that is looked at below.
  await at.got(2);
  const failed = await client.run(failing, undefined);
  await errorOf(failed.result());
  await at.got(3);
  const [asked, ended, broken] = at.requests;
  expect(asked).toMatchObject({ path: "/a/b?c=d", headers: { "x-key": "k", "content-type": "application/json" } });
  expect(asked?.message).toEqual({
    type: "wait.opened",
    timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    data: {
      run: run.id,
      workflow: "asking",
      version: 1,
      family: run.id,
      tags: ["eu"],
      seq: expect.any(Number),
      wait: { key: "approval", kind: "approval", input: 1, prompt: "How much?", tags: ["money"] },
    },
  });
  expect(ended?.message).toMatchObject({ type: "run.succeeded", data: { run: run.id, output: 3 } });
  expect(broken?.message).toMatchObject({
    type: "run.failed",
    data: { run: failed.id, error: { message: "as it has to" } },
  });
  expect(new Set(at.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(3);
  await settled(served, hook.id);
  const { deliveries } = await client.webhooks.deliveries(hook.id);
  expect(deliveries.map(({ type, status, run: of, attempts }) => [type, status, of, attempts.length])).toEqual([
    ["run.failed", "delivered", failed.id, 1],
    ["run.succeeded", "delivered", run.id, 1],
    ["wait.opened", "delivered", run.id, 1],
  ]);
  expect((await client.webhooks.deliveriesAbout(run.id)).deliveries).toEqual(deliveries.slice(1));
});

test("a webhook hears of what it asked for and of nothing else", async () => {
  await using at = await receiver();
  await using served = await serving();
  const { client } = served;
  const url = (path: string): string => `${at.url}/${path}`;
  await client.webhooks.create({ url: url("waits"), events: ["wait.*"] });
  await client.webhooks.create({ url: url("doubles"), workflow: "double", events: ["run.succeeded"] });
  await client.webhooks.create({ url: url("tagged"), tag: "eu", events: ["run.created", "run.succeeded"] });
  const run = await client.run(asking, 1, { tags: ["eu"] });
  await client.webhooks.create({ url: url("one"), run: run.id, events: ["run.*"] });
  const two = await client.run(double, 1);
  await until(async () => (await client.waits({ run: run.id })).waits.length === 1);
  await client.resume(run.id, "approval", { add: 1 }, { by: "ada" });
  await run.result();
  await told(served, at);
  // One of the run alone began to hear in the midst of it, so its first events are a matter of time.
  const heard = (path: string): unknown[] =>
    at.requests
      .filter((one) => one.path === `/${path}`)
      .map(({ message: { type, data } }) => `${type} ${String(data["run"])}`);
  expect(heard("waits").toSorted()).toEqual([`wait.answered ${run.id}`, `wait.opened ${run.id}`]);
  expect(heard("doubles")).toEqual([`run.succeeded ${two.id}`]);
  expect(heard("tagged").toSorted()).toEqual([`run.created ${run.id}`, `run.succeeded ${run.id}`]);
  expect(heard("one")).toContain(`run.succeeded ${run.id}`);
  expect(heard("one").filter((text) => !String(text).endsWith(run.id))).toEqual([]);
  const answered = at.requests.find(({ message }) => message.type === "wait.answered");
  expect(answered?.message.data).toMatchObject({ wait: { key: "approval", value: { add: 1 }, by: "ada" } });
});

test("what is reused fires nothing: a restart and a fork tell of themselves alone", async () => {
  await using at = await receiver();
  await using served = await serving();
  const { client } = served;
  await client.webhooks.create({ url: at.url, events: ["wait.*", "run.succeeded", "run.failed"] });
  const run = await client.run(asking, 1);
  await until(async () => (await client.waits({ run: run.id })).waits.length === 1);
  await client.resume(run.id, "approval", { add: -1 });
  await errorOf(run.result());
  await told(served, at);
  expect(types(at).toSorted()).toEqual(["run.failed", "wait.answered", "wait.opened"]);
  const before = at.requests.length;
  const restarted = await client.restart(run.id);
  await errorOf(restarted.result());
  const forked = await client.fork(run.id, { outputs: { sum: 7 } });
  expect(await forked.result()).toBe(7);
  await told(served, at);
  const reused = (await restarted.history()).filter(({ type }) => type === "step.reused").map(({ data }) => data);
  expect(reused).toMatchObject([{ key: "base" }, { key: "sleep" }, { key: "approval" }]);
  const later = at.requests.slice(before).map(({ message: { type, data } }) => [type, data["run"]]);
  expect(later.toSorted()).toEqual(
    [
      ["run.failed", restarted.id],
      ["run.succeeded", forked.id],
    ].toSorted(),
  );
});

test("a receiver that is down for a while gets it, with one id and one body, and the log has every attempt", async () => {
  await using at = await receiver();
  await using served = await serving([10, 20, 30, 40]);
  const { client } = served;
  at.answer = (n) =>
    n <= 2 ? { status: 503 } : n === 3 ? { status: 301, headers: { location: "/" } } : { status: 204 };
  const hook = await client.webhooks.create({ url: at.url });
  await client.run(double, 1);
  await at.got(4);
  await settled(served, hook.id);
  const [delivery] = (await client.webhooks.deliveries(hook.id)).deliveries;
  expect(delivery).toMatchObject({ status: "delivered", attempts: [503, 503, 301, 204].map((status) => ({ status })) });
  expect(new Set(at.requests.map(({ headers }) => headers["webhook-id"]))).toEqual(new Set([delivery?.message]));
  expect(new Set(at.requests.map(({ body }) => body)).size).toBe(1);
});

test("nobody listening, an answer that never comes and one without end are attempts that failed, or did not", async () => {
  const gone = await receiver();
  await gone[Symbol.asyncDispose]();
  await using at = await receiver();
  // A machine that is slow may need several attempts within so short a time.
  const retries = Array.from({ length: 30 }, () => 5);
  await using served = await serve(all, { webhooks: { allow: ["127.0.0.1"], retries, timeout: 150 } });
  const { client } = served;
  const closed = await client.webhooks.create({ url: gone.url });
  const slow = await client.webhooks.create({ url: at.url });
  at.answer = (n) => (n === 1 ? "none" : { status: 200, body: "x".repeat(1_000_000) });
  await (await client.run(double, 1)).result();
  await until(async () => (await client.webhooks.deliveries(slow.id)).deliveries.length === 1);
  await settled(served, slow.id);
  await settled(served, closed.id);
  const [refused] = (await client.webhooks.deliveries(closed.id)).deliveries;
  expect([refused?.status, refused?.attempts.length]).toEqual(["failed", retries.length + 1]);
  expect(refused?.attempts.map(({ error }) => error?.code)).toContain("ECONNREFUSED");
  expect(refused?.attempts.filter(({ error }) => error === undefined)).toEqual([]);
  const [delivered] = (await client.webhooks.deliveries(slow.id)).deliveries;
  expect(delivered?.status).toBe("delivered");
  expect([delivered?.attempts[0], delivered?.attempts.at(-1)]).toMatchObject([
    { error: { code: "timeout" } },
    { status: 200 },
  ]);
});

test("what was not delivered is sent again when it is asked for: with the same webhook-id and body", async () => {
  await using at = await receiver();
  await using served = await serving([5]);
  const { client } = served;
  at.answer = () => ({ status: 500 });
  const hook = await client.webhooks.create({ url: at.url });
  await client.run(double, 21);
  await at.got(2);
  await settled(served, hook.id);
  const [failed] = (await client.webhooks.deliveries(hook.id)).deliveries;
  expect(failed).toMatchObject({ status: "failed", attempts: [{ status: 500 }, { status: 500 }] });
  at.answer = () => ({ status: 200 });
  const again = await client.webhooks.redeliver(failed?.id ?? "");
  expect([again.message, again.id === failed?.id]).toEqual([failed?.message, false]);
  await at.got(3);
  await settled(served, hook.id);
  expect(new Set(at.requests.map(({ headers, body }) => `${String(headers["webhook-id"])} ${body}`)).size).toBe(1);
  expect((await client.webhooks.deliveries(hook.id)).deliveries.map(({ status }) => status)).toEqual([
    "delivered",
    "failed",
  ]);
  expect((await errorOf(client.webhooks.redeliver(hook.id))).code).toBe("webhook.not_found");
});

test("a receiver that says it is gone is not asked again, and one that asks for time is given it", async () => {
  await using at = await receiver();
  await using served = await serving([1, 1, 1]);
  const { client } = served;
  at.answer = () => ({ status: 410 });
  const hook = await client.webhooks.create({ url: at.url });
  await client.run(double, 1);
  await at.got(1);
  await settled(served, hook.id);
  const ping = await client.webhooks.ping(hook.id);
  expect(ping.type).toBe("webhook.ping");
  await settled(served, hook.id);
  expect((await client.webhooks.deliveries(hook.id)).deliveries).toMatchObject([
    { id: ping.id, status: "failed", attempts: [{ status: 410 }] },
    { status: "failed", attempts: [{ status: 410, outcome: "gone" }] },
  ]);
  // It is off by now, until it says that it is there.
  at.answer = (_n, { message: { type } }) =>
    type === "webhook.ping" ? { status: 200 } : { status: 429, headers: { "retry-after": "3600" } };
  await client.webhooks.ping(hook.id);
  await settled(served, hook.id);
  const before = at.requests.length;
  await client.run(double, 2);
  await at.got(before + 1);
  await until(async () => (await client.webhooks.deliveries(hook.id)).deliveries[0]?.nextAt !== undefined);
  const [waiting] = (await client.webhooks.deliveries(hook.id)).deliveries;
  expect(waiting).toMatchObject({ status: "pending", attempts: [{ retryAfterMs: 3_600_000 }] });
  expect((waiting?.nextAt ?? 0) - (waiting?.at ?? 0)).toBeGreaterThanOrEqual(3_600_000);
});

test("a webhook that was removed hears nothing more, and what was on its way to it is taken back", async () => {
  await using at = await receiver();
  await using served = await serving([60_000]);
  const { client } = served;
  at.answer = () => ({ status: 500 });
  const hook = await client.webhooks.create({ url: at.url });
  await client.run(double, 1);
  await at.got(1);
  await until(async () => (await client.webhooks.deliveries(hook.id)).deliveries[0]?.nextAt !== undefined);
  const [delivery] = (await client.webhooks.deliveries(hook.id)).deliveries;
  await client.webhooks.remove(hook.id);
  expect(await client.webhooks.list()).toEqual([]);
  await until(async () => (await served.stemma.row(delivery?.id ?? "")).state.status === "cancelled");
  await told(served, at);
  at.answer = () => ({ status: 200 });
  await (await client.run(double, 2)).result();
  await told(served, at);
  expect(at.requests.length).toBe(1);
  for (const refused of [
    () => client.webhooks.remove(hook.id),
    () => client.webhooks.ping(hook.id),
    () => client.webhooks.deliveries(hook.id),
    () => client.webhooks.redeliver(delivery?.id ?? ""),
  ]) {
    expect((await errorOf(refused() as Promise<unknown>)).code).toBe("webhook.not_found");
  }
});

test("a run's own webhook hears how that run ends, once however often it is started, and no restart has it", async () => {
  await using at = await receiver();
  await using served = await serving();
  const { client } = served;
  const webhook = { url: at.url };
  const start = (): Promise<{ id: string }> => client.run(failing, undefined, { webhook, idempotencyKey: "once" });
  const [run, same] = [await start(), await start()];
  expect(same.id).toBe(run.id);
  await errorOf((await client.get(run.id)).result());
  await errorOf((await client.restart(run.id)).result());
  const given = await client.restart(run.id, { webhook: { ...webhook, events: ["run.created", "run.failed"] } });
  await errorOf(given.result());
  const forked = await client.fork(run.id, { webhook });
  await errorOf(forked.result());
  await told(served, at);
  expect(about(at).toSorted()).toEqual(
    [
      ["run.failed", run.id, expect.any(Number)],
      ["run.created", given.id, 0],
      ["run.failed", given.id, expect.any(Number)],
      ["run.failed", forked.id, expect.any(Number)],
    ].toSorted(),
  );
  expect(await client.webhooks.list()).toEqual([]);
  const before = (await client.list({ limit: 200 })).runs.length;
  const bad = { url: "http://10.0.0.1/" };
  expect((await errorOf(client.run(double, 1, { webhook: bad }))).code).toBe("webhook.refused");
  expect((await errorOf(client.restart(run.id, { webhook: bad }))).code).toBe("webhook.refused");
  expect((await client.list({ limit: 200 })).runs.length).toBe(before);
});

test("a message tells large values up to a bound, and names what is larger", async () => {
  await using at = await receiver();
  await using served = await serving();
  const { client } = served;
  await client.webhooks.create({ url: at.url, events: ["run.succeeded"] });
  for (const size of [10_000, 100_000]) {
    const run = await client.run(large, size);
    await run.result();
    await until(() => at.requests.some(({ message }) => message.data["run"] === run.id));
  }
  expect(at.requests[0]?.message.data["output"]).toBe("x".repeat(10_000));
  const { output, omitted } = at.requests[1]?.message.data ?? {};
  expect([output, omitted]).toEqual([
    undefined,
    { output: { bytes: 100_002, digest: expect.stringMatching(/^[0-9a-f]{64}$/) } },
  ]);
});

test("what Stemma does for webhooks is told to no webhook, in no list of work, and can be neither started nor remade", async () => {
  await using at = await receiver();
  await using served = await serving();
  const { client, stemma } = served;
  await client.webhooks.create({ url: at.url, events: ["run.*", "wait.*"] });
  const run = await client.run(double, 1);
  await run.result();
  await told(served, at);
  await told(served, at);
  expect(new Set(at.requests.map(({ message }) => message.data["run"]))).toEqual(new Set([run.id]));
  expect(types(at).toSorted()).toEqual(["run.created", "run.started", "run.succeeded"]);
  const { runs } = await client.list({ limit: 200 });
  expect(runs.filter(({ state }) => isRecord(state.workflow))).toEqual([]);
  const records = (await client.list({ limit: 200, records: true })).runs.filter(({ state }) =>
    isRecord(state.workflow),
  );
  expect(records.length).toBeGreaterThanOrEqual(4);
  expect((await client.workflows()).map(({ name }) => name)).toEqual(all.map(({ name }) => name).toSorted());
  const delivery = (await client.webhooks.deliveriesAbout(run.id)).deliveries[0]?.id ?? "";
  await until(async () => (await stemma.row(delivery)).state.status === "succeeded");
  const name = (await stemma.row(delivery)).state.workflow;
  expect((await errorOf(client.run(name, {}))).code).toBe("workflow.not_found");
  const [hook] = await client.webhooks.list();
  for (const made of [
    () => client.restart(delivery),
    () => client.fork(delivery, { input: {} }),
    () => stemma.fork(delivery, { input: {} }),
    () => client.plan(delivery),
    () => client.cancel(hook?.id ?? ""),
    () => client.unpause(hook?.id ?? ""),
    () => client.signal(hook?.id ?? "", "secret"),
  ]) {
    expect((await errorOf(made())).code).toBe("usage.invalid");
  }
});

test("a server that begins later tells of what happened meanwhile, and several tell of it once", async () => {
  await using at = await receiver();
  const store = fresh();
  let id: string;
  {
    await using first = await serving([20], { engine: { store } });
    ({ id } = await first.client.webhooks.create({ url: at.url, events: ["run.succeeded"] }));
    await (await first.client.run(double, 1)).result();
    await at.got(1);
    await settled(first, id);
  }
  const meanwhile: string[] = [];
  {
    await using without = await serve(all, { engine: { store }, webhooks: false });
    for (const n of [2, 3, 4]) {
      const run = await without.client.run(double, n);
      await run.result();
      meanwhile.push(run.id);
    }
    expect((await errorOf(without.client.webhooks.list())).code).toBe("webhook.refused");
    // One that comes when all of that has happened does not hear of it, although nobody has read of it yet.
    const late = new Webhooks(store, silent, { allow: ["127.0.0.1"] });
    await late.create({ url: `${at.url}/late`, events: ["run.*"] });
    await late.stop();
  }
  {
    await using second = await serving([20], { engine: { store } });
    await using third = await serving([20], { engine: { store } });
    await at.got(4);
    await settled(second, id);
    await told(third, at);
    await told(second, at);
  }
  const heard = (path: string): unknown[] =>
    at.requests.filter((one) => one.path === path).map(({ message }) => message.data["run"]);
  expect(heard("/").slice(1).toSorted()).toEqual(meanwhile.toSorted());
  expect(heard("/late").filter((run) => meanwhile.includes(String(run)))).toEqual([]);
  await store.close();
});
