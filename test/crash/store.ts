/**
 * Stores around a store. A SQLite file answers at once, which hides what may happen between a question and its answer;
 * these make it a store that is some milliseconds away and may lose an answer, tell the witness what goes through, or
 * have a planted bug. Each is what the contract of a store allows (the planted bugs are what it forbids).
 */
import { seal, unseal } from "../../src/core/chain.ts";
import { StemmaError } from "../../src/core/error.ts";
import { outcomeOf } from "../../src/core/event.ts";
import { sha256 } from "../../src/engine/hash.ts";
import type { Store } from "../../src/index.ts";
import type { Commit, CommitResult } from "../../src/store/store.ts";
import type { Chance } from "./chance.ts";
import type { Pen } from "./witness.ts";

/**
 * A planted bug: an outcome is delivered before its flush; no fence against old holders; no check of the position; steps
 * that must be entered once leave no intent.
 */
export type Bug = "none" | "eager" | "no-fence" | "no-seq" | "no-intent";

/** `store` with some of its methods replaced. */
function replaced(store: Store, methods: Partial<Store>): Store {
  return new Proxy(store, {
    get(target, name) {
      const own = methods[name as keyof Store];
      if (own !== undefined) return own;
      const value = Reflect.get(target, name) as unknown;
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}

/** Says when the file may be locked, and who was given which run. Next to the file, so that the answer is still at once. */
export function locking(store: Store, pen: Pen): Store {
  const whole = async <T>(call: () => Promise<T>): Promise<T> => {
    pen.write("lock");
    // The work is done when the call returns; the promise only brings the answer.
    const answer = call();
    pen.write("free");
    return answer;
  };
  return replaced(store, {
    commit: (parts) => whole(() => store.commit(parts)),
    heartbeat: (request) => whole(() => store.heartbeat(request)),
    async claim(request) {
      const claimed = await whole(() => store.claim(request));
      for (const row of claimed.runs) pen.write("claim", row.id);
      return claimed;
    },
  });
}

/** Says when a flush is under way, and which outcomes are on record because a commit was answered. */
export function witnessed(store: Store, pen: Pen): Store {
  return replaced(store, {
    async commit(parts) {
      pen.write("flush");
      try {
        const results = await store.commit(parts);
        for (const [i, part] of parts.entries()) if (results[i]?.ok === true) recorded(part, pen);
        return results;
      } finally {
        pen.write("flushed");
      }
    },
  });
}

function recorded(part: Commit, pen: Pen): void {
  for (const stored of part.events) {
    const event = unseal(stored);
    if (outcomeOf[event.type] === null || !("key" in event.data)) continue;
    pen.write("recorded", part.run, event.data.key, String(event.seq));
  }
}

/** How many reads of a store that is far away fail, as connections do. */
const readsFail = 0.03;

const lost = (): StemmaError => new StemmaError("store.unavailable", "The connection was lost.");

/** Puts the store up to `msMax` away: every call takes a while to get there, and its answer a while to come back. */
export function distant(store: Store, msMax: number, chance: Chance): Store {
  if (msMax === 0) return store;
  const travel = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, chance.below(msMax + 1)));
  const there = async <T>(call: () => Promise<T>): Promise<T> => {
    await travel();
    const answer = await call();
    await travel();
    return answer;
  };
  return replaced(store, {
    claim: (request) => there(() => store.claim(request)),
    heartbeat: (request) => there(() => store.heartbeat(request)),
    commit: (parts) => there(() => store.commit(parts)),
    history: (run, page) =>
      there(() => (chance.happens(readsFail) ? Promise.reject(lost()) : store.history(run, page))),
    payloads: (digests) => there(() => store.payloads(digests)),
  });
}

/**
 * Loses the answers of some commits: they were made, and nobody here knows. Whoever commits the same again is told what
 * is true: a part that is refused for its position, and whose last event is there, went through the first time.
 */
export function forgetful(store: Store, probability: number, chance: Chance): Store {
  let unsure = false;
  return replaced(store, {
    async commit(parts) {
      const results = await store.commit(parts);
      if (unsure) {
        unsure = false;
        return Promise.all(results.map((result, i) => truth(store, parts[i] as Commit, result)));
      }
      if (!chance.happens(probability)) return results;
      unsure = true;
      throw new StemmaError("store.unavailable", "The connection was lost.", { data: { outcome: "unknown" } });
    },
  });
}

async function truth(store: Store, part: Commit, result: CommitResult): Promise<CommitResult> {
  const last = part.events.at(-1);
  if (result.ok || result.reason !== "seq" || last === undefined) return result;
  const page = await store.history(part.run, { after: last.seq - 1, limit: 1 });
  return page?.events[0]?.hash === last.hash ? { run: part.run, ok: true, inbox: result.inbox } : result;
}

/** The store with a planted bug. */
export function bugged(store: Store, bug: Bug): Store {
  if (bug === "no-fence")
    return replaced(store, { commit: async (parts) => store.commit(await fenceless(store, parts)) });
  if (bug === "no-seq") return replaced(store, { commit: async (parts) => store.commit(await behind(store, parts)) });
  return store;
}

/** Every part names the epoch that the run has by now, whoever raised it. */
async function fenceless(store: Store, parts: readonly Commit[]): Promise<Commit[]> {
  const { runs } = await store.list({ ids: parts.map((part) => part.run) });
  return parts.map((part) => ({ ...part, epoch: runs.find((row) => row.id === part.run)?.epoch ?? part.epoch }));
}

/** Every part goes behind whatever is there. */
async function behind(store: Store, parts: readonly Commit[]): Promise<Commit[]> {
  const { runs } = await store.list({ ids: parts.map((part) => part.run) });
  return parts.map((part) => {
    const row = runs.find(({ id }) => id === part.run);
    if (row === undefined || row.state.seq === part.seq - 1) return part;
    let { hash } = row;
    const events = part.events.map((stored, i) => {
      const { at, type, causes, data } = unseal(stored);
      const sealed = seal(sha256, hash, { seq: row.state.seq + 1 + i, at, type, causes, data });
      hash = sealed.hash;
      return sealed;
    });
    const state = { ...part.state, seq: row.state.seq + events.length };
    return { ...part, seq: row.state.seq + 1, events, state };
  });
}
