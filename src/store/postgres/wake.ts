/**
 * Wake-ups between processes, by LISTEN and NOTIFY. They are hints: correctness rests on polling, and nothing is lost
 * where they do not arrive (a pooler in between, a lost connection). A NOTIFY is never part of a transaction that
 * writes, because all such transactions of a database commit one after the other; it follows the commit, at most one
 * in 10 milliseconds for a process, whatever happened meanwhile.
 */
import type { Database } from "./database.ts";
import type { ListenClient } from "./place.ts";
import { notify } from "./sql.ts";

const gapMs = 10;
const retryMsFirst = 250;
const retryMsMax = 10_000;
/** How long a notification to oneself may take before listening counts as not working. */
const echoMs = 3000;

type Notification = { channel: string; payload?: string };

export class Wake {
  readonly #db: Database;
  readonly #self: string;
  readonly #channel: string;
  readonly #heardOne: () => void;
  readonly #calls = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #notifiedAt = 0;
  #listener: ListenClient | undefined;
  #listening = false;
  #healthy = false;
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;

  /** `self` tells this store object from others, so that it does not wake itself. `heard` comes before all calls. */
  constructor(db: Database, self: string, heard: () => void) {
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
    if (this.#stopped || this.#timer !== undefined) return;
    const waitMs = Math.max(0, this.#notifiedAt + gapMs - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#notifiedAt = performance.now();
      // A hint that is lost is found by a poll.
      this.#db.aside(notify, [this.#channel, this.#self]).catch(() => undefined);
    }, waitMs);
    this.#timer.unref();
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
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    this.#calls.clear();
    await this.#listener?.end().catch(() => undefined);
  }

  async #listen(): Promise<void> {
    let client: ListenClient | undefined;
    try {
      await this.#db.open();
      client = await this.#db.place.single();
      const lost = (): void => this.#lost(client);
      client.on("error", lost);
      client.on("end", lost);
      client.on("notification", (notification: Notification) => this.#heard(notification));
      await client.connect();
      this.#listener = client;
      if (this.#stopped) return await this.stop();
      await client.query({ text: `listen "${this.#channel}"` });
      // Through some poolers LISTEN succeeds and nothing ever arrives.
      await client.query({ text: "select pg_notify($1, $2)", values: [this.#channel, `echo ${this.#self}`] });
      this.#retryIn(echoMs);
    } catch {
      this.#lost(client);
    }
  }

  #heard({ channel, payload }: Notification): void {
    if (channel !== this.#channel || payload === this.#self) return;
    if (payload === `echo ${this.#self}`) {
      this.#healthy = true;
      this.#failures = 0;
      clearTimeout(this.#retry);
      this.#retry = undefined;
    } else if (payload?.startsWith("echo ") === true) return;
    // After the echo too: what happened before was not listened to.
    this.#heardOne();
    for (const call of this.#calls) call();
  }

  #lost(client: ListenClient | undefined): void {
    if (client !== undefined && this.#listener !== undefined && client !== this.#listener) return;
    this.#healthy = false;
    this.#listener = undefined;
    client?.end().catch(() => undefined);
    this.#retryIn(Math.min(retryMsFirst * 2 ** (this.#failures += 1), retryMsMax));
  }

  /** Connects anew in a while, unless an echo comes before. */
  #retryIn(ms: number): void {
    clearTimeout(this.#retry);
    if (this.#stopped) return;
    this.#retry = setTimeout(() => {
      const client = this.#listener;
      this.#listener = undefined;
      client?.end().catch(() => undefined);
      void this.#listen();
    }, ms);
    this.#retry.unref();
  }
}
