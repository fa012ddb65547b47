/**
 * Time in the hand of a test. It stands still until the test moves it, and then it goes from one point in time at which
 * something falls due to the next, in order, and waits at each until all that can happen then has happened. So two weeks
 * take some milliseconds, and everything is recorded at its exact time.
 *
 * What it has to know for that it learns from the engine: turns of the event loop go through the clock, and it stands
 * between the engine and its store. Polls and heartbeats are no points in time. They ring whenever the clock stands
 * still, heartbeats first, so no jump costs a worker its lease; but where a worker has fallen silent, the end of its
 * lease is a point in time, because others take its runs then.
 */
import type { Duration } from "../core/duration.ts";
import { milliseconds } from "../core/duration.ts";
import { StemmaError } from "../core/error.ts";
import type { Timestamp } from "../core/event.ts";
import type { Clock, TimerOptions } from "../engine/clock.ts";
import type { Store } from "../store/store.ts";
import { Watch } from "./watch.ts";

export type FakeClockOptions = {
  /** Where time begins: a Date, or milliseconds since 1970. Default: the start of 2026 (UTC), in every run of a test. */
  now?: Date | number;
};

/** A clock that a test moves. Its functions can be handed on by themselves: `sqlite({ path, now: clock.now })`. */
export type FakeClock = Clock & {
  /** Milliseconds since 1970. */
  now(): Timestamp;
  /**
   * Lets time pass: to each timer that falls due, in order, with everything that follows from it, and then to the end.
   * It comes back when nothing more can happen by itself at that time.
   *
   * It knows the engine and its store, not the world. A step that waits for something real (a request, a file, a real
   * timer) is not waited for: the test awaits that, and then moves time on. Timeouts ring by this clock all the same.
   *
   * @throws StemmaError `duration.invalid`
   */
  advance(duration: Duration): Promise<void>;
  /** No time passes; everything that can happen now has happened when it comes back. */
  settle(): Promise<void>;
  attach(store: Store): Store;
};

/** Turns of the event loop that must pass with nothing under way: user code may take some between two steps. */
const quietTurns = 5;
/** Code that is in its grace is given this much real time before fake time goes on without it. */
const patienceMs = 1000;

type Timer = {
  at: Timestamp;
  call: () => void;
  kind: TimerOptions["kind"];
  /** On the real clock: until when code in its grace is waited for. */
  patientUntil: number;
};

/**
 * A clock for tests of workflows that wait: sleeps, delays, timeouts and leases go by it.
 *
 * A store made without a time of its own takes it from the clock as soon as a Stemma is made of both. Several Stemmas,
 * on one store or on several, can share a clock.
 *
 * @throws StemmaError `usage.invalid` for a `now` that is no time
 * @example
 * const clock = fakeClock();
 * await using stemma = await new Stemma({ store: sqlite(":memory:"), workflows: [order], clock }).start();
 * const run = await stemma.run(order, { card: "4242" }); // sleeps for 14 days
 * await clock.advance("14d");
 * expect(await run.result()).toBe("shipped");
 */
export function fakeClock(options: FakeClockOptions = {}): FakeClock {
  const hand = new Hand(startOf(options.now ?? Date.UTC(2026, 0, 1)));
  return {
    now: () => hand.now,
    monotonic: () => hand.now,
    after: (ms, call, how) => hand.after(ms, call, how),
    turn: (call) => hand.turn(call),
    attach: (store) => hand.attach(store),
    advance: async (duration) => hand.advance(milliseconds(duration, "advance")),
    settle: () => hand.advance(0),
  };
}

function startOf(now: Date | number): Timestamp {
  const at = Number(now);
  if (Number.isSafeInteger(at) && at >= 0) return at;
  throw new StemmaError(
    "usage.invalid",
    `Expected now to be a Date or whole milliseconds since 1970, got ${String(now)}.`,
  );
}

class Hand {
  now: Timestamp;
  /** In the order in which they were set, which is the order in which those of one time ring. */
  readonly #timers = new Set<Timer>();
  readonly #watch = new Watch(() => this.now);
  #turns = 0;
  /** One movement after the other. */
  #moving: Promise<void> = Promise.resolve();

  constructor(now: Timestamp) {
    this.now = now;
  }

  after(ms: number, call: () => void, { kind }: TimerOptions = {}): () => void {
    const patientUntil = kind === "grace" ? performance.now() + Math.min(ms, patienceMs) : 0;
    const timer: Timer = { at: this.now + Math.ceil(Math.max(ms, 0)), call, kind, patientUntil };
    this.#timers.add(timer);
    // Nobody moves the clock while a Stemma is stopped at the end of a test; what is in its grace must end all the same.
    // Who looks again for a thing to come does not hold time up, for time may have to pass before it comes.
    const isReal = kind === "grace" || kind === "look";
    const real = isReal ? setTimeout(() => this.#ring(timer), Math.min(ms, 2 ** 31 - 1)) : undefined;
    return () => {
      this.#timers.delete(timer);
      clearTimeout(real);
    };
  }

  turn(call: () => void): void {
    this.#turns += 1;
    setImmediate(() => {
      this.#turns -= 1;
      call();
    });
  }

  attach(store: Store): Store {
    return this.#watch.attach(store);
  }

  advance(ms: number): Promise<void> {
    const moved = this.#moving.then(() => this.#move(ms));
    this.#moving = moved.catch(() => undefined);
    return moved;
  }

  async #move(ms: number): Promise<void> {
    const target = this.now + ms;
    await this.#settle();
    while (this.now < target) {
      this.now = this.#nextStop(target);
      await this.#settle();
    }
  }

  /** The next point in time at which something happens. */
  #nextStop(target: Timestamp): Timestamp {
    let next = Math.min(target, this.#watch.nextLeaseEnd());
    for (const { kind, at } of this.#timers) if (!isUpkeep(kind) && at < next) next = at;
    return Math.max(next, this.now);
  }

  /** Has everything happen that can happen now. */
  async #settle(): Promise<void> {
    await this.#quiet();
    let changes: number;
    do {
      ({ changes } = this.#watch);
      // Whoever is alive says so before anybody looks for the runs of the dead.
      this.#watch.listen();
      await this.#ringAll((timer) => timer.kind === "heartbeat");
      await this.#ringAll((timer) => this.#isDue(timer));
      await this.#ringAll((timer) => timer.kind === "poll");
      // Polls that found nothing new will find nothing new until time passes.
    } while (changes !== this.#watch.changes || [...this.#timers].some((timer) => this.#isDue(timer)));
  }

  #isDue({ kind, at }: Timer): boolean {
    return !isUpkeep(kind) && at <= this.now;
  }

  async #ringAll(which: (timer: Timer) => boolean): Promise<void> {
    const due = [...this.#timers].filter(which);
    for (const timer of due) this.#ring(timer);
    if (due.length > 0) await this.#quiet();
  }

  /** One that an earlier one took back does not ring. */
  #ring(timer: Timer): void {
    if (this.#timers.delete(timer)) timer.call();
  }

  /** Lets the event loop turn until nothing of the engine is under way. */
  async #quiet(): Promise<void> {
    for (let quiet = 0; quiet < quietTurns || this.#isPatient();) {
      if (quiet < quietTurns) await new Promise((resolve) => setImmediate(resolve));
      else await new Promise((resolve) => setTimeout(resolve, 1));
      quiet = this.#turns === 0 && this.#watch.underWay === 0 ? quiet + 1 : 0;
    }
  }

  #isPatient(): boolean {
    for (const { patientUntil } of this.#timers) if (patientUntil > 0 && performance.now() < patientUntil) return true;
    return false;
  }
}

function isUpkeep(kind: TimerOptions["kind"]): boolean {
  return kind === "heartbeat" || kind === "poll";
}
