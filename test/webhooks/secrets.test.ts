/** What is secret of a webhook is in no event, answer, list, export, trace or log; and is gone with the webhook. */
import { expect, test } from "vitest";
import { Webhooks } from "../../src/api/webhooks/webhooks.ts";
import { workflow } from "../../src/index.ts";
import type { Store } from "../../src/index.ts";
import { serve } from "../server/place.ts";
import { errorOf, fresh, listening, silent, until } from "../stage.ts";
import { receiver } from "./receiver.ts";

const done = workflow({ name: "done" }, () => 1);

/** Everything that can be read of a store by the routes of a server, and by who exports it. */
async function everything(store: Store, stemma: { export(id: string): AsyncIterable<string> }): Promise<string> {
  const texts: string[] = [];
  const digests = new Set<string>();
  for (let after = 0; ;) {
    const page = await store.feed({ after, limit: 1000 });
    for (const { event } of page.events) {
      texts.push(JSON.stringify(event));
      for (const [, digest = ""] of event.data.matchAll(/"digest":"([0-9a-f]{64})"/g)) digests.add(digest);
    }
    if (page.events.length === 0) break;
    after = page.position;
  }
  texts.push(...(await store.payloads([...digests])).values());
  const { runs } = await store.list({ limit: 200 });
  texts.push(JSON.stringify(runs));
  for (const { id } of runs) for await (const text of stemma.export(id)) texts.push(text);
  return texts.join("\n");
}

test("neither events, lists, exports nor logs have a secret, a header or the path of an address", async () => {
  await using at = await receiver();
  const store = fresh();
  const log = listening();
  const secrets = ["s3cret-of-the-webhook-itself", "Bearer t0ken", "/hidden/path?key=v4lue", "v4lue", "of-a-run-0nly"];
  const [secret = "", authorization = "", path = "", , ofRun = ""] = secrets;
  const said: unknown[] = [];
  {
    await using served = await serve([done], {
      engine: { store, log },
      log,
      webhooks: { allow: ["127.0.0.1"], retries: [5] },
    });
    const { client, stemma } = served;
    at.answer = (n) => ({ status: n === 1 ? 500 : 200, body: secrets.join(" ") });
    const hook = await client.webhooks.create({ url: at.url + path, secret, headers: { authorization } });
    expect(hook.secret).toBe(secret);
    const run = await client.run(done, undefined, { webhook: { url: at.url + path, secret: ofRun } });
    await at.got(3);
    await until(async () =>
      (await client.webhooks.deliveriesAbout(run.id)).deliveries.every((one) => one.status === "delivered"),
    );
    await client.webhooks.ping(hook.id);
    await at.got(4);
    expect(at.requests.every((one) => one.path === path)).toBe(true);
    expect(at.requests.filter(({ headers }) => headers.authorization === authorization).length).toBeGreaterThanOrEqual(
      2,
    );
    // Nobody listens there: what is said of that has no path either.
    await errorOf(client.webhooks.create({ url: `http://10.0.0.1${path}`, secret }));
    await errorOf(client.webhooks.create({ url: at.url, headers: { "bad name": authorization } }));
    await errorOf(client.webhooks.create({ url: at.url, secret: "t00-short" })).then((error) =>
      said.push(error.message),
    );
    said.push(await client.webhooks.list(), await client.webhooks.deliveries(hook.id));
    said.push(await client.webhooks.deliveriesAbout(run.id));
    for (const { id } of (await client.list({ records: true, limit: 200 })).runs) {
      said.push(await client.history(id), await client.trace(id, { family: true }), await client.lineage(id));
      const response = await fetch(`${served.url}/v1/runs/${id}/history`);
      said.push(await response.text());
    }
    said.push(await everything(store, stemma));
  }
  const text = [JSON.stringify(said), ...log.lines].join("\n");
  expect(text.length).toBeGreaterThan(5000);
  expect(text).toContain("webhook");
  for (const one of [...secrets, "t00-short"]) expect(text.includes(one), one).toBe(false);
  await store.close();
});

test("a secret goes with its webhook", async () => {
  const store = fresh();
  const hooks = new Webhooks(store, silent, { allow: ["127.0.0.1"] });
  const { id } = await hooks.create({ url: "http://127.0.0.1:9/x", secret: "s3cret-of-the-webhook-itself" });
  const inbox = async (): Promise<string> => JSON.stringify(await store.history(id, { after: -1, limit: 10 }));
  expect(await inbox()).toContain("s3cret");
  await hooks.remove(id);
  expect(await inbox()).not.toContain("s3cret");
  await hooks.stop();
  await store.close();
});

test("with a key the store has no secret in the open, and another key opens none", async () => {
  await using at = await receiver();
  const store = fresh();
  const options = { allow: ["127.0.0.1"], retries: [] };
  const secret = "s3cret-of-the-webhook-itself";
  const key = "0123456789abcdef0123456789abcdef";
  const first = new Webhooks(store, silent, { ...options, key });
  const { id } = await first.create({ url: `${at.url}/hidden`, secret });
  const stored = JSON.stringify(await store.history(id, { after: -1, limit: 10 }));
  expect([stored.includes("s3cret"), stored.includes("hidden"), stored.includes("sealed")]).toEqual([
    false,
    false,
    true,
  ]);
  await first.ping(id);
  await at.got(1);
  await until(async () => (await first.deliveries(id)).deliveries[0]?.status === "delivered");
  await first.stop();
  for (const other of [{}, { key: "another-key-0123456789" }]) {
    const second = new Webhooks(store, silent, { ...options, ...other });
    await second.ping(id);
    await until(async () => (await second.deliveries(id)).deliveries[0]?.status === "failed");
    expect((await second.deliveries(id)).deliveries[0]?.attempts).toMatchObject([
      { outcome: "failed", error: { code: "webhook.invalid" } },
    ]);
    await second.stop();
  }
  expect(at.requests.length).toBe(1);
  const short = async (): Promise<unknown> => new Webhooks(store, silent, { key: "short" });
  expect((await errorOf(short())).code).toBe("usage.invalid");
  await store.close();
});

test("the webhook of a run that was pruned goes too", async () => {
  await using at = await receiver();
  const store = fresh();
  const options = { engine: { store }, webhooks: { allow: ["127.0.0.1"] } };
  let hook: string | undefined;
  {
    await using served = await serve([done], options);
    const run = await served.client.run(done, undefined, { webhook: { url: at.url } });
    await at.got(1);
    const found = await served.stemma.list({ tag: `of ${run.id}` });
    hook = found.runs[0]?.id;
    expect(found.runs).toMatchObject([{ state: { status: "paused" } }]);
    await served.stemma.prune({ olderThan: 0 });
    expect((await errorOf(served.stemma.row(run.id))).code).toBe("run.not_found");
  }
  await using served = await serve([done], options);
  await served.client.health();
  await until(async () => (await served.stemma.row(hook ?? "")).state.status === "cancelled");
});

test("one that is made again with its key is the same one, with its secret, and is not looked at anew; another wish is refused", async () => {
  const store = fresh();
  let addresses = ["203.0.112.1"];
  const hooks = new Webhooks(store, silent, {}, { resolve: () => Promise.resolve(addresses) });
  const wish = { url: "http://hook.example/a?b", events: ["run.failed"], headers: { "x-a": "1", "x-b": "2" } };
  const once = { idempotencyKey: "k".repeat(1000) };
  const other = await hooks.create(wish);
  const all = await Promise.all([
    hooks.create({ ...wish, by: "ada" }, once),
    hooks.create({ ...wish, by: "bob" }, once),
  ]);
  addresses = ["10.0.0.1"];
  expect((await errorOf(hooks.create(wish))).code).toBe("webhook.refused");
  all.push(await hooks.create({ ...wish, headers: { "x-b": "2", "x-a": "1" } }, once));
  expect(new Set(all.map(({ id, secret }) => `${id} ${secret}`)).size).toBe(1);
  const [{ id, secret }] = all;
  expect(secret).not.toBe(other.secret);
  all.push(await hooks.create({ ...wish, secret }, once));
  expect((await hooks.list()).map((hook) => hook.id).toSorted()).toEqual([other.id, id].toSorted());
  const others = [
    { url: "http://hook.example/a?c" },
    { tag: "t" },
    { headers: { "x-a": "2" } },
    { secret: other.secret },
  ];
  for (const change of others) {
    const error = await errorOf(hooks.create({ ...wish, ...change }, once));
    expect([change, error.code]).toEqual([change, "run.conflict"]);
    expect(error.message + JSON.stringify(error.data)).not.toContain(secret);
  }
  await hooks.remove(id);
  expect((await errorOf(hooks.create(wish, once))).code).toBe("webhook.not_found");
  expect((await errorOf(hooks.create(wish, { idempotencyKey: "" }))).code).toBe("name.invalid");
  const [first, second] = await Promise.all([hooks.ping(other.id, once), hooks.ping(other.id, once)]);
  expect(second.id).toBe(first.id);
  await hooks.stop();
  await store.close();
});
