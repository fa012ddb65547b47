/** Streams as those who come from a control plane expect them (section G of its behaviours), over real HTTP. */
import { describe, expect, it } from "vitest";
import { workflow } from "../../src/index.ts";
import type { FeedEntry } from "../../src/index.ts";
import { serve } from "../server/place.ts";
import { errorOf, until } from "../stage.ts";

const child = workflow({ name: "child" }, (ctx) => ctx.step("work", () => "done"));
const parent = workflow({ name: "parent" }, async (ctx) => {
  await ctx.step("paid", { input: 1 }, () => "paid");
  await ctx.call(child, undefined);
  await ctx.wait("approval");
  return "end";
});
const workflows = [child, parent];

async function all(feed: AsyncGenerator<FeedEntry>): Promise<FeedEntry[]> {
  const entries: FeedEntry[] = [];
  for await (const entry of feed) entries.push(entry);
  return entries;
}

describe("streams, over HTTP", () => {
  it("G1: who comes back with the last id goes on behind it, without a gap or a repeat", async () => {
    await using at = await serve(workflows);
    for (let n = 0; n < 4; n += 1) await (await at.client.run("child", undefined)).result();
    const whole = await all(at.stemma.feed({ once: true }));
    for (const cut of [1, 2, Math.floor(whole.length / 2), whole.length - 1]) {
      const last = whole[cut - 1]?.position ?? 0;
      const response = await fetch(`${at.url}/v1/feed?once=true&after=0`, {
        headers: { "last-event-id": String(last) },
      });
      const data = [...(await response.text()).matchAll(/^data: (\{"position.*)$/gm)].map(([, json]) => json ?? "");
      expect(data.map((json) => JSON.parse(json) as FeedEntry)).toEqual(whole.slice(cut));
    }
  });

  it("G2: every change of state is there: pause, unpause, cancel of a tree, steps of this process, reuse", async () => {
    await using at = await serve(workflows);
    const tail = at.client.feed();
    const run = await at.client.run("parent", undefined);
    await until(async () => (await at.client.waits({ run: run.id })).waits.length > 0);
    await at.client.pause(run.id);
    await until(async () => (await run.status()) === "paused");
    await at.client.unpause(run.id);
    await until(async () => (await run.status()) === "suspended");
    await run.cancel();
    await errorOf(run.result());
    const again = await at.client.restart(run.id);
    await until(async () => (await again.status()) === "suspended");
    await at.client.resume(again.id, "approval", 1);
    await again.result();
    const types: string[] = [];
    for await (const { run: id, event } of tail) {
      types.push(event.type);
      if (id === again.id && event.type === "run.succeeded") break;
    }
    for (const type of ["run.paused", "run.unpaused", "cancel.requested", "run.cancelled", "step.succeeded"]) {
      expect(types).toContain(type);
    }
    expect(types.filter((type) => type === "step.reused").length).toBeGreaterThan(0);
    expect(types).toEqual(
      (await all(at.stemma.feed({ once: true }))).slice(0, types.length).map(({ event }) => event.type),
    );
  });

  it("G3: a tail of a run ends with the run, and not with the first run that it called", async () => {
    await using at = await serve(workflows);
    const run = await at.client.run("parent", undefined);
    // A place that the feed has not come to yet is refused.
    await until(async () => (await at.stemma.store.feed({ after: 0, limit: 1 })).events.length > 0);
    const tails = [all(at.client.feed({ run: run.id })), all(at.client.feed({ run: run.id, after: 1 }))];
    const events = (async () => {
      const types: string[] = [];
      for await (const { type } of run.events()) types.push(type);
      return types;
    })();
    // It rests while it waits for the run that it called, too.
    await until(async () => (await at.client.waits({ run: run.id })).waits.length > 0);
    await at.client.resume(run.id, "approval", 1);
    const history = await at.stemma.history(run.id);
    await run.result();
    const [whole = [], rest = []] = await Promise.all(tails);
    expect(whole.at(-1)?.event.type).toBe("run.succeeded");
    expect(whole.map(({ event }) => event)).toEqual(await at.stemma.history(run.id));
    expect(rest.at(-1)).toEqual(whole.at(-1));
    expect(await events).toEqual(whole.map(({ event }) => event.type));
    expect(history.length).toBeLessThanOrEqual(whole.length);
    // And of one that has ended it gives what there was, and ends too.
    expect(await all(at.client.feed({ run: run.id }))).toEqual(whole);
  });

  it("G4: a reader who is slow gets all, and one who is fast does not wait for it", async () => {
    await using at = await serve(workflows);
    const slow = at.client.feed();
    const first = (await Promise.all([slow.next(), at.client.run("child", undefined)]))[0].value as FeedEntry;
    const fast = at.client.feed();
    for (let n = 0; n < 30; n += 1) await (await at.client.run("child", undefined)).result();
    const whole = await all(at.stemma.feed({ once: true }));
    const seen: FeedEntry[] = [];
    for await (const entry of fast) if (seen.push(entry) >= whole.length) break;
    expect(seen).toEqual(whole);
    const late = [first];
    for await (const entry of slow) if (late.push(entry) >= whole.length) break;
    expect(late).toEqual(whole);
  });

  it("G5: a filter of a run, a family or a workflow gives what fits and nothing else", async () => {
    await using at = await serve(workflows);
    const [one, two] = [await at.client.run("child", undefined), await at.client.run("child", undefined)];
    await Promise.all([one.result(), two.result()]);
    const runs = new Set((await all(at.client.feed({ run: one.id }))).map(({ run }) => run));
    expect([...runs]).toEqual([one.id]);
    const family = await all(at.client.feed({ family: two.id, once: true }));
    expect(new Set(family.map(({ run }) => run))).toEqual(new Set([two.id]));
    expect(await all(at.client.feed({ workflow: "parent", once: true }))).toEqual([]);
  });
});
