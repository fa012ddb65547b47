/**
 * A run that has come to its night, with a history of every usual kind of event; how it goes on in the morning; and what
 * a worker loads of it.
 */
import type { StoredEvent } from "../src/core/chain.ts";
import { load } from "../src/engine/load.ts";
import type { Loaded } from "../src/engine/load.ts";
import type { LoadOptions } from "../src/engine/reading.ts";
import type { StoredOutcome } from "../src/engine/recorded-outcomes.ts";
import { Stemma, workflow } from "../src/index.ts";
import type { RunHandle, RunState, Store, Workflow } from "../src/index.ts";
import type { Pack } from "../src/store/store.ts";
import { fresh, silent, until } from "./stage.ts";

export const shared: string = "a value that many steps return ".repeat(50);
const nightMs = 3_600_000;

/** Waits a night in the middle. `slow` is asked first, and has its record last of all steps of the evening. */
export function long(entered: string[], change: { of?: number } = {}): Workflow<undefined, string[]> {
  const enter = (name: string): string => {
    entered.push(name);
    return name;
  };
  const body = workflow({ name: "long" }, async (ctx) => {
    const dusk = Promise.withResolvers<void>();
    const seen: string[] = [];
    const slow = ctx.step("slow", async () => {
      await dusk.promise;
      return enter("slow");
    });
    for (let i = 0; i < 20; i += 1) {
      const input = { n: i === change.of ? -1 : i };
      const value = await ctx.step("fast", { input }, ({ n }) => (n % 4 === 0 ? shared : enter(`i${n} ${shared}`)));
      seen.push(value === shared ? "shared" : value.slice(0, 4));
    }
    const failed = await ctx.step("bad", () => Promise.reject(new Error(enter("bad")))).catch(String);
    seen.push(failed);
    const sides = await ctx.all({
      left: () => ctx.step("x", () => enter("left")),
      right: () => ctx.step("x", () => 7),
    });
    seen.push(sides.left);
    seen.push(...(await ctx.map("item", [1, 2, 3], { concurrency: 2 }, (item) => enter(`item ${item}`))));
    dusk.resolve();
    seen.push(await slow);
    await ctx.sleep("night", nightMs);
    seen.push(await ctx.step("morning", () => enter("morning")));
    return seen;
  });
  return { ...body, source: JSON.stringify(change) };
}

export type Evening = {
  store: Store;
  id: string;
  entered: string[];
  pass(): void;
  [Symbol.asyncDispose](): Promise<void>;
};

/** A run that has come to its night, and how many of its events are packed together. */
export async function evening(packEvents = 1024): Promise<Evening> {
  let passed = 0;
  const store = fresh({ now: () => Date.now() + passed });
  const entered: string[] = [];
  const first = new Stemma({ store, workflows: [long(entered)], log: silent }, { lingerMs: 10, packEvents });
  await first.start();
  const { id } = await first.run(long([]), undefined);
  await until(async () => (await first.row(id)).state.status === "suspended");
  await first.stop();
  const pass = (): void => void (passed += 2 * nightMs);
  return { store, id, entered, pass, [Symbol.asyncDispose]: () => store.close() };
}

/** Goes on in another process, so to speak, that reads so many events at a time. */
export async function morning(
  store: Store,
  id: string,
  code: Workflow,
  pageEvents: number,
  packEvents = 1024,
): Promise<{ run: RunHandle<string[]>; state: RunState }> {
  const stemma = new Stemma(
    { store, workflows: [code], log: silent },
    { pageEvents, packEvents, recallGraceMs: 60, pollMs: 5 },
  );
  await stemma.start();
  const run = await stemma.get<string[]>(id);
  const over = (row: { state: { status: string; reason?: string } }): boolean =>
    row.state.status === "succeeded" || (row.state.reason !== undefined && row.state.reason !== "waiting");
  await until(async () => over(await stemma.row(id)));
  await stemma.stop();
  return { run, state: (await stemma.row(id)).state };
}

/** The store with some events, payloads or packs changed on their way out; without the last it has no packs. */
export function altered(
  store: Store,
  event: (stored: StoredEvent) => StoredEvent,
  payload: (text: string) => string | undefined = (text) => text,
  pack?: (pack: Pack) => Pack | undefined,
): Store {
  return {
    ...Object.fromEntries(
      (["create", "claim", "heartbeat", "commit", "send", "list", "reusable", "feed", "prune", "close"] as const).map(
        (name) => [name, (store[name] as (...args: unknown[]) => unknown).bind(store)],
      ),
    ),
    name: store.name,
    async history(run: string, page: { after: number; limit: number }) {
      const found = await store.history(run, page);
      return found && { ...found, events: found.events.map(event) };
    },
    async payloads(digests: readonly string[]) {
      const texts = new Map<string, string>();
      for (const [digest, text] of await store.payloads(digests)) {
        const other = payload(text);
        if (other !== undefined) texts.set(digest, other);
      }
      return texts;
    },
    ...(pack === undefined
      ? {}
      : {
          packs: async (...page: Parameters<NonNullable<Store["packs"]>>) =>
            ((await store.packs?.(...page)) ?? []).flatMap((one) => pack(one) ?? []),
        }),
  } as unknown as Store;
}

export async function loadFrom(
  store: Store,
  id: string,
  pageEvents: number,
  options: LoadOptions = {},
): Promise<Loaded> {
  const { runs } = await store.list({ ids: [id] });
  if (runs[0] === undefined) throw new Error("no run");
  return load(store, runs[0], Date.now, (call) => void setImmediate(call), { pageEvents, ...options });
}

export async function outcomesOf({ outcomes, recall }: Loaded): Promise<StoredOutcome[]> {
  const all: StoredOutcome[] = [];
  while (all.length < recall.outcomes) {
    const next = outcomes.take();
    if (next === undefined) await outcomes.arrived();
    else all.push(next);
  }
  return all;
}
