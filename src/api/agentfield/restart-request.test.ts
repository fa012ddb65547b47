import { expect, test } from "vitest";
import type { Json } from "../../core/json.ts";
import { errorOf } from "../../../test/stage.ts";
import { askedOf, askedTag, belongsTags, belongsTo } from "./lineage.ts";
import { restartRequest } from "./restart-request.ts";

test("an empty body asks for the whole run again, with what succeeded before", () => {
  const plain = { scope: "workflow", requested: "succeeded-before", effective: "succeeded-before", kind: "restart" };
  expect(restartRequest(undefined)).toEqual(plain);
  expect(restartRequest({})).toEqual(plain);
  expect(restartRequest({ input: null, context: null, reason: "", fork: false })).toEqual(plain);
});

test("of a single execution all successes are reused; what was asked for is kept beside it", () => {
  expect(restartRequest({ scope: "execution" })).toMatchObject({
    requested: "succeeded-before",
    effective: "all-succeeded",
  });
  expect(restartRequest({ scope: "execution", reuse: "none" })).toMatchObject({ requested: "none", effective: "none" });
});

test("it is a fork exactly if it says so, or gives an input (if only an empty one), a patch or a context", () => {
  for (const body of [{ fork: true }, { input: {} }, { input: 0 }, { context: {} }, { patch: { a: 1 } }] as Json[]) {
    expect(restartRequest(body)).toMatchObject({ kind: "fork" });
  }
  for (const body of [{ reason: "again" }, { reuse: "none" }, { scope: "execution" }]) {
    expect(restartRequest(body)).toMatchObject({ kind: "restart" });
  }
});

test("what cannot be meant is refused", async () => {
  for (const body of [[], 3, { scope: "all" }, { reuse: "some" }, { fork: 1 }, { input: 1, patch: {} }] as Json[]) {
    const error = await errorOf(Promise.resolve().then(() => restartRequest(body)));
    expect(error.code, JSON.stringify(body)).toBe("usage.invalid");
  }
});

test("what was asked stands in a tag, and is read from it again; session and actor may have any character", () => {
  const request = restartRequest({ scope: "execution", fork: true });
  expect(askedOf(["eu", askedTag(request, "run_1~4")])).toEqual({
    kind: "fork",
    scope: "execution",
    requested: "succeeded-before",
    effective: "all-succeeded",
    named: "run_1~4",
  });
  expect(askedOf(["eu"])).toBeUndefined();
  expect(askedOf(["asked on the wire of agents: fork nothing"])).toBeUndefined();
  const ids = { session: "a/b#c|d::é", actor: "me" };
  expect(belongsTo(["eu", ...belongsTags(ids)])).toEqual(ids);
  expect(belongsTo(["session %zz"])).toEqual({ session: "%zz" });
  expect(belongsTags({})).toEqual([]);
});
