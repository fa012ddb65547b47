/**
 * What a restart, a fork or a plan can be refused with. Each code of the table of errors that they can end with is tried,
 * and no row of the store is added, changed or removed by it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { limits } from "../src/core/limits.ts";
import { StemmaError, workflow } from "../src/index.ts";
import type { ErrorCode, RunHandle, Stemma, Store } from "../src/index.ts";
import { around } from "../src/testing/around.ts";
import type { Method } from "../src/testing/around.ts";
import { storeAt } from "./place.ts";
import { rowsAt } from "./rows.ts";
import { errorOf, newPlace, stage, until } from "./stage.ts";

const aNumber = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value: unknown) =>
      typeof value === "object" && value !== null && "n" in value
        ? { value: value as { n: number } }
        : { issues: [{ message: "expected n" }] },
  },
} as const;

const strict = workflow({ name: "strict", input: aNumber }, async (ctx, { n }) => {
  const a = await ctx.step("a", { input: n }, () => 1);
  if (n === 2) await ctx.wait("forever");
  return ctx.step("b", { input: a }, () => 2);
});

const folder = mkdtempSync(join(tmpdir(), "stemma-"));
const place = newPlace(folder);
/** The method of the store that fails, and how. */
let failing: { method: Method; code: ErrorCode } | undefined;
let store: Store;
let stemma: Stemma;
let stop: () => Promise<void>;
let ended: RunHandle;
let going: RunHandle;
let keyed: RunHandle;

beforeAll(async () => {
  store = storeAt(place);
  const unsteady = around(
    store,
    async ({ method, make }) => {
      if (method === failing?.method) throw new StemmaError(failing.code, "It fails just now.");
      return make();
    },
    {},
  );
  const work = await stage([strict], { store: unsteady });
  ({ stemma } = work);
  stop = () => work[Symbol.asyncDispose]();
  ended = await stemma.run(strict, { n: 1 });
  await ended.result();
  going = await stemma.run(strict, { n: 2 });
  await until(async () => (await going.status()) === "suspended");
  keyed = await stemma.restart(ended.id, { idempotencyKey: "taken" });
  await keyed.result();
});

afterAll(async () => {
  await stop();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

const nobody = `run_${"0".repeat(26)}`;
const deep = JSON.parse("[".repeat(limits.jsonDepthMax + 1) + "]".repeat(limits.jsonDepthMax + 1)) as unknown;
const large = "x".repeat(limits.payloadBytesMax + 1);
const circle: { self?: unknown } = {};
circle.self = circle;

type Try = { code: ErrorCode; of?: () => string; change?: object; not?: "plan" | "fork" };

const tries: readonly Try[] = [
  { code: "run.not_found", of: () => nobody },
  { code: "run.invalid_id", of: () => "ticket 12" },
  { code: "run.invalid_id", of: () => "" },
  { code: "run.not_terminal", of: () => going.id, not: "fork" },
  { code: "run.conflict", change: { idempotencyKey: "taken", input: { n: 3 } }, not: "plan" },
  { code: "run.conflict", change: { idempotencyKey: "taken", from: "a" }, not: "plan" },
  { code: "step.not_found", change: { from: "c" } },
  { code: "step.not_found", change: { after: "c" } },
  { code: "step.not_found", change: { allowEffects: ["c"] } },
  { code: "checkpoint.not_found", change: { checkpoint: "last" } },
  { code: "checkpoint.not_found", change: { checkpoint: 1 } },
  { code: "checkpoint.not_found", change: { checkpoint: 1_000_000 } },
  { code: "override.unused", change: { outputs: { c: 1 } } },
  { code: "override.unused", change: { outputs: { a: 1, c: 1 }, from: "b" } },
  { code: "workflow.invalid_input", change: { input: 1 } },
  { code: "workflow.invalid_input", change: { patch: { n: null } } },
  { code: "usage.invalid", change: { reuse: "some" } },
  { code: "usage.invalid", change: { reuse: "none", from: "a" } },
  { code: "usage.invalid", change: { form: "a" } },
  { code: "usage.invalid", change: { from: "a", after: "a" } },
  { code: "usage.invalid", change: { from: "a", checkpoint: "last" } },
  { code: "usage.invalid", change: { from: 7 } },
  { code: "usage.invalid", change: { after: "" } },
  { code: "usage.invalid", change: { checkpoint: "first" } },
  { code: "usage.invalid", change: { checkpoint: 1.5 } },
  { code: "usage.invalid", change: { checkpoint: -1 } },
  { code: "usage.invalid", change: { input: { n: 1 }, patch: {} } },
  { code: "usage.invalid", change: { patch: undefined } },
  { code: "usage.invalid", change: { outputs: ["a"] } },
  { code: "usage.invalid", change: { allowEffects: "a" } },
  { code: "name.invalid", change: { reason: "" } },
  { code: "name.invalid", change: { reason: 7 } },
  { code: "name.invalid", change: { by: "a\u0000" } },
  { code: "name.invalid", change: { idempotencyKey: "" } },
  { code: "name.invalid", change: { tags: ["a/b"] } },
  { code: "name.invalid", change: { tags: "a" } },
  { code: "limit.exceeded", change: { tags: Array.from({ length: limits.tagsMax + 1 }, (_, i) => `t${i}`) } },
  { code: "json.not_serializable", change: { input: { n: 1n } } },
  { code: "json.not_serializable", change: { context: circle } },
  { code: "json.not_serializable", change: { outputs: { a: () => 1 } } },
  { code: "json.not_serializable", change: { patch: { n: Number.NaN } } },
  { code: "json.too_deep", change: { input: { n: deep } } },
  { code: "json.too_deep", change: { outputs: { a: deep } } },
  { code: "payload.too_large", change: { input: { n: large } } },
  { code: "payload.too_large", change: { context: large } },
  { code: "payload.too_large", change: { outputs: { a: large } } },
];

const title = ({ code, change, of }: Try): string => {
  const text = JSON.stringify(change ?? {}, (_, value: unknown) => {
    if (typeof value === "bigint" || typeof value === "function") return String(value);
    return value === circle || value === deep || value === large ? "…" : value;
  });
  return `${code}: ${of === undefined ? "" : "another run "}${text.slice(0, 70)}`;
};

test.each(tries.map((one) => [title(one), one] as const))("%s", async (_, { code, of, change = {}, not }) => {
  const before = await rowsAt(place);
  const source = (of ?? (() => ended.id))();
  const all = {
    restart: () => stemma.restart(source, change),
    fork: () => stemma.fork(source, change),
    plan: () => stemma.plan(source, change, { kind: "restart" }),
    "dry run": () => stemma.plan(source, change, { kind: "restart", dryRun: true }),
  };
  for (const [name, make] of Object.entries(all)) {
    if (name === not || (not === "plan" && name === "dry run")) continue;
    const error = await errorOf(make());
    expect([name, error.code, error.message]).toEqual([name, code, expect.stringMatching(/\.$/u)]);
  }
  expect(await rowsAt(place)).toEqual(before);
});

test("workflow.not_found: a dry run without its code", async () => {
  const before = await rowsAt(place);
  const bare = await stage([], { store });
  expect((await errorOf(bare.stemma.plan(ended.id, {}, { dryRun: true }))).code).toBe("workflow.not_found");
  await bare.stemma.stop();
  expect(await rowsAt(place)).toEqual(before);
});

const stores: readonly [ErrorCode, Method][] = [
  ["store.unavailable", "history"],
  ["store.busy", "create"],
  ["store.full", "create"],
  ["store.not_writable", "create"],
  ["store.corrupt", "history"],
  ["store.unavailable", "create"],
];

test.each(stores)("%s: the store's %s fails", async (code, method) => {
  const before = await rowsAt(place);
  failing = { method, code };
  const refused = await errorOf(stemma.restart(ended.id, { patch: { n: 4 } }));
  failing = undefined;
  expect(refused.code).toBe(code);
  expect(await rowsAt(place)).toEqual(before);
});
