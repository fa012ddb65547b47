/**
 * What a fake clock sees of the stores on it: which calls are under way, whether anything changed, and whose lease ends
 * without anybody renewing it.
 */
import type { Timestamp } from "../core/event.ts";
import type { Claimed, CommitResult, Created, Heartbeat, Sent, Store } from "../store/store.ts";
import type { Call } from "./around.ts";
import { around } from "./around.ts";
import type { Faults } from "./faults.ts";

type Lease = {
  /** When it may end: more than one time, while it is unknown whether a renewal went through. */
  ends: Set<Timestamp>;
  /** Whether the worker was heard since the clock began to listen. */
  heard: boolean;
};

export class Watch {
  readonly #now: () => Timestamp;
  readonly #attached = new WeakMap<Store, Store>();
  readonly #calls = new Set<Call>();
  readonly #leases = new Map<string, Lease>();
  /** How often anything changed in a store. Looking changes nothing. */
  changes = 0;

  constructor(now: () => Timestamp) {
    this.#now = now;
  }

  /** Calls that have no answer yet, and may still get one. */
  get underWay(): number {
    return this.#calls.size;
  }

  /** The store to use in the place of this one; always the same for the same. */
  attach(store: Store): Store {
    const known = this.#attached.get(store);
    if (known !== undefined) return known;
    store.keepTime?.(this.#now);
    const mortal = store as Store & Partial<Faults<Store>>;
    const mine = new Set<Call>();
    void mortal.crashed?.then(() => {
      for (const call of mine) this.#calls.delete(call);
      this.changes += 1;
    });
    const watched = around(store, (call) => (mortal.dead === true ? call.make() : this.#pass(call, mine)), {});
    this.#attached.set(store, watched);
    return watched;
  }

  /** From here on it is noticed who renews a lease, and who does not. */
  listen(): void {
    for (const lease of this.#leases.values()) lease.heard = false;
  }

  /** When the next lease ends of a worker that is not heard any more. */
  nextLeaseEnd(): Timestamp {
    let next = Infinity;
    for (const [worker, { ends, heard }] of this.#leases) {
      if (heard) continue;
      for (const end of ends) {
        if (end <= this.#now()) ends.delete(end);
        else next = Math.min(next, end);
      }
      if (ends.size === 0) this.#leases.delete(worker);
    }
    return next;
  }

  async #pass(call: Call, mine: Set<Call>): Promise<unknown> {
    mine.add(call);
    this.#calls.add(call);
    const renewed = this.#renewing(call);
    try {
      const answer = await call.make();
      renewed?.(true);
      if (hasChanged(call, answer)) this.changes += 1;
      return answer;
    } catch (error) {
      renewed?.(false);
      throw error;
    } finally {
      mine.delete(call);
      this.#calls.delete(call);
    }
  }

  /** A claim or heartbeat may renew the lease of its worker, even if it is never answered. */
  #renewing({ method, args }: Call): ((answered: boolean) => void) | undefined {
    if (method !== "claim" && method !== "heartbeat") return undefined;
    const { worker, leaseMs } = args[0] as { worker: string; leaseMs: number };
    const end = this.#now() + leaseMs;
    const lease = this.#leases.get(worker) ?? { ends: new Set(), heard: false };
    this.#leases.set(worker, lease);
    const asked = !lease.ends.has(end);
    lease.ends.add(end);
    return (answered) => {
      if (answered) lease.heard = true;
      // A claim renews only a lease that needs it.
      if (answered && method === "heartbeat") lease.ends = new Set([end]);
      if (!answered && asked) lease.ends.delete(end);
    };
  }
}

function hasChanged({ method }: Call, answer: unknown): boolean {
  if (method === "create") return (answer as readonly Created[]).some(({ created }) => created);
  if (method === "send") return (answer as readonly Sent[]).some(({ accepted }) => accepted);
  if (method === "commit") return (answer as readonly CommitResult[]).some(({ ok }) => ok);
  if (method === "claim") return (answer as Claimed).runs.length > 0;
  if (method === "heartbeat") return (answer as Heartbeat).expired;
  return method === "prune";
}
