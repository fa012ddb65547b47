import { expect, test } from "vitest";
import { matcher } from "./match.ts";

const match = matcher({ "GET /a/:id": 1, "POST /a/:id": 2, "GET /a/:id/b": 3, "GET /a/fixed/c": 4 });

test("finds a route by method and path, and what stands in the path", () => {
  expect(match("GET", "/a/x%2Fy")).toEqual({ name: "GET /a/:id", route: 1, params: { id: "x/y" } });
  expect(match("POST", "/a/x")?.route).toBe(2);
  expect(match("GET", "/a/x/b")?.params).toEqual({ id: "x" });
  expect(match("GET", "/a/fixed/c")?.route).toBe(4);
});

test("what is none, says nothing, or cannot be read, is no route", () => {
  for (const path of ["/a", "/a/", "/a/x/", "/b/x", "/a/%zz", "/a/x/b/c"]) expect(match("GET", path)).toBeUndefined();
  expect(match("DELETE", "/a/x")).toBeUndefined();
});
