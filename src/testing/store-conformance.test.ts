/**
 * The suite itself under test: a store that breaks one promise must be found out by the guarantee that names it. Each
 * bug is planted by a wrapper around the real store, so that everything else about it is right.
 *
 * Some bugs cannot be planted from outside, because they change what is written and not what is asked: an epoch that a
 * claim does not raise, a flush that is no transaction, positions that are given again after a prune, payloads kept
 * once per event, a commit that is not synced. The suite looks for all of these but the last, which takes a power cut.
 */
import { describe, expect, it } from "vitest";
import { isStemmaError } from "../core/error.ts";
import { sqlite } from "../sqlite.ts";
import type { ClaimRequest, Commit, FeedQuery, NewRun, Offer, Pack, RunRow, Sent, Store } from "../store/store.ts";
import { storeConformance } from "./store-conformance.ts";

type Guarantee = { title: string; body: () => Promise<void> };
type Bug = { bug: string; title: string; plant: (store: Store) => Partial<Store> };

/** A test runner of five lines: it collects what is registered. */
function guaranteesOf(make: (store: Store) => Store): Guarantee[] {
  const collected: Guarantee[] = [];
  storeConformance({
    describe: (_subject, body) => body(),
    it: (title, body) => collected.push({ title, body }),
    async create({ now }) {
      const store = sqlite({ path: ":memory:", now });
      return { store: make(store), cleanup: () => store.close() };
    },
  });
  return collected;
}

function withBug(store: Store, plant: (store: Store) => Partial<Store>): Store {
  const right: Store = {
    name: store.name,
    create: (runs) => store.create(runs),
    claim: (request) => store.claim(request),
    heartbeat: (request) => store.heartbeat(request),
    commit: (parts) => store.commit(parts),
    history: (run, page) => store.history(run, page),
    packs: async (run, page) => (await store.packs?.(run, page)) ?? [],
    payloads: (digests) => store.payloads(digests),
    send: (messages) => store.send(messages),
    list: (query) => store.list(query),
    reusable: (family, keys) => store.reusable(family, keys),
    feed: (query) => store.feed(query),
    prune: (request) => store.prune(request),
    close: () => store.close(),
  };
  return { ...right, ...plant(store) };
}

async function failure({ body }: Guarantee): Promise<unknown> {
  try {
    await body();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Passes on what a commit asks for, changed. */
function commitChanged(store: Store, change: (part: Commit, row: RunRow) => Commit): Partial<Store> {
  return {
    async commit(parts) {
      const changed: Commit[] = [];
      for (const part of parts) {
        const row = (await store.history(part.run, { after: -1, limit: 1 }))?.row;
        changed.push(row === undefined ? part : change(part, row));
      }
      return store.commit(changed);
    },
  };
}

function claimChanged(store: Store, change: (request: ClaimRequest) => ClaimRequest): Partial<Store> {
  return { claim: (request) => store.claim(change(request)) };
}

function createChanged(store: Store, change: (run: NewRun) => NewRun): Partial<Store> {
  return { create: (runs) => store.create(runs.map(change)) };
}

/** Keeps packs beside the store, in memory, and never lets go of one. */
function keepingPacks(store: Store): Partial<Store> {
  const packs = new Map<string, Map<number, Pack>>();
  return {
    async commit(parts) {
      for (const { run, packs: brought = [] } of parts) {
        const those = packs.get(run) ?? new Map<number, Pack>();
        for (const pack of brought) those.set(pack.first, pack);
        packs.set(run, those);
      }
      return store.commit(parts);
    },
    async packs(run, { from, limit }) {
      const all = [...(packs.get(run)?.values() ?? [])].filter(({ first }) => first >= from);
      return all.toSorted((a, b) => a.first - b.first).slice(0, limit);
    },
  };
}

function rowsChanged(store: Store, change: (row: RunRow) => RunRow): Partial<Store> {
  return {
    async list(query) {
      const page = await store.list(query);
      return { ...page, runs: page.runs.map(change) };
    },
    async history(run, page) {
      const found = await store.history(run, page);
      return found === undefined ? found : { ...found, row: change(found.row) };
    },
  };
}

const without = <T extends object, K extends keyof T>(value: T, key: K): Omit<T, K> => {
  const { [key]: _, ...rest } = value;
  return rest;
};

let made = 0;

const bugs: readonly Bug[] = [
  {
    bug: "the epoch of a commit is not looked at",
    title: "a stale lease cannot commit",
    plant: (store) => commitChanged(store, (part, row) => ({ ...part, epoch: row.epoch })),
  },
  {
    bug: "the seq of a commit is not looked at",
    title: "a part that does not begin behind the last event is refused, too early and too late",
    plant: (store) =>
      commitChanged(store, (part, row) => {
        const seq = row.state.seq + 1;
        return { ...part, seq, events: part.events.map((event, i) => ({ ...event, seq: seq + i })) };
      }),
  },
  {
    bug: "a claim gives what somebody holds",
    title: "of two workers only one gets a run",
    plant: (store) => ({
      async claim(request) {
        const claimed = await store.claim(request);
        const held = (await store.list({})).runs.filter(({ worker }) => worker !== undefined);
        const missing = held.filter(({ id }) => claimed.runs.every((run) => run.id !== id));
        return { ...claimed, runs: [...claimed.runs, ...missing].slice(0, request.limit) };
      },
    }),
  },
  {
    bug: "a send accepts what came before",
    title: "a message is accepted once per key",
    plant: (store) => ({
      async send(messages) {
        const sent: Sent[] = [];
        for (const message of messages) {
          const [first] = await store.send([message]);
          if (first?.reason === "repeated") await store.send([{ ...message, key: `${message.key} ${(made += 1)}` }]);
          sent.push(
            first?.reason === "repeated" ? { run: message.run, key: message.key, accepted: true } : (first as Sent),
          );
        }
        return sent;
      },
    }),
  },
  ...["every event is in the feed once, as the history has it", "every page size gives the same feed"].map((title) => ({
    bug: "the feed leaves an event out",
    title,
    plant: (store: Store): Partial<Store> => ({
      async feed(query: FeedQuery) {
        const page = await store.feed(query);
        return { ...page, events: page.events.filter(({ position }) => position !== 5) };
      },
    }),
  })),
  {
    bug: "the feed gives the last event of a page again",
    title: "from every position the feed goes on exactly behind it",
    plant: (store) => ({ feed: (query) => store.feed({ ...query, after: Math.max(0, query.after - 1) }) }),
  },
  ...[
    "a suspend is refused when a message came that its holder has not seen",
    "a suspend that has taken in one of two messages is refused",
    "however a message and a suspend meet, the run is woken",
  ].map((title) => ({
    bug: "a release does not look into the inbox, and forgets who it woke",
    title,
    plant: (store: Store): Partial<Store> =>
      commitChanged(store, (part, row) => (part.release === undefined ? part : { ...part, inbox: row.inbox })),
  })),
  {
    bug: "a release is always forced",
    title: "a suspend is refused when a message came that its holder has not seen",
    plant: (store) =>
      commitChanged(store, (part) =>
        part.release === undefined ? part : { ...part, release: { ...part.release, force: true } },
      ),
  },
  {
    bug: "one refused part refuses all",
    title: "a refused part leaves the others of its flush committed",
    plant: (store) => ({
      async commit(parts) {
        const results = [];
        for (const part of parts) {
          const [result] = await store.commit([part]);
          if (result !== undefined) results.push(result);
          if (result?.ok === false) break;
        }
        return results;
      },
    }),
  },
  {
    bug: "an idempotency key is forgotten",
    title: "a run created twice with one idempotency key exists once",
    plant: (store) => createChanged(store, (run) => without(run, "idempotencyKey")),
  },
  {
    bug: "a run is due when it is created, whatever it says",
    title: "a run that is not due is not given, and is when its time has come",
    plant: (store) => createChanged(store, (run) => without(run, "dueAt")),
  },
  {
    bug: "the most urgent come last",
    title: "the most urgent run comes first, however long others are due",
    plant: (store) => ({
      async claim(request) {
        const claimed = await store.claim(request);
        return { ...claimed, runs: claimed.runs.toReversed() };
      },
    }),
  },
  {
    bug: "a refused fingerprint is given its run again",
    title: "code that could not recall a run is not given that run again, other code is",
    plant: (store) =>
      claimChanged(store, (request) => ({
        ...request,
        offers: request.offers.map((offer) => ({ ...offer, fingerprint: `any ${(made += 1)}` })),
      })),
  },
  {
    bug: "leases never run out",
    title: "runs of a worker whose lease has run out are given to others",
    plant: (store) => claimChanged(store, (request) => ({ ...request, leaseMs: 1e12 })),
  },
  {
    bug: "a heartbeat renews nothing",
    title: "a heartbeat renews the lease of all runs of its worker",
    plant: (store) => ({ heartbeat: (request) => store.heartbeat({ ...request, leaseMs: 1 }) }),
  },
  {
    bug: "a worker that was taken for dead is not told",
    title: "a worker that was taken for dead learns it at its next heartbeat",
    plant: (store) => ({
      heartbeat: async (request) => ({ ...(await store.heartbeat(request)), expired: false }),
    }),
  },
  {
    bug: "messages come with every page",
    title: "every page size gives the same history",
    plant: (store) => ({
      async history(run, page) {
        const found = await store.history(run, page);
        if (found === undefined) return found;
        const last = await store.history(run, { after: Number.MAX_SAFE_INTEGER, limit: 1 });
        return { ...found, inbox: last?.inbox ?? [] };
      },
    }),
  },
  {
    bug: "text is brought into another normal form",
    title: "awkward text passes unchanged, in every place that holds text",
    plant: (store) => ({
      async payloads(digests) {
        return new Map([...(await store.payloads(digests))].map(([digest, text]) => [digest, text.normalize("NFC")]));
      },
    }),
  },
  {
    bug: "everything is always offered",
    title: "a run is offered while a worker with code for it has its lease, and not before or after",
    plant: (store) => rowsChanged(store, (row) => ({ ...row, offered: true })),
  },
  {
    bug: "only what is held is offered",
    title: "a run that nobody holds is offered too, and one that nobody may claim yet",
    plant: (store) => rowsChanged(store, (row) => ({ ...row, offered: row.worker !== undefined })),
  },
  {
    bug: "a worker adds to its offers and never takes one back",
    title: "what a worker offers is what it claimed with last, also when there is nothing to claim",
    plant(store) {
      const ever: Offer[] = [];
      return claimChanged(store, (request) => {
        ever.push(...request.offers);
        return { ...request, offers: [...ever] };
      });
    },
  },
  {
    bug: "a page of the list loses its last run",
    title: "every page size gives the same list",
    plant: (store) => ({
      async list(query) {
        const page = await store.list(query);
        return page.cursor === undefined ? page : { ...page, runs: page.runs.slice(0, -1) };
      },
    }),
  },
  {
    bug: "a family is offered what another family has recorded",
    title: "only successes of the family that asks are found",
    plant: (store) => ({
      async reusable(_family, keys) {
        const all = new Map<string, { run: string; seq: number }[]>();
        for (const { state } of (await store.list({})).runs) {
          for (const [key, found] of await store.reusable(state.family, keys))
            all.set(key, [...(all.get(key) ?? []), ...found]);
        }
        return all;
      },
    }),
  },
  {
    bug: "a dry run is none",
    title: "a dry run counts what a real one removes, and changes nothing",
    plant: (store) => ({ prune: (request) => store.prune({ ...request, dryRun: false }) }),
  },
  {
    bug: "what other runs come from is not looked at",
    title: "pruning keeps a run that another comes from: a restart",
    plant: (store) =>
      createChanged(store, (run) => ({ ...run, state: { ...run.state, origin: { kind: "new" }, family: run.id } })),
  },
  {
    bug: "packs are cut where a text would be",
    title: "packs come back byte for byte, of one run, from a seq on, in order, as many as are asked for",
    plant: (store) => ({
      async packs(run, page) {
        const packs = (await store.packs?.(run, page)) ?? [];
        return packs.map(({ first, body }) => ({ first, body: Buffer.from(Buffer.from(body).toString("utf8")) }));
      },
    }),
  },
  {
    bug: "packs are kept whatever becomes of their part",
    title: "a refused part leaves no pack, and those of the others of its flush stay",
    plant: (store) => keepingPacks(store),
  },
  {
    bug: "a pack that is there stays as it is",
    title: "of a pack that is written again the last one counts",
    plant(store) {
      const there = new Set<string>();
      return commitChanged(store, (part) => {
        const packs = (part.packs ?? []).filter(({ first }) => !there.has(`${part.run} ${first}`));
        for (const { first } of packs) there.add(`${part.run} ${first}`);
        return { ...part, packs };
      });
    },
  },
  {
    bug: "packs stay when their run goes",
    title: "packs go with their run and not before, and a new run has none",
    plant: (store) => keepingPacks(store),
  },
  {
    bug: "a closed store goes on",
    title: "a closed store answers every call with store.closed",
    plant: () => ({ close: () => Promise.resolve() }),
  },
];

describe("the conformance suite", () => {
  const right = guaranteesOf((store) => withBug(store, () => ({})));

  it("says every guarantee once", () => {
    expect(right.length).toBeGreaterThan(150);
    expect(new Set(right.map(({ title }) => title)).size).toBe(right.length);
  });

  it.each(bugs)("finds out that $bug: $title", async ({ title, plant }) => {
    const passing = right.find((guarantee) => guarantee.title === title);
    const planted = guaranteesOf((store) => withBug(store, plant)).find((guarantee) => guarantee.title === title);
    if (passing === undefined || planted === undefined) throw new Error(`There is no guarantee titled "${title}".`);
    expect(await failure(passing), "the store without the bug").toBeUndefined();
    expect(await failure(planted), "the store with the bug").toBeInstanceOf(Error);
  });

  it("takes a store that keeps no packs", async () => {
    const keepsNone = (store: Store): Store => {
      const { packs: _, ...rest } = withBug(store, () => ({}));
      return { ...rest, commit: (parts) => store.commit(parts.map((part) => without(part, "packs"))) };
    };
    const collected = guaranteesOf(keepsNone).filter(({ title }) => title.includes("pack"));
    expect(collected.length).toBeGreaterThan(3);
    for (const guarantee of collected) expect(await failure(guarantee), guarantee.title).toBeUndefined();
  });

  it("says what it needs where there is no test runner", () => {
    const create = (): Promise<never> => Promise.reject(new Error("is not called"));
    try {
      storeConformance({ create });
      expect.unreachable();
    } catch (error) {
      expect(isStemmaError(error, "usage.invalid")).toBe(true);
    }
  });
});
