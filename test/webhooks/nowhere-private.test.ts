/** No address that somebody gives makes this machine ask its own network: whatever it is written like, means, or leads to. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { guardOf } from "../../src/api/webhooks/guard.ts";
import type { Resolve } from "../../src/api/webhooks/guard.ts";
import type { Posted } from "../../src/api/webhooks/post.ts";
import { post } from "../../src/api/webhooks/post.ts";
import { Webhooks } from "../../src/api/webhooks/webhooks.ts";
import { errorOf, fresh, silent, until } from "../stage.ts";
import type { Receiver } from "./receiver.ts";
import { receiver } from "./receiver.ts";

/** What names mean in these tests; any other means loopback, so one that is let through is seen. */
const names: Record<string, readonly string[]> = {
  "loop.example": ["127.0.0.1"],
  "two.example": ["127.0.0.2"],
  "six.example": ["::1"],
  "mapped.example": ["::ffff:127.0.0.1"],
  "mapped-hex.example": ["::ffff:7f00:1"],
  "compatible.example": ["::127.0.0.1"],
  "translated.example": ["64:ff9b::7f00:1"],
  "tunnel.example": ["2002:7f00:1::1"],
  // That of the outside comes last: where nothing were refused, it would still not be asked.
  "mixed.example": ["127.0.0.1", "203.0.112.1"],
  "mixed-six.example": ["::1", "2606:4700::1"],
  "both.example": ["127.0.0.1", "127.0.0.2"],
  "metadata.example": ["169.254.169.254"],
  "office.example": ["10.1.2.3"],
  "home.example": ["192.168.1.1"],
  "carrier.example": ["100.64.0.1"],
  "link.example": ["fe80::1%eth0"],
  "zero.example": ["0.0.0.0"],
  "decimal.example": ["2130706433"],
  "junk.example": ["not an address"],
};
const resolve: Resolve = (name) => Promise.resolve(names[name] ?? ["127.0.0.1"]);

/** `PORT` is where listeners count who connects. */
const corpus: Record<string, readonly string[]> = {
  "IPv4 loopback, as people write it and as programs read it": [
    "http://127.0.0.1:PORT/",
    "https://127.0.0.1:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://127.255.255.254:PORT/",
    "http://127.000.000.001:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://0177.0.0.01:PORT/",
    "http://0x7f.0.0.1:PORT/",
    "http://0x7F.0X0.0.1:PORT/",
    "http://0x7f.1:PORT/",
    "http://0x7f000001:PORT/",
    "http://2130706433:PORT/",
    "http://017700000001:PORT/",
    "http://0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://0x0:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://①②⑦.⓪.⓪.①:PORT/",
    "http://１２７.０.０.１:PORT/",
    "http://127。0。0。1:PORT/",
    "http://127．0．0．1:PORT/",
    "http://%31%32%37.0.0.1:PORT/",
    "http://127.0.0.%31:PORT/",
    "http:127.0.0.1:PORT/",
    "http:/127.0.0.1:PORT/",
    "http:///127.0.0.1:PORT/",
    "http:\\\\127.0.0.1:PORT\\",
    "http://127.0.\n0.1:PORT/",
    "\thttp://127.0.0.1:PORT/ ",
    "HTTP://127.0.0.1:PORT/",
  ],
  "names of this machine": [
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://localhost.:PORT/",
    "http://localhost.localdomain:PORT/",
    "http://ip6-localhost:PORT/",
    "http://some.thing.localhost:PORT/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:PORT/",
    "http://%6c%6f%63%61lhost:PORT/",
    "http://lo\u00adcalhost:PORT/",
  ],
  "IPv6, and IPv4 inside of it": [
    "http://[::1]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]:PORT/",
    "http://[::]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::FFFF:7F00:1]:PORT/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]:PORT/",
    "http://[::ffff:10.0.0.1]:PORT/",
    "http://[::ffff:169.254.169.254]:PORT/",
    "http://[::ffff:8.8.8.8]:PORT/",
    "http://[::ffff:0:127.0.0.1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[::7f00:1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[64:ff9b::a9fe:a9fe]:PORT/",
    "http://[64:ff9b:1::7f00:1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2002:a00:1::1]:PORT/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]:PORT/",
    "http://[fe80::1]:PORT/",
    "http://[febf::1]:PORT/",
    "http://[fec0::1]:PORT/",
    "http://[fc00::1]:PORT/",
    "http://[fd12:3456:789a::1]:PORT/",
    "http://[ff02::1]:PORT/",
    "http://[ff0e::1]:PORT/",
    "http://[100::1]:PORT/",
    "http://[2001:db8::1]:PORT/",
    "http://[2001:10::1]:PORT/",
    "http://[2001:20::1]:PORT/",
    "http://[3fff::1]:PORT/",
    "http://[5f00::1]:PORT/",
    "http://[4000::1]:PORT/",
  ],
  "what is not the public internet": [
    "http://10.0.0.1:PORT/",
    "http://10.255.255.255:PORT/",
    "http://167772161:PORT/",
    "http://172.16.0.1:PORT/",
    "http://172.31.255.255:PORT/",
    "http://192.168.0.1:PORT/",
    "http://0xc0a80101:PORT/",
    "http://169.254.169.254:PORT/latest/meta-data/",
    "http://2852039166:PORT/",
    "http://0xa9fea9fe:PORT/",
    "http://0251.0376.0251.0376:PORT/",
    "http://169.254.0.1:PORT/",
    "http://100.64.0.1:PORT/",
    "http://100.127.255.255:PORT/",
    "http://100.100.100.200:PORT/",
    "http://0.1.2.3:PORT/",
    "http://192.0.0.192:PORT/",
    "http://192.0.2.1:PORT/",
    "http://192.88.99.1:PORT/",
    "http://198.18.0.1:PORT/",
    "http://198.51.100.1:PORT/",
    "http://203.0.113.1:PORT/",
    "http://224.0.0.1:PORT/",
    "http://239.255.255.250:PORT/",
    "http://240.0.0.1:PORT/",
    "http://255.255.255.255:PORT/",
  ],
  "what is said to be somewhere else": [
    "http://public.example@127.0.0.1:PORT/",
    "http://public.example:80@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT@127.0.0.1:PORT/",
    "http://user:password@loop.example:PORT/",
    "http://@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT\\@public.example/",
    "http://127.0.0.1:PORT#@public.example/",
    "http://127.0.0.1:PORT?@public.example/",
    "http://127.0.0.1:PORT/@public.example/",
    "http://public.example%40127.0.0.1:PORT/",
  ],
  "what is no address of HTTP": [
    "file:///etc/passwd",
    "gopher://127.0.0.1:PORT/_POST",
    "ftp://127.0.0.1:PORT/",
    "ws://127.0.0.1:PORT/",
    "data:text/plain,x",
    "javascript:fetch('http://127.0.0.1:PORT/')",
    "unix:/var/run/docker.sock",
    "blob:http://127.0.0.1:PORT/x",
    "//127.0.0.1:PORT/",
    "127.0.0.1:PORT",
    "localhost:PORT",
    "http://",
    "http://:PORT/",
    "http://[::1:PORT/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:99999/",
    `http://loop.example:PORT/${"x".repeat(2001)}`,
    "",
  ],
  "names that mean what is private": Object.keys(names).map((name) => `http://${name}:PORT/`),
};

const all = Object.entries(corpus).flatMap(([group, urls]) => urls.map((url) => [group, url] as const));
const refusals = new Set(["webhook.invalid", "webhook.refused"]);

let listeners: Receiver[];
let port = 0;

beforeAll(async () => {
  const first = await receiver();
  ({ port } = first);
  listeners = [first, await receiver({ host: "127.0.0.2", port }), await receiver({ host: "::1", port })];
});
afterAll(async () => {
  for (const one of listeners) await one[Symbol.asyncDispose]();
});

const connections = (): number[] => listeners.map((one) => one.connections);
const send = (url: URL, guard = guardOf({ resolve })): Promise<Posted> =>
  post(guard, { url, body: "{}", headers: {}, own: {}, timeoutMs: 5000, signal: new AbortController().signal });

test("at least eighty addresses are tried, each once", () => {
  expect(all.length).toBeGreaterThanOrEqual(80);
  expect(new Set(all.map(([, url]) => url)).size).toBe(all.length);
});

test.each(all)("%s: %s is refused when it is given, and again when it is sent to", async (_, pattern) => {
  const text = pattern.replaceAll("PORT", String(port));
  const before = connections();
  const store = fresh();
  const hooks = new Webhooks(store, silent, {}, { resolve });
  expect(refusals).toContain((await errorOf(hooks.create({ url: text }))).code);
  expect(await hooks.list()).toEqual([]);
  await store.close();
  // As if it had been on record: what was stored once is checked each time.
  if (URL.canParse(text)) {
    // Before anything is sent: were it let through, this test would be what asks that machine.
    expect(refusals).toContain((await errorOf(guardOf({ resolve }).target(new URL(text)))).code);
    const { status, error } = await send(new URL(text));
    expect([status, refusals.has(error?.code ?? "")]).toEqual([undefined, true]);
  }
  expect(connections()).toEqual(before);
});

test("the listeners are there, and a range that was allowed is reached", async () => {
  for (const [i, host] of ["127.0.0.1", "127.0.0.2", "[::1]"].entries()) {
    const before = listeners[i]?.connections ?? 0;
    const guard = guardOf({ resolve, allow: ["127.0.0.0/8", "::1"] });
    expect(await send(new URL(`http://${host}:${port}/`), guard)).toEqual({ status: 200 });
    expect(listeners[i]?.connections).toBe(before + 1);
  }
  expect((await errorOf(Promise.resolve().then(() => guardOf({ allow: ["10.0.0.0/40"] })))).code).toBe("usage.invalid");
});

describe("sent elsewhere by a receiver that may be reached", () => {
  const allowed = { resolve, allow: ["127.0.0.1"] };
  const redirected = async (status: number, location: string): Promise<Posted> => {
    await using first = await receiver();
    first.answer = () => ({ status, headers: { location: location.replaceAll("PORT", String(port)) } });
    return await send(new URL(first.url), guardOf(allowed));
  };

  test.each([
    "http://127.0.0.2:PORT/",
    "http://2130706434:PORT/",
    "http://[::1]:PORT/",
    "http://[::ffff:127.0.0.2]:PORT/",
    "http://two.example:PORT/",
    "http://six.example:PORT/",
    "http://both.example:PORT/",
    "http://user@127.0.0.1:PORT/",
    "//127.0.0.2:PORT/",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
  ])("a webhook does not go to %s", async (location) => {
    const before = connections();
    const target = new URL(location.replaceAll("PORT", String(port)), "http://127.0.0.1");
    expect(refusals).toContain((await errorOf(guardOf(allowed).target(target))).code);
    for (const status of [307, 308]) {
      expect(refusals).toContain((await redirected(status, location)).error?.code);
    }
    // These would make another request of it: the answer is that it was not delivered.
    for (const status of [301, 302, 303]) expect(await redirected(status, location)).toEqual({ status });
    expect(connections()).toEqual(before);
  });

  test("it goes where it may go, as it is, three times at most, and takes its own headers to nobody else", async () => {
    await using first = await receiver();
    await using second = await receiver();
    first.answer = (n) => (n === 1 ? { status: 308, headers: { location: `${second.url}/new` } } : { status: 200 });
    second.answer = () => ({ status: 307, headers: { location: "/again" } });
    const wish = { url: new URL(first.url), body: "{}", headers: { "webhook-id": "m" }, own: { "x-key": "k" } };
    const found = await post(guardOf(allowed), {
      ...wish,
      timeoutMs: 5000,
      signal: new AbortController().signal,
    });
    expect(found).toMatchObject({ status: 307, error: { code: "redirects" }, redirects: 3 });
    expect(second.requests.map(({ path }) => path)).toEqual(["/new", "/again", "/again"]);
    expect([...first.requests, ...second.requests].map(({ headers, body }) => [headers["x-key"], body])).toEqual([
      ["k", "{}"],
      [undefined, "{}"],
      [undefined, "{}"],
      [undefined, "{}"],
    ]);
    expect(second.requests[0]?.headers["webhook-id"]).toBe("m");
  });
});

describe("a name that means something else a moment later", () => {
  const flipping = (answers: readonly (readonly string[])[]): { resolve: Resolve; asked: () => number } => {
    let asked = 0;
    return {
      resolve: () => Promise.resolve(answers[Math.min(asked++, answers.length - 1)] ?? []),
      asked: () => asked,
    };
  };

  test("is connected to as it was checked, for it is resolved once", async () => {
    await using first = await receiver();
    // The second listener has the same port, so that only the address tells who was connected to.
    await using second = await receiver({ host: "127.0.0.2", port: first.port });
    const dns = flipping([["127.0.0.1"], ["127.0.0.2"]]);
    const guard = guardOf({ resolve: dns.resolve, allow: ["127.0.0.1"] });
    expect(await send(new URL(`http://flip.example:${first.port}/`), guard)).toEqual({ status: 200 });
    expect([first.connections, second.connections, dns.asked()]).toEqual([1, 0, 1]);
    expect(first.requests[0]?.headers.host).toBe(`flip.example:${first.port}`);
    // The next request asks again, and is refused.
    const refused = await send(new URL(`http://flip.example:${first.port}/`), guard);
    expect([refused.error?.code, second.connections]).toEqual(["webhook.refused", 0]);
  });

  test("is refused where it was public when the webhook was made, and is private when it is sent", async () => {
    await using listener = await receiver({ host: "127.0.0.2" });
    const dns = flipping([["203.0.112.1"], ["127.0.0.2"]]);
    const store = fresh();
    const hooks = new Webhooks(store, silent, {}, { resolve: dns.resolve });
    const { id } = await hooks.create({ url: `http://flip.example:${listener.port}/` });
    const { id: delivery } = await hooks.ping(id);
    await until(async () => (await hooks.deliveries(id)).deliveries[0]?.status !== "pending");
    expect((await hooks.deliveries(id)).deliveries).toMatchObject([
      { id: delivery, status: "failed", attempts: [{ outcome: "failed", error: { code: "webhook.refused" } }] },
    ]);
    expect([dns.asked(), listener.connections]).toEqual([2, 0]);
    await hooks.stop();
    await store.close();
  });

  test("has only addresses that may be reached, or none of them is", async () => {
    for (const answers of [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], []]) {
      const before = connections();
      const guard = guardOf({ resolve: () => Promise.resolve(answers), allow: ["127.0.0.1"] });
      expect((await send(new URL(`http://several.example:${port}/`), guard)).status).toBeUndefined();
      expect(connections()).toEqual(before);
    }
  });
});
