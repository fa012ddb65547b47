/**
 * A worker: claims runs, holds them by one lease, and gives them back.
 *
 *     idle ──start──▶ working ──stop──▶ draining ──▶ stopped
 *
 * While *working* it claims in batches whenever something may be due: at once when this process made a run or sent a
 * message, else at the next timer that the store told it of, else by a poll that costs next to nothing when nothing
 * changed. One heartbeat renews the lease for all runs. When the lease was not renewed for three quarters of its
 * length (the process was stopped, the store was away), nothing new is entered until it is; when the store says that
 * the lease had run out, all runs are dropped, because others may hold them. *Draining* lets steps that run finish.
 */
import { StemmaError, isStemmaError } from "../core/error.ts";
import type { Commit, Message, RunRow, Store } from "../store/store.ts";
import { Activation } from "./activation.ts";
import { heldFor } from "./in-bulk.ts";
import type { Log, Workflow } from "./body.ts";
import type { Clock } from "./clock.ts";
import type { Committer } from "./committer.ts";
import type { Delivery } from "./delivery.ts";
import { giveBack, unreadable, untried } from "./give-back.ts";
import type { KnownWorkflows } from "./known-workflows.ts";
import { load, textsOfMessages } from "./load.ts";
import { eventsToRead } from "./reading.ts";
import type { CancelMessage } from "./messages.ts";
import type { Surroundings } from "./surroundings.ts";
import { cancelUnheld } from "./unheld.ts";
import { OfferWatch } from "./offer-watch.ts";
import { Warm } from "./warm.ts";

export type WorkerOptions = {
  store: Store;
  workflows: KnownWorkflows;
  name: string;
  clock: Clock;
  log: Log;
  delivery: Delivery;
  committer: Committer;
  leaseMs: number;
  /** How many runs it holds at a time, and how many at rest it keeps in memory beside. */
  runsMax: number;
  warmMax: number;
  lingerMs: number;
  recallGraceMs: number;
  abortGraceMs: number;
  poisonAfter: number;
  /** How often it looks for work that it was not told of. */
  pollMs: number;
  /** Events of a history read at a time; as `load` likes it if left out. */
  pageEvents?: number | undefined;
  packEvents?: number | undefined;
  /** A run with more events than these takes long to read, and others do not wait for it. */
  longEvents: number;
};

/** Runs claimed in one statement. */
const claimMax = 100;
const retryMsMax = 2000;
/** How long a store that takes nothing may hold up a stop, beyond the time that steps are given. */
const dropMs = 5000;

export class Worker {
  readonly #options: WorkerOptions;
  readonly #held = new Map<string, Activation>();
  /** Runs that are being read, and whether a message came for them meanwhile. */
  readonly #reading = new Map<string, boolean>();
  /** Runs that no activation holds, on their way back to the store. */
  readonly #givingBack = new Set<Promise<void>>();
  readonly #warm: Warm;
  readonly #watch: OfferWatch;
  /** Names of workflows that no claim has told the store of yet. */
  readonly #added: string[] = [];
  #phase: "idle" | "working" | "draining" | "stopped" = "idle";
  #claiming = false;
  #again = false;
  #failures = 0;
  #stopPoll: (() => void) | undefined;
  #stopWake: (() => void) | undefined;
  #stopBeat: (() => void) | undefined;
  #renewedAt = 0;
  /** The store's clock, as it was last said, and when that was on the monotonic one. */
  #time = { now: 0, at: 0 };
  #fresh: PromiseWithResolvers<void> | undefined;
  /** The question to the store about what this worker holds that is under way: a claim or a heartbeat, never both. */
  #asking: Promise<unknown> = Promise.resolve();
  /** How often the lease had run out. */
  #lapses = 0;
  /** The run in hand that workers before this one may have died of. */
  #suspect: { run: string; activation?: Activation } | undefined;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#warm = new Warm(options.warmMax);
    this.#watch = new OfferWatch(options, options.workflows.names);
  }

  get name(): string {
    return this.#options.name;
  }

  get isWorking(): boolean {
    return this.#phase === "working";
  }

  /** Runs in hand. */
  get holding(): number {
    return this.#held.size;
  }

  /** Starts claiming. The first claim is tried at once, so a store that cannot be used is an error here. */
  async start(): Promise<void> {
    if (this.#phase !== "idle") return;
    this.#phase = "working";
    this.#renewedAt = this.#options.clock.monotonic();
    // Before the first claim: what it brings may take longer to read than a lease lasts.
    this.#beatLater();
    try {
      await this.#claim();
    } catch (error) {
      this.#stopBeat?.();
      this.#phase = "idle";
      throw error;
    }
    this.#stopWake = this.#options.store.onWake?.(() => this.poke());
    this.#watch.start();
    this.poke();
  }

  /** Has code for these too, and looks for runs of theirs. Throws workflow.invalid, workflow.duplicate, engine.stopped. */
  offer(workflows: readonly Workflow[]): void {
    if (this.#phase === "draining" || this.#phase === "stopped") {
      throw new StemmaError("engine.stopped", "This Stemma was stopped; offer workflows to one that is not.");
    }
    const added = this.#options.workflows.add(workflows);
    if (added.length === 0) return;
    this.#added.push(...added);
    this.poke();
  }

  /** Something may be due. */
  poke(): void {
    if (this.#phase !== "working") return;
    if (this.#claiming) {
      this.#again = true;
      return;
    }
    void this.#claimAndPoll();
  }

  /** Stops claiming, lets running steps finish for `timeoutMs`, then aborts them; gives every run back. */
  async stop(timeoutMs: number): Promise<void> {
    if (this.#phase === "idle") this.#phase = "stopped";
    if (this.#phase === "stopped") return;
    this.#phase = "draining";
    this.#watch.stop();
    this.#stopPoll?.();
    this.#stopWake?.();
    const { clock, log } = this.#options;
    this.#warm.dropAll();
    for (const activation of this.#held.values()) activation.drain();
    // A claim that is under way may still bring runs; they are given back like the others.
    while (this.#claiming || this.#reading.size > 0) await new Promise<void>((resolve) => clock.turn(resolve));
    const held = [...this.#held.values()];
    const cutAll = (): void => {
      for (const activation of held) activation.cut();
    };
    const cut = clock.after(timeoutMs, cutAll, { kind: "grace" });
    const given = Promise.all([...held.map((activation) => activation.over), ...this.#givingBack]);
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const dropAll = (): void => {
      const runs = [...this.#held.keys()];
      log.error("The store did not take what was left; runs are let go without it", {
        count: runs.length,
        runs: runs.slice(0, 20),
      });
      this.#options.committer.end();
      for (const activation of held) activation.drop();
      resolve();
    };
    const drop = clock.after(timeoutMs + dropMs, dropAll, { kind: "grace" });
    await Promise.race([given, late]);
    cut();
    drop();
    this.#stopBeat?.();
    this.#phase = "stopped";
  }

  /** Lets go of everything at once and records nothing, as a crash would. */
  abandon(): void {
    this.#phase = "stopped";
    this.#watch.stop();
    this.#stopPoll?.();
    this.#stopWake?.();
    this.#stopBeat?.();
    this.#warm.dropAll();
    for (const activation of this.#held.values()) activation.drop();
  }

  // ---- claiming ------------------------------------------------------------------------------------------------

  async #claimAndPoll(): Promise<void> {
    this.#stopPoll?.();
    this.#stopPoll = undefined;
    let dueInMs: number;
    let retryInMs: number | undefined;
    try {
      dueInMs = await this.#claim();
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      dueInMs = retryInMs = Math.min(this.#options.pollMs * 2 ** this.#failures, retryMsMax);
      const why = isStemmaError(error) ? { code: error.code } : {};
      this.#options.log.error("Runs could not be claimed; it is tried again", {
        ...why,
        error: String(error),
        retryInMs,
      });
    }
    if (this.#phase !== "working") return;
    if (this.#again) return this.poke();
    this.#pokeLater(dueInMs, retryInMs === undefined);
  }

  /** Looks again when the next run falls due, which is a time that counts, and with `poll` also before, which is not. */
  #pokeLater(dueInMs: number, poll: boolean): void {
    const { clock, pollMs } = this.#options;
    const poke = (): void => this.poke();
    const stopDue = dueInMs === Infinity ? undefined : clock.after(Math.max(dueInMs, 1), poke);
    const stopPoll = poll ? clock.after(pollMs, poke, { kind: "poll" }) : undefined;
    this.#stopPoll = () => {
      stopDue?.();
      stopPoll?.();
    };
  }

  /** Claims what is due, and says in how many milliseconds the next run falls due. */
  async #claim(): Promise<number> {
    const { store, name, leaseMs, runsMax, workflows } = this.#options;
    this.#claiming = true;
    try {
      for (;;) {
        this.#again = false;
        const limit = Math.min(claimMax, runsMax - this.#held.size - this.#reading.size);
        // With no place left there is nothing to claim; a run that ends pokes.
        if (limit <= 0) return Infinity;
        const added = this.#added.length;
        const claimed = await this.#ask(() => store.claim({ worker: name, offers: workflows.offers, limit, leaseMs }));
        const lapses = this.#lapses;
        // The store knows of them since this claim; before it, nobody offered them.
        this.#watch.know(this.#added.splice(0, added));
        this.#time = { now: claimed.now, at: this.#options.clock.monotonic() };
        await Promise.all(claimed.runs.map((row) => this.#activateSoon(row, lapses)));
        if (claimed.runs.length === limit || this.#again) continue;
        return claimed.nextDueAt === undefined ? Infinity : claimed.nextDueAt - claimed.now;
      }
    } finally {
      this.#claiming = false;
    }
  }

  /** The store's clock, as learned at the last claim and carried on by the monotonic one. */
  readonly #now = (): number => this.#time.now + Math.floor(this.#options.clock.monotonic() - this.#time.at);

  /** Resolves when the run is in hand; at once where that takes long, so that others need not wait for it. */
  async #activateSoon(row: RunRow, lapses: number): Promise<void> {
    const active = this.#activate(row, lapses);
    if (eventsToRead(row) <= this.#options.longEvents) return active;
    // It may not have come to a place of its own, and then there is one more for others.
    void active.then(() => this.poke());
  }

  async #activate(row: RunRow, lapses: number): Promise<void> {
    // The store gave the run out anew, so what this worker still had of it under an older epoch was lost.
    this.#held.get(row.id)?.drop();
    if (this.#isOneTooMany(row)) return this.#handBack(untried(row, this.#now));
    this.#reading.set(row.id, false);
    try {
      const isLost = (): boolean => lapses !== this.#lapses;
      if (this.#phase !== "working" || !(await this.#takeUp(row, isLost))) await this.#read(row, isLost);
      // The lease ran out meanwhile: the store has taken the run back.
      if (isLost()) this.#isSuspectNoMore(row.id);
      else if (this.#reading.get(row.id) === true) void this.#look(row.id);
    } catch (error) {
      this.#isSuspectNoMore(row.id);
      if (lapses !== this.#lapses || isStemmaError(error, "lease.lost")) return;
      this.#options.log.error("A run cannot be read", { run: row.id, error: String(error) });
      this.#handBack(unreadable(row, error, this.#now));
    } finally {
      this.#reading.delete(row.id);
    }
  }

  async #read(row: RunRow, isLost: () => boolean): Promise<void> {
    const { store, clock, pageEvents, packEvents, workflows } = this.#options;
    const known = workflows.exactly(row.state.workflow, row.state.version);
    if (known === undefined)
      throw new StemmaError("engine.bug", `The store gave out ${row.id}, which was not offered.`);
    const loaded = await load(store, row, this.#now, clock.turn, {
      pageEvents,
      packEvents,
      ...heldFor(known.workflow, this.#options.delivery),
    });
    if (isLost()) return;
    const activation = new Activation(row, known.workflow, loaded, this.#surroundings(known.fingerprint));
    this.#take(activation);
    try {
      if (this.#phase === "working") activation.start();
      else activation.drain();
    } catch (error) {
      activation.fault(error);
    }
  }

  /** Takes up a run that is in memory as it came to rest; false where it has to be read. */
  async #takeUp(row: RunRow, isLost: () => boolean): Promise<boolean> {
    const { store } = this.#options;
    const activation = this.#warm.take(row.id);
    if (activation === undefined) return false;
    const page = await store.history(row.id, { after: row.state.seq, limit: 1 });
    const messages = page?.inbox ?? [];
    const texts = await textsOfMessages(store, messages);
    if (row.claims > 1 || isLost() || !activation.resume(row, { messages, texts })) {
      activation.drop();
      return isLost();
    }
    this.#take(activation);
    return true;
  }

  #take(activation: Activation): void {
    const { run, over } = activation;
    this.#held.set(run, activation);
    if (this.#suspect?.run === run) this.#suspect.activation = activation;
    void over.then(() => {
      if (this.#held.get(run) === activation) this.#held.delete(run);
      if (this.#phase === "working") this.#warm.keep(activation);
      this.#isSuspectNoMore(run);
      if (activation.handBack !== undefined) this.#handBack(activation.handBack);
      this.poke();
    });
  }

  /**
   * Half as many workers as make it poisonous died with this run in hand, by its fault or by that of another. Such runs are worked on
   * one at a time: then the next death tells which of them it was.
   */
  #isOneTooMany(row: RunRow): boolean {
    if (row.claims <= this.#options.poisonAfter / 2) return false;
    const suspect = this.#suspect;
    if (suspect !== undefined && suspect.run !== row.id && suspect.activation?.movedOn !== true) return true;
    this.#suspect = { run: row.id };
    return false;
  }

  #isSuspectNoMore(run: string): void {
    if (this.#suspect?.run === run) this.#suspect = undefined;
  }

  /** Gives back a run that no activation holds, with the next flush that the store can take. */
  #handBack(commit: Commit): void {
    const given = giveBack(commit, { ...this.#options, now: this.#now });
    this.#givingBack.add(given);
    void given.then(() => this.#givingBack.delete(given)).then(() => this.poke());
  }

  #surroundings(fingerprint: string): Surroundings {
    const { store, clock, committer, delivery, log, name } = this.#options;
    const { lingerMs, recallGraceMs, abortGraceMs, poisonAfter } = this.#options;
    const hold = (): Promise<void> | undefined => this.#hold();
    const sent = (messages: readonly Message[]): void => void this.sent(messages);
    const patience = { lingerMs, recallGraceMs, abortGraceMs, poisonAfter };
    const cancel = (run: string, request: CancelMessage | undefined): Promise<unknown> =>
      cancelUnheld(run, request, { store, now: () => clock.now(), sent, log });
    return {
      store,
      clock,
      committer,
      delivery,
      log,
      worker: name,
      fingerprint,
      ...patience,
      hold,
      sent,
      look: (run) => void this.#look(run),
      cancelUnheld: cancel,
    };
  }

  /**
   * Messages were put into inboxes: runs held here see them at once, others are due now. Resolves when those held here have
   * seen them.
   */
  async sent(messages: readonly Message[]): Promise<void> {
    const looks: Promise<void>[] = [];
    for (const { run } of messages) {
      if (this.#reading.has(run)) this.#reading.set(run, true);
      else if (this.#held.has(run)) looks.push(this.#look(run));
    }
    this.poke();
    await Promise.all(looks);
  }

  async #look(run: string): Promise<void> {
    const { store, log } = this.#options;
    const activation = this.#held.get(run);
    if (activation === undefined) return;
    try {
      // Behind all events: messages come with the last page only, and a busy run has more events by the time it is read.
      const page = await store.history(run, { after: Number.MAX_SAFE_INTEGER, limit: 1 });
      if (page === undefined) return;
      activation.receive(page.inbox, await textsOfMessages(store, page.inbox));
    } catch (error) {
      // The messages stay where they are; the next heartbeat says so again.
      log.error("The inbox of a run could not be read", { run, error: String(error) });
    }
  }

  // ---- lease ---------------------------------------------------------------------------------------------------

  #beatLater(ms: number = this.#options.leaseMs / 3): void {
    const { clock } = this.#options;
    this.#stopBeat = clock.after(ms, () => void this.#beat(), { background: true, kind: "heartbeat" });
  }

  async #beat(): Promise<void> {
    const { store, name, leaseMs, clock, log } = this.#options;
    let stale = false;
    try {
      let askedAt = 0;
      const heartbeat = await this.#ask(() => {
        askedAt = clock.monotonic();
        return store.heartbeat({ worker: name, leaseMs });
      });
      this.#renewedAt = askedAt;
      if (heartbeat.expired) {
        log.warn("The lease of this worker had run out; it drops the runs it held", {
          worker: name,
          runs: this.#held.size,
        });
        this.#lapses += 1;
        for (const activation of this.#held.values()) activation.drop();
      }
      for (const { run } of heartbeat.news) void this.#look(run);
      if (this.#isFresh()) {
        this.#fresh?.resolve();
        this.#fresh = undefined;
      } else {
        // The answer was long on its way, or this process was stopped meanwhile: it says nothing of now.
        stale = true;
      }
    } catch (error) {
      log.error("The lease could not be renewed", { worker: name, error: String(error) });
    }
    if (this.#phase === "working" || this.#phase === "draining") this.#beatLater(stale ? 1 : undefined);
  }

  /**
   * Asks the store one thing at a time about what this worker holds. A heartbeat that says "expired" means the runs of
   * every claim before it and of none behind it; with both under way at once, nobody could tell which came first.
   */
  #ask<T>(question: () => Promise<T>): Promise<T> {
    const answer = this.#asking.then(question, question);
    this.#asking = answer;
    return answer;
  }

  #isFresh(): boolean {
    const { clock, leaseMs } = this.#options;
    return clock.monotonic() - this.#renewedAt < leaseMs * 0.75;
  }

  /** Undefined while the lease is fresh; else what to wait for before anything new is entered. */
  #hold(): Promise<void> | undefined {
    if (this.#isFresh()) return undefined;
    this.#fresh ??= Promise.withResolvers<void>();
    return this.#fresh.promise;
  }
}
