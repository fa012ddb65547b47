/**
 * Where a request may come from, over raw sockets: names in Host (DNS rebinding), origins of pages (CSRF), what forms can
 * send, and what a browser is told that pages of others may read.
 */
import { networkInterfaces } from "node:os";
import { describe, expect, it } from "vitest";
import { Stemma, workflow } from "../../src/index.ts";
import { server } from "../../src/server.ts";
import { fresh, silent } from "../stage.ts";
import { serve } from "./place.ts";
import { raw, request } from "./raw.ts";

const greet = workflow({ name: "greet" }, (ctx) => ctx.step("hi", () => "hi"));
const token = "0123456789abcdef0123456789abcdef";
const start = JSON.stringify({ workflow: "greet" });
const json = (body: string): string[] => ["Content-Type: application/json", `Content-Length: ${body.length}`];

type Case = [what: string, line: string, headers: (port: number) => string[], status: number, body?: string];

const get = "GET /v1/runs";
const post = "POST /v1/runs";
const own = (port: number): string => `Host: 127.0.0.1:${port}`;

const cases: Case[] = [
  ["its own address", get, (port) => [own(port)], 200],
  ["localhost", get, (port) => [`Host: localhost:${port}`], 200],
  ["LOCALHOST", get, (port) => [`Host: LOCALHOST:${port}`], 200],
  ["[::1]", get, (port) => [`Host: [::1]:${port}`], 200],
  ["another name", get, () => ["Host: evil.example"], 403],
  ["another name with its port", get, (port) => [`Host: evil.example:${port}`], 403],
  ["another port", get, (port) => [`Host: 127.0.0.1:${port + 1}`], 403],
  ["no port", get, () => ["Host: 127.0.0.1"], 403],
  ["a trailing dot", get, (port) => [`Host: localhost.:${port}`], 403],
  ["0.0.0.0", get, (port) => [`Host: 0.0.0.0:${port}`], 403],
  ["the whole loopback net", get, (port) => [`Host: 127.0.0.2:${port}`], 403],
  ["a name that begins like ours", get, (port) => [`Host: localhost.evil.example:${port}`], 403],
  ["a name that ends like ours", get, (port) => [`Host: evil-localhost:${port}`], 403],
  ["an address in decimal", get, (port) => [`Host: 2130706433:${port}`], 403],
  ["an address in hexadecimal", get, (port) => [`Host: 0x7f000001:${port}`], 403],
  ["a short address", get, (port) => [`Host: 127.1:${port}`], 403],
  ["IPv4 in IPv6", get, (port) => [`Host: [::ffff:127.0.0.1]:${port}`], 400],
  ["credentials in it", get, (port) => [`Host: evil@127.0.0.1:${port}`], 400],
  ["two ports", get, (port) => [`Host: 127.0.0.1:${port}:80`], 400],
  ["a path in it", get, (port) => [`Host: 127.0.0.1:${port}/x`], 400],
  ["nothing", get, () => ["Host: "], 403],
  ["no Host at all", get, () => [], 400],
  ["two Hosts", get, (port) => [own(port), "Host: evil.example"], 403],
  ["X-Forwarded-Host", get, (port) => ["Host: evil.example", `X-Forwarded-Host: 127.0.0.1:${port}`], 403],
  ["an address line of another host", "GET http://evil.example/v1/runs", () => ["Host: evil.example"], 403],
  ["an address line of another host, with our Host", "GET http://evil.example/v1/runs", (port) => [own(port)], 403],
  ["its own origin", get, (port) => [own(port), `Origin: http://127.0.0.1:${port}`], 200],
  ["another origin", get, (port) => [own(port), "Origin: http://evil.example"], 403],
  ["the origin null", get, (port) => [own(port), "Origin: null"], 403],
  ["its own name at another port", get, (port) => [own(port), `Origin: http://127.0.0.1:${port + 1}`], 403],
  ["its own origin by another name", get, (port) => [own(port), `Origin: http://localhost:${port}`], 403],
  ["an origin that begins like ours", get, (port) => [own(port), `Origin: http://127.0.0.1:${port}.evil.example`], 403],
  ["an origin of another scheme", get, (port) => [own(port), `Origin: file://127.0.0.1:${port}`], 403],
  ["a stream for another origin", "GET /v1/feed", (port) => [own(port), "Origin: http://evil.example"], 403],
  ["a picture of another site", get, (port) => [own(port), "Sec-Fetch-Site: cross-site"], 403],
  ["a page beside ours", get, (port) => [own(port), "Sec-Fetch-Site: same-site"], 403],
  ["a page of ours", get, (port) => [own(port), "Sec-Fetch-Site: same-origin"], 200],
  ["what was typed", get, (port) => [own(port), "Sec-Fetch-Site: none"], 200],
  ["a WebSocket", get, (port) => [own(port), "Upgrade: websocket", "Origin: http://evil.example"], 403],
  ["a start", post, (port) => [own(port), ...json(start)], 201, start],
  ["a start by another origin", post, (port) => [own(port), "Origin: http://evil.example", ...json(start)], 403, start],
  [
    "a form of text",
    post,
    (port) => [own(port), "Content-Type: text/plain", `Content-Length: ${start.length}`],
    415,
    start,
  ],
  [
    "a form of fields",
    post,
    (port) => [own(port), "Content-Type: application/x-www-form-urlencoded", "Content-Length: 3"],
    415,
    "a=1",
  ],
  ["no type", post, (port) => [own(port), `Content-Length: ${start.length}`], 415, start],
  ["a form by another site", post, (port) => [own(port), "Sec-Fetch-Site: cross-site", ...json(start)], 403, start],
  ["a preflight", "OPTIONS /v1/runs", (port) => [own(port), "Origin: http://evil.example"], 403],
];

describe("a server on loopback without a token", () => {
  it(`answers ${cases.length} kinds of Host, Origin and form as it should, and starts nothing for those it refuses`, async () => {
    expect(cases.length).toBeGreaterThanOrEqual(40);
    await using at = await serve([greet]);
    const found = await Promise.all(
      cases.map(async ([what, line, headers, , body]) => {
        const answer = await raw(at.port, request(line, headers(at.port), body));
        expect(answer.headers, what).not.toMatch(/access-control-allow-origin/i);
        if (answer.status >= 400) {
          expect(JSON.parse(answer.body), what).toMatchObject({ code: expect.stringMatching(/^(request|usage)\./) });
        }
        return [what, answer.status];
      }),
    );
    expect(found).toEqual(cases.map(([what, , , status]) => [what, status]));
    expect((await at.stemma.list()).runs).toHaveLength(1);
  });

  it("gives no page of others anything to read, show or keep", async () => {
    await using at = await serve([greet]);
    for (const path of ["/v1/runs", "/v1/runs/x", "/nowhere", "/openapi.json", "/metrics", "/health", "/v1/feed"]) {
      const response = await fetch(`${at.url}${path}`);
      expect(Object.fromEntries(response.headers)).toMatchObject({
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "cache-control": "no-store",
        "cross-origin-resource-policy": "same-origin",
      });
      await response.body?.cancel();
    }
    const echoed = await fetch(`${at.url}/v1/runs?workflow=%3Cscript%3E&%3Cimg%3E=1`);
    expect(echoed.headers.get("content-type")).toBe("application/problem+json");
  });

  it("lets pages of origins that are named ask, and no others", async () => {
    await using at = await serve([greet], { origins: ["https://ui.example"] });
    const host = `Host: 127.0.0.1:${at.port}`;
    const asked = await raw(at.port, request("OPTIONS /v1/runs", [host, "Origin: https://ui.example"]));
    expect(asked.status).toBe(204);
    expect(asked.headers).toMatch(/access-control-allow-origin: https:\/\/ui\.example/i);
    const cross = [host, "Origin: https://ui.example", "Sec-Fetch-Site: cross-site"];
    const read = await raw(at.port, request("GET /v1/runs", cross));
    expect([read.status, /access-control-allow-origin: https:\/\/ui\.example/i.test(read.headers)]).toEqual([
      200,
      true,
    ]);
    const other = await raw(at.port, request("GET /v1/runs", [host, "Origin: http://ui.example"]));
    expect(other.status).toBe(403);
    for (const origin of ["*", "https://ui.example/", "ui.example", "null"]) {
      expect(() => server(at.stemma, { origins: [origin] })).toThrow("Expected an origin");
    }
  });

  it("answers under names that are given, and as part of another server under those alone and this machine's", async () => {
    await using at = await serve([greet], { hosts: ["flows.example", "two.example:8443"] });
    const status = async (host: string): Promise<number> =>
      (await raw(at.port, request("GET /v1/runs", [`Host: ${host}`]))).status;
    expect(await status("flows.example")).toBe(200);
    expect(await status("Flows.Example:99")).toBe(200);
    expect(await status("two.example:8443")).toBe(200);
    expect(await status("two.example")).toBe(403);
    expect(await status("a.flows.example")).toBe(403);
    const app = server(at.stemma, { hosts: ["flows.example"], log: silent });
    const asked = async (url: string): Promise<number> => (await app.fetch(new Request(url))).status;
    expect(await asked("https://flows.example/v1/runs")).toBe(200);
    expect(await asked("http://localhost:3000/v1/runs")).toBe(200);
    expect(await asked("http://evil.example/v1/runs")).toBe(403);
    await app.close();
  });
});

describe("a server on an address that others reach", () => {
  it("does not begin to listen without a token", async () => {
    await using store = fresh();
    const stemma = new Stemma({ store });
    const outside = Object.values(networkInterfaces())
      .flat()
      .find((one) => one?.family === "IPv4" && !one.internal)?.address;
    for (const host of ["0.0.0.0", "::", ...(outside === undefined ? [] : [outside])]) {
      await expect(server(stemma, { host, port: 0 }).listen()).rejects.toMatchObject({ code: "usage.invalid" });
    }
    for (const bad of ["", "short", "with a space in it, long", "ünprintable-0123456789"]) {
      expect(() => server(stemma, { host: "0.0.0.0", token: bad })).toThrow("Expected the token");
    }
  });

  it("gives nothing but its health to who has none", async () => {
    await using at = await serve([greet], { token });
    expect((await fetch(`${at.url}/v1/runs`)).status).toBe(401);
    expect((await fetch(`${at.url}/health`)).status).toBe(200);
    const answer = await fetch(`${at.url}/v1/runs`, { headers: { authorization: `Bearer ${token}` } });
    expect(answer.status).toBe(200);
  });
});
