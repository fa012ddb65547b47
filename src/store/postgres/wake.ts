/**
 * Wake-ups between processes, by LISTEN and NOTIFY. They are hints: correctness rests on polling, and nothing is lost
 * where they do not arrive (a pooler in between, a lost connection). A NOTIFY is never part of a transaction that
 * writes, because all such transactions of a database commit one after the other; it follows the commit, at most one
 * in 10 milliseconds for a process, whatever happened meanwhile.
 */
import type { Database } from "./database.ts";
import type { ListenClient } from "./place.ts";

const gapMs = 10;
const retryMsFirst = 250;
const retryMsMax = 10_000;
/** How long a connection, and then a notification to oneself, may take before listening counts as not working. */
const connectMs = 10_000;
const echoMs = 3000;
/** How often is looked whether notifications still arrive: a connection may be dead for hours before it says so. */
const checkMsUsual = 30_000;
/** How long the end of a connection is waited for. */
const endMs = 1000;

/** A hint that is lost harms nobody, so its commit waits for no disk. */
const notify = /* sql */ `select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)::text`;

type Notification = { channel: string; payload?: string };

export class Wake {
  readonly #db: Database;
  readonly #self: string;
  readonly #channel: string;
  readonly #heardOne: () => void;
  readonly #calls = new Set<() => void>();
  /** Takes back the notification that is about to be sent. */
  #takeBack: (() => void) | undefined;
  #notifiedAt = 0;
  /** The connection that listens, or that is being made for it. */
  #listener: ListenClient | undefined;
  #listening = false;
  #healthy = false;
  #failures = 0;
  /** Of all that may come next (to connect anew, to give up waiting, to look whether it still works) there is one. */
  #next: NodeJS.Timeout | undefined;
  #stopped = false;
  readonly #checkMs: number;

  /** `self` tells this store object from others, so that it does not wake itself. `heard` comes before all calls. */
  constructor(db: Database, self: string, heard: () => void, checkMs: number = checkMsUsual) {
    this.#checkMs = checkMs;
    this.#db = db;
    this.#self = self;
    this.#heardOne = heard;
    this.#channel = `stemma_${db.place.schema}`.slice(0, 63);
  }

  /** Whether notifications of other processes are known to arrive. */
  get healthy(): boolean {
    return this.#healthy;
  }

  /** Tells the others, soon, that there may be work. */
  notify(): void {
    if (this.#stopped || this.#takeBack !== undefined) return;
    const tell = (): void => {
      this.#takeBack = undefined;
      this.#notifiedAt = performance.now();
      // A hint that is lost is found by a poll.
      this.#db.aside(notify, [this.#channel, this.#self]).catch(() => undefined);
    };
    const waitMs = this.#notifiedAt + gapMs - performance.now();
    if (waitMs > 0) {
      const timer = setTimeout(tell, waitMs).unref();
      this.#takeBack = () => clearTimeout(timer);
    } else {
      // A timer of no time takes a millisecond, and somebody waits for this.
      const turn = setImmediate(tell);
      this.#takeBack = () => clearImmediate(turn);
    }
  }

  /** Calls back when another process may have made work; the returned function ends that. */
  on(call: () => void): () => void {
    // Its own entry, so that the same function given twice is called twice and taken back once.
    const own = (): void => call();
    this.#calls.add(own);
    if (!this.#listening && !this.#stopped) {
      this.#listening = true;
      void this.#listen();
    }
    return () => void this.#calls.delete(own);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#healthy = false;
    this.#takeBack?.();
    clearTimeout(this.#next);
    this.#calls.clear();
    const listener = this.#listener;
    this.#listener = undefined;
    if (listener !== undefined) await endOf(listener);
  }

  async #listen(): Promise<void> {
    let client: ListenClient | undefined;
    try {
      await this.#db.open();
      client = await this.#db.place.single();
      if (this.#stopped) return;
      this.#listener = client;
      const lost = (): void => this.#lost(client);
      client.on("error", lost);
      client.on("end", lost);
      client.on("notification", (notification: Notification) => this.#heard(notification));
      this.#then(connectMs, lost);
      await client.connect();
      if (this.#stopped) return await endOf(client);
      await client.query({ text: `listen "${this.#channel}"`, query_timeout: echoMs });
      await this.#check(client);
    } catch {
      this.#lost(client);
    }
  }

  /** Sends a notification to itself: through some poolers LISTEN succeeds and nothing ever arrives. */
  async #check(client: ListenClient): Promise<void> {
    this.#then(echoMs, () => this.#lost(client));
    const values = [this.#channel, `echo ${this.#self}`];
    await client.query({ text: "select pg_notify($1, $2)", values, query_timeout: echoMs });
  }

  #heard({ channel, payload }: Notification): void {
    const client = this.#listener;
    if (channel !== this.#channel || payload === this.#self || client === undefined) return;
    if (payload === `echo ${this.#self}`) {
      this.#failures = 0;
      this.#then(this.#checkMs, () => void this.#check(client).catch(() => this.#lost(client)));
      // What was before the first of them was not listened to; between two, everything was.
      if (this.#healthy) return;
      this.#healthy = true;
    } else if (payload?.startsWith("echo ") === true) return;
    this.#heardOne();
    for (const call of this.#calls) call();
  }

  /** This connection, or what should have become one, is of no use; another is made in a while. */
  #lost(client: ListenClient | undefined): void {
    if (client !== this.#listener) return;
    this.#healthy = false;
    this.#listener = undefined;
    client?.end().catch(() => undefined);
    this.#then(Math.min(retryMsFirst * 2 ** (this.#failures += 1), retryMsMax), () => void this.#listen());
  }

  #then(ms: number, call: () => void): void {
    clearTimeout(this.#next);
    if (this.#stopped) return;
    this.#next = setTimeout(call, ms);
    this.#next.unref();
  }
}

/** Ends a connection; where the other side is gone without a word, nobody waits for its goodbye. */
async function endOf(client: ListenClient): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, endMs);
  await Promise.race([client.end().catch(() => undefined), promise]);
  clearTimeout(timer);
  client.unref?.();
}
