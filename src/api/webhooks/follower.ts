/**
 * Reads the feed and makes a delivery of each event that a webhook wants to hear of. It may read a stretch of the feed
 * again, after a crash or beside another server: a delivery is known by webhook, run and seq, so there is one of each. Webhooks
 * are learned of from the feed too, in its order, so none misses what happens behind it whoever made it. What happens to
 * records (deliveries themselves, webhooks, golden marks) is told to nobody.
 */
import { unseal } from "../../core/chain.ts";
import { isStemmaError } from "../../core/error.ts";
import type { Event, RunId } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import { isRecord } from "../../core/record-names.ts";
import type { Log } from "../../engine/body.ts";
import type { RunRow, Store } from "../../store/store.ts";
import { keepCursor, readCursor } from "./cursor.ts";
import { isWebhookEvent } from "./events.ts";
import type { Hooks } from "./hooks.ts";
import { hookOf } from "./hooks.ts";
import { webhookRecords } from "./records.ts";
import { hookThatIsOff } from "./switch.ts";
import type { Webhook } from "./wish.ts";

export type FollowerParts = {
  store: Store;
  hooks: Hooks;
  log: Log;
  /** Makes the delivery of an event to a webhook, unless it is there. */
  deliver(hook: Webhook, row: RunRow, event: Event): Promise<void>;
  /** There are deliveries, or may be: somebody has to work on them. */
  awake(): Promise<void>;
};

const pageEvents = 500;
/** How long it waits where there is no news: with webhooks, and without any. */
const pollMs = 200;
const idlePollMs = 1000;
const troubleMsMax = 10_000;
/** How much is read again at most after a crash: so many events of the users' runs, or what came within this time. */
const keepEvents = 1000;
const keepMs = 60_000;
/** How often it is looked for webhooks whose run was pruned. */
const sweepMs = 3_600_000;
/** Deliveries that are made at a time. */
const atOnce = 20;

type Entry = { position: number; run: RunId; event: Event };
/** A webhook for many runs, and since when it hears. */
type Known = { hook: Webhook; since: number };

export class Follower {
  readonly #parts: FollowerParts;
  readonly #known = new Map<RunId, Known>();
  readonly #stopped = new AbortController();
  #position = 0;
  /** Whether there has been any webhook of a run. */
  #anyOfRun = false;
  /** Events of the users' runs since the cursor was kept, and when that was. */
  #unkept = 0;
  #keptAt = 0;
  #sweptAt = -Infinity;
  #going: Promise<void> | undefined;
  #poke: (() => void) | undefined;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#going ??= this.#go();
  }

  /** There may be news. */
  poke(): void {
    this.#poke?.();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.poke();
    await this.#going;
  }

  async #go(): Promise<void> {
    const { log } = this.#parts;
    const { signal } = this.#stopped;
    let [troubles, begun] = [0, false];
    while (!signal.aborted) {
      let waitMs = this.#known.size === 0 && !this.#anyOfRun ? idlePollMs : pollMs;
      try {
        if (!begun) await this.#begin();
        begun = true;
        if (await this.#read()) waitMs = 0;
        await this.#keep(false);
        if (performance.now() - this.#sweptAt > sweepMs) {
          this.#sweptAt = performance.now();
          await this.#parts.hooks.sweep();
        }
        troubles = 0;
      } catch (error) {
        if (isStemmaError(error, "store.closed")) return;
        waitMs = Math.min(pollMs * 2 ** troubles, troubleMsMax);
        troubles += 1;
        log.warn("The feed cannot be read for webhooks; it is tried again.", {
          error: String(error),
          retryInMs: waitMs,
        });
      }
      await this.#rest(waitMs);
    }
    await this.#keep(true).catch((error: unknown) => {
      log.debug("How far the feed was read for webhooks could not be kept", { error: String(error) });
    });
  }

  /** Until `ms` have passed, or it is poked. Also where there is more at once: others have to get their turn. */
  async #rest(ms: number): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      timer.unref();
      this.#poke = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#poke = undefined;
  }

  async #begin(): Promise<void> {
    const { store, hooks, awake } = this.#parts;
    this.#position = await readCursor(store);
    this.#keptAt = performance.now();
    for (const hook of await hooks.list()) {
      const { events } = await store.feed({ run: hook.id, after: 0, limit: 1 });
      // One that has no position yet comes with the feed.
      const [first] = events;
      if (first !== undefined) this.#known.set(hook.id, { hook, since: first.position });
    }
    const open = { workflow: webhookRecords.delivery, status: ["queued", "running", "suspended"] as const, limit: 1 };
    if ((await store.list(open)).runs.length > 0) await awake();
  }

  /** Reads a page; whether it was a full one. */
  async #read(): Promise<boolean> {
    const page = await this.#parts.store.feed({ after: this.#position, limit: pageEvents });
    const entries = page.events.flatMap(({ position, run, event: stored }): Entry[] => {
      const event = unseal(stored);
      return isWebhookEvent(event.type) ? [{ position, run, event }] : [];
    });
    if (entries.length > 0) await this.#take(entries);
    this.#position = page.position;
    return page.events.length === pageEvents;
  }

  async #take(entries: readonly Entry[]): Promise<void> {
    const runs = [...new Set(entries.map(({ run }) => run))];
    const rows = await this.#rowsOf([...runs, ...runs.map(hookOf)]);
    const ofRun = new Map<RunId, Webhook>();
    for (const run of runs) {
      const hook = rows.has(hookOf(run)) ? await this.#parts.hooks.read(hookOf(run)) : undefined;
      if (hook !== undefined) ofRun.set(run, hook);
    }
    const due: (() => Promise<void>)[] = [];
    for (const entry of entries) {
      const row = rows.get(entry.run);
      // A run that was pruned meanwhile has nothing more to tell.
      if (row === undefined) continue;
      const { workflow } = row.state;
      if (isRecord(workflow)) {
        await this.#hear(row, entry, due);
        continue;
      }
      this.#unkept += 1;
      const own = ofRun.get(entry.run);
      const all = [...this.#known.values()].flatMap(({ hook, since }) => (since < entry.position ? [hook] : []));
      for (const hook of own === undefined ? all : [...all, own]) this.#want(hook, row, entry.event, due);
    }
    for (let at = 0; at < due.length; at += atOnce) {
      await Promise.all(due.slice(at, at + atOnce).map((make) => make()));
    }
    if (due.length > 0) await this.#parts.awake();
  }

  #want(hook: Webhook, row: RunRow, event: Event, due: (() => Promise<void>)[]): void {
    if (hook.off !== undefined || !fits(hook, row, event)) return;
    const { deliver, log } = this.#parts;
    due.push(async () => {
      try {
        await deliver(hook, row, event);
      } catch (error) {
        // What would be so again must not hold up all others for ever.
        if (isStemmaError(error) && (error.retryable || error.code.startsWith("store."))) throw error;
        const of = { webhook: hook.id, run: row.id, seq: event.seq };
        log.error("A webhook could not be told of an event", { ...of, error: String(error) });
      }
    });
  }

  /** What happens to records concerns the follower itself. */
  async #hear(row: RunRow, { position, run, event }: Entry, due: (() => Promise<void>)[]): Promise<void> {
    const { hooks, awake } = this.#parts;
    const { workflow, tags } = row.state;
    if (workflow === webhookRecords.off) return this.#switched(hookThatIsOff(tags) ?? "");
    if (workflow === webhookRecords.delivery && event.type === "run.created") return awake();
    if (workflow === webhookRecords.subscription) {
      const hook = event.type === "run.created" ? await hooks.read(run) : undefined;
      if (hook !== undefined) this.#known.set(run, { hook, since: position });
      if (event.type === "run.cancelled") this.#known.delete(run);
      return;
    }
    if (workflow !== webhookRecords.ofRun || event.type !== "run.created") return;
    this.#anyOfRun = true;
    const hook = await hooks.read(run);
    if (hook?.run !== undefined) await this.#catchUp(hook, hook.run, position, due);
  }

  /** One is off, or on again. */
  async #switched(id: RunId): Promise<void> {
    const known = this.#known.get(id);
    const hook = known && (await this.#parts.hooks.read(id));
    if (known !== undefined && hook !== undefined) this.#known.set(id, { ...known, hook });
  }

  /** A run's own webhook hears of all of it, also of what was before the webhook. */
  async #catchUp(hook: Webhook, run: RunId, until: number, due: (() => Promise<void>)[]): Promise<void> {
    const row = (await this.#rowsOf([run])).get(run);
    if (row === undefined) return;
    for (let after = 0; ;) {
      const page = await this.#parts.store.feed({ run, after, limit: pageEvents });
      for (const { position, event } of page.events) {
        if (position < until) this.#want(hook, row, unseal(event), due);
      }
      if (page.events.length < pageEvents || page.position >= until) return;
      after = page.position;
    }
  }

  async #rowsOf(ids: readonly RunId[]): Promise<ReadonlyMap<RunId, RunRow>> {
    const rows = new Map<RunId, RunRow>();
    for (let at = 0; at < ids.length; at += limits.pageRunsMax) {
      const page = { ids: ids.slice(at, at + limits.pageRunsMax), limit: limits.pageRunsMax };
      for (const row of (await this.#parts.store.list(page)).runs) rows.set(row.id, row);
    }
    return rows;
  }

  /** Keeps how far it has come, where it is worth it. */
  async #keep(now: boolean): Promise<void> {
    const none = this.#known.size === 0 && !this.#anyOfRun;
    if (none || this.#unkept === 0) return;
    if (!now && this.#unkept < keepEvents && performance.now() - this.#keptAt < keepMs) return;
    await keepCursor(this.#parts.store, this.#position);
    this.#unkept = 0;
    this.#keptAt = performance.now();
  }
}

function fits({ events, workflow, tag, run }: Webhook, { id, state }: RunRow, { type }: Event): boolean {
  return (
    isWebhookEvent(type) &&
    events.includes(type) &&
    (workflow ?? state.workflow) === state.workflow &&
    (tag === undefined || state.tags.includes(tag)) &&
    (run ?? id) === id
  );
}
