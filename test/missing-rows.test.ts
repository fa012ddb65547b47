/** Rows that somebody removed from the tables of a store, past it: whoever asks for what they said is told so, with a code. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { Stemma, StemmaError, workflow } from "../src/index.ts";
import type { RunId } from "../src/index.ts";
import { newPlace, onPostgres, silent } from "./stage.ts";
import { storeAt } from "./place.ts";
import { tablesAt } from "./tamper.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-rows-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const part = workflow({ name: "part" }, (ctx, n: number) => ctx.step("part", { input: n }, () => "x".repeat(3000)));
const whole = workflow({ name: "whole" }, async (ctx) => {
  await ctx.step("pay", { input: 1, effect: "once" }, () => 1);
  await ctx.call(part, 1);
  ctx.set(["tagged"]);
  ctx.emit("words", "hi");
  return ctx.step("end", { input: 2 }, () => "y".repeat(3000));
});

/** What `verify` says where the rows of a run are gone from a table, if these are any that a history needs. */
const tables: Record<string, string | undefined> = {
  runs: "run missing",
  events: "event missing",
  payloads: "payload missing",
  payload_uses: undefined,
  tags: undefined,
  inbox: undefined,
  emitted: undefined,
  effects: undefined,
  ...(onPostgres ? { feed: undefined } : {}),
};

/** Everything that can be asked about a run, or of it. */
function questions(stemma: Stemma, id: RunId, other: RunId): Record<string, () => Promise<unknown>> {
  return {
    get: () => stemma.get(id),
    result: async () => (await stemma.get(id)).result(),
    history: () => stemma.history(id),
    page: () => stemma.store.history(id, { after: -1, limit: 10 }),
    trace: () => stemma.trace(id, { family: true }),
    lineage: () => stemma.lineage(id),
    stateAt: () => stemma.stateAt(id, 1),
    why: () => stemma.why(id),
    prov: () => stemma.prov(id, { family: true }),
    compare: () => stemma.compare(id, other),
    plan: () => stemma.plan(id, {}, { dryRun: true }),
    golden: () => stemma.golden(id),
    fork: async () => (await stemma.fork(id, { input: 3 })).result(),
    cancel: () => stemma.cancel(id),
    signal: () => stemma.signal(id, "s", 1),
    export: async () => {
      for await (const text of stemma.export(id)) expect(text).toBeTypeOf("string");
    },
    feed: () => stemma.store.feed({ after: 0, limit: 100, run: id }),
    "feed of the family": () => stemma.store.feed({ after: 0, limit: 100, family: id }),
  };
}

async function codeOf(asked: () => Promise<unknown>): Promise<string> {
  try {
    await asked();
    return "answered";
  } catch (error) {
    return error instanceof StemmaError ? error.code : String(error);
  }
}

it.each(Object.keys(tables))("of %s", async (table) => {
  const place = newPlace(folder);
  await using store = storeAt(place);
  await using stemma = await new Stemma({ store, workflows: [part, whole], log: silent }, { lingerMs: 10 }).start();
  const run = await stemma.run(whole, undefined, { tags: ["first"] });
  await run.result();
  const fork = await stemma.fork(run.id, {});
  await fork.result();
  await using raw = await tablesAt(place);
  if (onPostgres) await raw.exec("alter table payload_uses drop constraint if exists payload_uses_digest_fkey");
  const n = onPostgres ? `'${run.id}'` : `(select n from runs where id = '${run.id}')`;
  const which: Record<string, string> = { runs: `id = '${run.id}'`, payloads: "true", effects: "true" };
  await raw.exec(`delete from ${table} where ${which[table] ?? `run = ${n}`}`);

  const kind = tables[table];
  const { flaws } = await stemma.verify();
  if (kind === undefined) expect(flaws).toEqual([]);
  else expect(flaws.filter((flaw) => flaw.kind === kind && flaw.run !== fork.id)).not.toEqual([]);
  if (table === "runs" && onPostgres) {
    expect((await stemma.verify(run.id)).flaws).toMatchObject([{ run: run.id, kind }]);
    expect(flaws.map((flaw) => flaw.run)).toContain(run.id);
  }
  const bad: string[] = [];
  for (const id of [run.id, fork.id]) {
    for (const [name, asked] of Object.entries(questions(stemma, id, fork.id))) {
      const code = await codeOf(asked);
      const expected = ["answered", "run.not_found", "run.ended", "store.corrupt", "payload.missing"];
      if (!expected.includes(code)) bad.push(`${name}: ${code}`);
    }
  }
  const later = new Date(Date.now() + 3_600_000);
  for (const asked of [
    () => stemma.list(),
    () => stemma.waits(),
    () => stemma.goldens(),
    () => store.feed({ after: 0, limit: 100 }),
    () => stemma.prune({ olderThan: later, dryRun: true }),
    () => stemma.prune({ olderThan: later }),
  ]) {
    expect(await codeOf(asked)).toBe("answered");
  }
  expect(bad).toEqual([]);
});
