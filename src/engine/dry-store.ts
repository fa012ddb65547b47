/** A store in which one run more seems to be: what is written goes nowhere. For dry runs. */
import { StemmaError } from "../core/error.ts";
import type { Digest } from "../core/event.ts";
import type { StoredEvent } from "../core/chain.ts";
import type { Commit, CommitResult, NewRun, Payload, RunRow, Store } from "../store/store.ts";

/** The store with the run in it, held by whoever asks; `events` are those of the run so far. */
export function storeWith(store: Store, run: NewRun): { store: Store; row: RunRow; events: readonly StoredEvent[] } {
  const events = [...run.events];
  const texts = new Map<Digest, string>();
  const keep = (payloads: readonly Payload[]): void => {
    for (const { digest, text } of payloads) texts.set(digest, text);
  };
  keep(run.payloads);
  const row: RunRow = {
    id: run.id,
    state: run.state,
    epoch: 1,
    worker: "dry run",
    hash: run.events.at(-1)?.hash ?? "",
    dueAt: null,
    queue: run.queue ?? "",
    priority: run.priority ?? 0,
    inbox: 0,
    inboxDone: 0,
    claims: 1,
    offered: true,
  };
  const take = ({ run: id, events: more, payloads, state }: Commit): CommitResult => {
    if (id === run.id) {
      events.push(...more);
      keep(payloads);
      row.state = state;
      row.hash = more.at(-1)?.hash ?? row.hash;
    }
    return { run: id, ok: true, inbox: 0 };
  };
  const never = (): never => {
    throw new StemmaError("engine.bug", "A dry run only looks.");
  };
  const dry: Store = {
    name: store.name,
    create: never,
    claim: never,
    heartbeat: never,
    feed: never,
    prune: never,
    close: never,
    commit: async (parts) => parts.map(take),
    send: async (messages) => messages.map(({ run: id, key }) => ({ run: id, key, accepted: false })),
    list: async (query) => (query.ids?.includes(run.id) === true ? { runs: [row] } : store.list(query)),
    reusable: (family, keys) => store.reusable(family, keys),
    async history(id, page) {
      if (id !== run.id) return store.history(id, page);
      const from = events.slice(page.after + 1);
      return { row, events: from.slice(0, page.limit), more: from.length > page.limit, inbox: [] };
    },
    async payloads(digests) {
      const found = new Map(
        digests.flatMap((digest) => {
          const text = texts.get(digest);
          return text === undefined ? [] : [[digest, text] as const];
        }),
      );
      const missing = digests.filter((digest) => !found.has(digest));
      return missing.length === 0 ? found : new Map([...found, ...(await store.payloads(missing))]);
    },
  };
  return { store: dry, row, events };
}
