/** Streams over real HTTP: every event once and in order, whatever becomes of the line, the reader or the server. */
import { connect } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { workflow } from "../../src/index.ts";
import type { FeedEntry } from "../../src/index.ts";
import { client } from "../../src/client.ts";
import { server } from "../../src/server.ts";
import { errorOf, fresh, silent, until } from "../stage.ts";
import { Cutter } from "./cutter.ts";
import { serve } from "./place.ts";

const leaf = workflow({ name: "leaf" }, (ctx) => ctx.step("leaf", () => "x".repeat(300)));
const busy = workflow({ name: "busy" }, async (ctx, n: number) => {
  await ctx.map("item", [1, 2, 3, 4, 5], (item) => item * n);
  await ctx.call(leaf, undefined);
  return n;
});
const asking = workflow({ name: "asking" }, (ctx) => ctx.wait("open"));
const telling = workflow({ name: "telling" }, (ctx) => {
  ctx.emit("words", "one");
  ctx.emit("words", "two");
  return ctx.step("told", () => 1);
});
const workflows = [leaf, busy, asking];

async function take(feed: AsyncGenerator<FeedEntry>, count: number): Promise<FeedEntry[]> {
  const entries: FeedEntry[] = [];
  for await (const entry of feed) {
    entries.push(entry);
    if (entries.length >= count) break;
  }
  return entries;
}

async function local(feed: AsyncGenerator<FeedEntry>): Promise<FeedEntry[]> {
  const entries: FeedEntry[] = [];
  for await (const entry of feed) entries.push(entry);
  return entries;
}

describe("a tail over HTTP", () => {
  it("sees every event once and in order through 100 lines that break at random places", async () => {
    await using at = await serve(workflows, { hosts: ["127.0.0.1"] });
    const length = fc.noBias(fc.integer({ min: 1, max: 4000 }));
    const [lengths] = fc.sample(fc.array(length, { minLength: 100, maxLength: 100 }), 1);
    const left = [...(lengths ?? [])];
    await using cutter = await Cutter.to(at.port, () => left.pop() ?? Infinity);
    const near = client({ url: cutter.url });
    const aborting = new AbortController();
    const seen: FeedEntry[] = [];
    const tail = (async () => {
      for await (const entry of near.feed({ signal: aborting.signal })) seen.push(entry);
    })();
    for (let n = 0; cutter.cuts < 100; n += 1) {
      const run = await at.stemma.run(busy, n);
      await run.result();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const last = await at.stemma.run(busy, 99);
    await last.result();
    const all = await local(at.stemma.feed({ once: true }));
    await until(async () => seen.length >= all.length);
    aborting.abort();
    await tail;
    expect(cutter.cuts, `lengths ${String(lengths)}`).toBe(100);
    expect(seen).toEqual(all);
  });

  it("ends when its reader leaves while nothing happens, also when its request was collected as garbage", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    await using at = await serve(workflows);
    await (await at.stemma.run(busy, 1)).result();
    const all = await local(at.stemma.feed({ once: true }));
    const aborting = new AbortController();
    const seen: FeedEntry[] = [];
    const tail = (async () => {
      for await (const entry of at.client.feed({ signal: aborting.signal })) seen.push(entry);
    })();
    await until(() => seen.length === all.length);
    for (let n = 0; n < 5; n += 1) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    aborting.abort();
    await tail;
    expect(seen).toEqual(all);
  });

  it("of a run goes on behind what it gave when the line breaks, and ends with the run", async () => {
    await using at = await serve(workflows, { hosts: ["127.0.0.1"] });
    const run = await at.stemma.run(busy, 7);
    await run.result();
    let cuts = 20;
    await using cutter = await Cutter.to(at.port, () => (cuts-- > 0 ? 900 : Infinity));
    const near = await client({ url: at.url }).get(run.id);
    const far = client({ url: cutter.url });
    const seqs: number[] = [];
    for await (const event of (await far.get(run.id)).events()) seqs.push(event.seq);
    expect(seqs).toEqual((await near.history()).map(({ seq }) => seq));
    const rest: number[] = [];
    for await (const event of near.events({ after: 2 })) rest.push(event.seq);
    expect(rest).toEqual(seqs.slice(3));
  });

  it("outlives the server: it goes on when another listens at the same address", async () => {
    await using store = fresh();
    await using at = await serve(workflows, { engine: { store } });
    const { port } = at;
    const one = await at.stemma.run(busy, 1);
    await one.result();
    const all = await local(at.stemma.feed({ once: true }));
    const tail = at.client.feed();
    const seen = [await tail.next(), await tail.next()].map(({ value }) => value as FeedEntry);
    await at[Symbol.asyncDispose]();
    await using again = await serve(workflows, { port, engine: { store } });
    const third = (await tail.next()).value as FeedEntry;
    await tail.return(undefined);
    expect([...seen, third]).toEqual(all.slice(0, 3));
    await again[Symbol.asyncDispose]();
  });

  it("gives of a filter what fits, and nothing else", async () => {
    await using at = await serve(workflows);
    const before = await at.stemma.run(busy, 1);
    await before.result();
    const live = ["run", "family", "workflow"] as const;
    const filters = { run: before.id, family: before.id, workflow: "leaf" };
    const tails = live.map((name) => at.client.feed({ [name]: filters[name] }));
    const other = await at.stemma.run(busy, 2);
    await other.result();
    const all = await local(at.stemma.feed({ once: true }));
    const ofRun = all.filter(({ run }) => run === before.id);
    expect(await local(tails[0] as AsyncGenerator<FeedEntry>)).toEqual(ofRun);
    const family = await local(at.stemma.feed({ family: before.id, once: true }));
    expect(await take(tails[1] as AsyncGenerator<FeedEntry>, family.length)).toEqual(family);
    const leaves = await local(at.stemma.feed({ workflow: "leaf", once: true }));
    expect(await take(tails[2] as AsyncGenerator<FeedEntry>, leaves.length)).toEqual(leaves);
    expect(await local(at.client.feed({ workflow: "leaf", once: true }))).toEqual(leaves);
  });

  it("loses nothing of a reader who reads nothing for a while, and keeps little for them meanwhile", async () => {
    await using at = await serve(workflows);
    const socket = connect(at.port, "127.0.0.1");
    socket.write(`GET /v1/feed HTTP/1.1\r\nHost: 127.0.0.1:${at.port}\r\n\r\n`);
    await new Promise((resolve) => socket.once("data", resolve));
    socket.pause();
    const before = process.memoryUsage().arrayBuffers;
    for (let n = 0; n < 30; n += 1) {
      await Promise.all(Array.from({ length: 10 }, async () => (await at.stemma.run(busy, n)).result()));
    }
    const all = await local(at.stemma.feed({ once: true }));
    expect(all.length).toBeGreaterThan(4096);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64e6);
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.resume();
    const positions = (): number[] => [...text.matchAll(/^id: (\d+)\ndata: \{/gm)].map(([, id]) => Number(id));
    await until(async () => text.includes(`id: ${all.at(-1)?.position}\ndata`));
    socket.destroy();
    expect(positions()).toEqual(all.map(({ position }) => position));
  });

  it("says how far it has come when nothing that fits has happened, so that nothing is looked at twice", async () => {
    await using at = await serve(workflows, { heartbeatMs: 30 });
    const run = await at.stemma.run(busy, 1);
    await run.result();
    const all = await local(at.stemma.feed({ once: true }));
    const response = await fetch(`${at.url}/v1/feed?workflow=nobody`);
    let text = "";
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      if (text.includes(`id: ${all.at(-1)?.position}\n\n`)) break;
    }
    expect(text).not.toContain("data:");
    expect(response.headers.get("content-type")).toBe("text/event-stream");
  });

  it("refuses more streams than there may be, and has room again when readers have left", async () => {
    await using at = await serve(workflows, { streams: 2 });
    const open = [await fetch(`${at.url}/v1/feed`), await fetch(`${at.url}/v1/feed`)];
    const refused = await fetch(`${at.url}/v1/feed`);
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ code: "request.too_many" });
    await open[0]?.body?.cancel();
    await until(async () => {
      const again = await fetch(`${at.url}/v1/feed`);
      await again.body?.cancel();
      return again.status === 200;
    });
    await open[1]?.body?.cancel();
  });

  it("says why it cannot begin, before it begins", async () => {
    await using at = await serve(workflows);
    for (const [path, code] of [
      [`/v1/runs/run_${"0".repeat(26)}/events`, "run.not_found"],
      ["/v1/runs/x/events", "run.invalid_id"],
      [`/v1/feed?run=run_${"0".repeat(26)}`, "run.not_found"],
      ["/v1/feed?after=-1", "usage.invalid"],
    ]) {
      const response = await fetch(`${at.url}${path}`);
      expect([response.status >= 400, ((await response.json()) as { code: string }).code]).toEqual([true, code]);
    }
    const odd = await fetch(`${at.url}/v1/feed`, { headers: { "last-event-id": "1; drop" } });
    expect(odd.status).toBe(400);
  });

  it("is refused behind a place to which nothing has come, as after the store was replaced: it would miss what comes", async () => {
    await using at = await serve([busy, leaf, telling]);
    const run = await at.stemma.run(telling, undefined);
    await run.result();
    const last = (await local(at.stemma.feed({ once: true }))).at(-1);
    const { seq } = (await at.stemma.row(run.id)).state;
    const far = await at.client.get(run.id);
    const ends: [string, number, (after: number) => AsyncGenerator[]][] = [
      [
        "/v1/feed?once=true",
        last?.position ?? 0,
        (after) => [at.client, at.stemma].map((of) => of.feed({ after, once: true })),
      ],
      [`/v1/runs/${run.id}/events`, seq, (after) => [far, run].map((of) => of.events({ after }))],
      [`/v1/runs/${run.id}/stream?name=words`, 2, (after) => [far, run].map((of) => of.stream("words", { after }))],
    ];
    for (const [path, end, read] of ends) {
      for (const reader of read(end)) expect(await reader.next()).toEqual({ done: true, value: undefined });
      for (const reader of read(end + 1))
        expect(await errorOf(reader.next())).toMatchObject({ code: "cursor.beyond_end", data: { after: end + 1 } });
      const answer = await fetch(at.url + path, { headers: { "last-event-id": String(end + 1) } });
      expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([409, "cursor.beyond_end"]);
    }
  });

  it("goes on from the last place that it was given also where what stood there was pruned", async () => {
    const store = fresh();
    await using at = await serve(workflows, { engine: { store } });
    await (await at.stemma.run(busy, 1)).result();
    const last = (await local(at.stemma.feed({ once: true }))).at(-1);
    await at.stemma.stop();
    const { runs } = await at.stemma.prune({ olderThan: new Date(Date.now() + 60_000) });
    expect([runs, await local(at.stemma.feed({ once: true }))]).toEqual([2, []]);
    const options = { after: last?.position ?? 0, once: true };
    expect([await local(at.stemma.feed(options)), await local(at.client.feed(options))]).toEqual([[], []]);
    await store.close();
  });

  it("ends when the server closes, and the answers under way are given", async () => {
    await using at = await serve(workflows);
    let looks = 0;
    const row = async (id: string): Promise<unknown> => {
      looks += 1;
      return at.stemma.row(id);
    };
    const watched = Object.create(at.stemma, { row: { value: row } }) as typeof at.stemma;
    const listening = await server(watched, { port: 0, log: silent, agents: false }).listen();
    const run = await at.stemma.run(asking, undefined);
    const stream = await fetch(`${listening.url}/v1/runs/${run.id}/events`);
    const result = fetch(`${listening.url}/v1/runs/${run.id}/result?wait=60000`);
    await until(async () => (await run.status()) === "suspended");
    // The stream looked at the run before it began. What has not come yet is no answer that is under way.
    await until(() => looks >= 2);
    await listening.close();
    const text = await stream.text();
    expect(text).toContain("run.created");
    expect(text).not.toContain("event: end");
    expect(await (await result).json()).toEqual({ run: run.id, status: "suspended" });
    await expect(fetch(listening.url)).rejects.toThrow("fetch failed");
  });
});
