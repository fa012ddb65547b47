import { expect, test } from "vitest";
import { Stemma, workflow } from "../index.ts";
import { sqlite } from "../sqlite.ts";
import type { Store } from "../store/store.ts";
import { StemmaError } from "../core/error.ts";
import { follow } from "./follow.ts";

const release = Promise.withResolvers<void>();
const demo = workflow({ name: "demo" }, async (ctx) => {
  for (let i = 0; i < 5; i += 1) await ctx.step("quick", () => i);
  await ctx.step("slow", () => release.promise);
});

/** The store with its questions counted; nothing else of it may be asked. */
function counted(store: Store, before: () => void = () => {}): { store: Store; asked: number[]; given: number[] } {
  const asked: number[] = [];
  const given: number[] = [];
  const only = {
    async history(run: string, page: { after: number; limit: number }) {
      asked.push(page.after);
      before();
      const found = await store.history(run, page);
      given.push(...(found?.events.map(({ seq }) => seq) ?? []));
      return found;
    },
  };
  return { store: only as Store, asked, given };
}

test("following a run is one question each time, reads no event twice, and ends when the run ends", async () => {
  await using store = sqlite(":memory:");
  await using stemma = new Stemma({ store, workflows: [demo] });
  const run = await stemma.run(demo, null);
  const watched = counted(store);
  const signal = new AbortController().signal;
  const trouble = (error: StemmaError): void => expect.unreachable(error.message);
  let polls = 0;
  const seen: number[] = [];
  for await (const news of follow(watched.store, run.id, { pollMs: 5, signal, trouble })) {
    polls += 1;
    seen.push(...news.events.map(({ seq }) => seq));
    if (polls === 1) await stemma.start();
    if (seen.length > 5 && news.events.length === 0) release.resolve();
  }
  const events = await run.history();
  expect(events.at(-1)?.type).toBe("run.succeeded");
  expect(seen).toEqual(events.map(({ seq }) => seq));
  expect(watched.given).toEqual(seen);
  expect(watched.asked).toHaveLength(polls);
});

test("a store that is busy is asked again, and a run that is not there is an error", async () => {
  await using store = sqlite(":memory:");
  const stemma = new Stemma({ store });
  const { id } = await stemma.run(demo, null);
  let busy = 1;
  const watched = counted(store, () => {
    if (busy-- > 0) throw new StemmaError("store.busy", "locked");
  });
  const ended = new AbortController();
  const troubles: string[] = [];
  const options = { pollMs: 5, signal: ended.signal, trouble: ({ code }: StemmaError) => void troubles.push(code) };
  for await (const { events } of follow(watched.store, id, options)) {
    expect(events).toHaveLength(1);
    ended.abort();
  }
  expect(troubles).toEqual(["store.busy"]);
  const missing = follow(store, id.replace(/.{4}$/, "0000"), { ...options, signal: new AbortController().signal });
  await expect(missing.next()).rejects.toMatchObject({ code: "run.not_found" });
});
