/** A family is verified as one: what its runs name of each other must be there, across restart, fork, call and checkpoint. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { Context, Flaw, RunHandle } from "../src/index.ts";
import { newPlace, onPostgres, silent } from "./stage.ts";
import { storeAt } from "./place.ts";
import { tablesAt } from "./tamper.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-verify-"));
const where = newPlace(folder);
const store = storeAt(where);
let broken = true;

const leaf = workflow({ name: "leaf" }, (ctx, input: string) => ctx.step("double", { input }, () => input.repeat(2)));
const tree = workflow({ name: "tree" }, async (ctx: Context<{ big: string[] }>, input: { n: number }) => {
  const big = ctx.restored?.big;
  if (big === undefined) {
    const first = await ctx.step("large", () => "x".repeat(5000));
    await ctx.checkpoint({ big: Array.from({ length: 50 }, (_, i) => `${first.slice(0, 100)}${i}`) });
  }
  const called = await ctx.call(leaf, `leaf ${input.n}`);
  await ctx.step("breaks", () => {
    if (broken) throw new Error("a bug");
    return 1;
  });
  return { called, big: big?.length };
});

const stemma = new Stemma({ store, workflows: [leaf, tree], log: silent }, { lingerMs: 10 });
let [source, again, forked]: RunHandle[] = [];

beforeAll(async () => {
  await stemma.start();
  source = await stemma.run(tree, { n: 1 });
  await source.result().catch(() => {});
  broken = false;
  again = await stemma.restart(source.id);
  await again.result();
  const checkpoint = (await source.history()).find(({ type }) => type === "checkpoint")?.seq ?? 0;
  forked = await stemma.fork(source.id, { checkpoint, input: { n: 2 } });
  await forked.result();
  await stemma.stop();
});
afterAll(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

const found = (flaws: readonly Flaw[]): object[] =>
  flaws.map(({ run, kind, target }) => ({ run, kind, ...(target === undefined ? {} : { target: target.run }) }));

describe("a family", () => {
  it("is as it was written, its checkpoints' states and what was reused among it", async () => {
    const verified = await stemma.verify(source?.id, { family: true });
    expect(verified).toMatchObject({ ok: true, flaws: [], runs: 5 });
    expect(verified.payloads).toBeGreaterThan(3);
    const reused = (await again?.history())?.filter(({ type }) => type === "step.reused").length ?? 0;
    expect(reused).toBeGreaterThan(0);
  });

  it("names who left a source, or reused something, that is not there as it was", async () => {
    await using tables = await tablesAt(where);
    const id = source?.id ?? "";
    const events = await tables.events(id);
    // Everything behind the first two events is gone, and the row says so: the source by itself is fine again.
    for (const { seq } of events.slice(2)) {
      await tables.put(
        id,
        events.filter((event) => event.seq !== seq),
      );
      const { flaws } = await stemma.verify(undefined);
      expect(found(flaws)).toContainEqual({ run: id, kind: "event missing" });
      for (const { run, seq: at, target } of flaws) {
        if (run === id) expect(at).toBe(seq);
        else expect(target).toEqual({ run: id, seq });
      }
    }
    await tables.put(id, events);
    expect((await stemma.verify()).ok).toBe(true);
  });

  it("names who comes from a run that is not there, and who called it", async () => {
    await using tables = await tablesAt(where);
    const rename = async (from = "", to = ""): Promise<void> => {
      await tables.exec(`update runs set id = '${to}' where id = '${from}'`);
      if (onPostgres) await tables.exec(`update events set run = '${to}' where run = '${from}'`);
    };
    await rename(source?.id, "run_gone");
    const { flaws } = await stemma.verify(again?.id);
    expect(found(flaws)).toContainEqual({ run: again?.id, kind: "run missing", target: source?.id });
    await rename("run_gone", source?.id);
    expect((await stemma.verify()).ok).toBe(true);
  });

  it("gives away a source that was written anew with all its hashes: whoever left it knows the hash there", async () => {
    const [{ seq, hash } = { seq: 0, hash: "" }] = (await source?.history())?.slice(-2) ?? [];
    expect((await stemma.verify(source?.id, { expect: { seq, hash } })).ok).toBe(true);
    const other = `${hash.startsWith("0") ? "1" : "0"}${hash.slice(1)}`;
    expect(found((await stemma.verify(source?.id, { expect: { seq, hash: other } })).flaws)).toEqual([
      { run: source?.id, kind: "event replaced" },
    ]);
  });

  it("names every event that holds a piece of a checkpoint's state that is not there", async () => {
    await using tables = await tablesAt(where);
    const checkpoint = (await source?.history())?.find(({ type }) => type === "checkpoint");
    const state = checkpoint?.type === "checkpoint" ? checkpoint.data.state : {};
    const digest = "digest" in state ? String(state.digest) : "";
    const text = await tables.payload(digest);
    await tables.putPayload(digest, `${text} `);
    const { flaws } = await stemma.verify(undefined);
    expect(new Set(flaws.map(({ run, kind }) => `${run} ${kind}`))).toEqual(
      new Set([source, again, forked].map((run) => `${run?.id} payload altered`)),
    );
    await tables.putPayload(digest, text);
    expect((await stemma.verify()).ok).toBe(true);
  });
});

describe("verification", () => {
  it("ends when it is told to, and says how far it is", async () => {
    const seen: number[] = [];
    await stemma.verify(undefined, { onProgress: ({ events }) => seen.push(events) });
    expect(seen.length).toBeGreaterThanOrEqual(5);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  });
});
