/** Which methods a path takes: what a refused one is told, and HEAD beside GET. */
import { expect, it } from "vitest";
import { contract } from "../../src/api/contract/contract.ts";
import type { RouteSpec } from "../../src/api/contract/route.ts";
import { serve } from "./place.ts";

const tokens = [{ name: "reader", token: "read-0123456789abcdef", scope: "read" }] as const;
const read = { authorization: "Bearer read-0123456789abcdef" };

it("says which methods it takes, to those alone who may look", async () => {
  await using at = await serve([], { tokens });
  const paths = new Map<string, string[]>();
  for (const name of Object.keys(contract)) {
    const [method = "", path = ""] = name.split(" ");
    paths.set(path, [...(paths.get(path) ?? []), method]);
  }
  for (const [path, methods] of paths) {
    const { kind }: Partial<RouteSpec> = (contract as Partial<Record<string, RouteSpec>>)[`GET ${path}`] ?? {};
    const takesHead = methods.includes("GET") && kind !== "stream" && kind !== "lines";
    if (takesHead) methods.push("HEAD");
    for (const method of takesHead ? ["PUT", "OPTIONS"] : ["HEAD", "PUT", "OPTIONS"]) {
      const response = await fetch(at.url + path, { method, headers: read });
      const allowed = response.headers.get("allow")?.split(", ").toSorted() ?? [];
      expect([path, method, response.status, allowed]).toEqual([path, method, 405, methods.toSorted()]);
      if (method === "HEAD") continue;
      const { detail, data } = (await response.json()) as { detail: string; data: unknown };
      expect(detail).toMatch(new RegExp(`^Expected [A-Z, or]+ for .*, got ${method}\\.$`));
      expect(data).toEqual({ method, allowed: expect.arrayContaining(methods) });
    }
  }
  const put = await fetch(`${at.url}/v1/runs`, { method: "PUT" });
  expect([put.status, put.headers.get("allow")]).toEqual([401, null]);
});

it("answers HEAD as GET, but for the body, and without a token where GET needs none", async () => {
  await using at = await serve([], { tokens });
  const answer = async (path: string, method: string, headers: Record<string, string>): Promise<unknown[]> => {
    const response = await fetch(at.url + path, { method, headers });
    const text = await response.text();
    return [response.status, response.headers.get("content-type"), method === "HEAD" ? text : ""];
  };
  for (const headers of [{}, read]) {
    for (const path of ["/health", "/openapi.json", "/metrics", "/v1/runs", "/v1/runs/run_x", "/nothing"])
      expect([path, ...(await answer(path, "HEAD", headers))]).toEqual([path, ...(await answer(path, "GET", headers))]);
  }
  expect(await answer("/health", "HEAD", {})).toEqual([200, "application/json", ""]);
  const other = await fetch(`${at.url}/health`, { method: "DELETE" });
  expect([other.status, other.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
});
