/**
 * Tasks are carried out in *lanes*: a lane enters a task, waits for it, and goes on with the next one that is ready. So a
 * chain of a million tasks is one loop, and a limit of concurrency is a number of lanes.
 */
import type { Ready } from "./ready.ts";
import { nextTurn, turnIsOver } from "./turn.ts";

/** What is carried out. Tasks are known by their positions, times are those of `performance.now()`. */
export type Traffic = {
  /** Whether a task may still start; then it is running. */
  start(task: number): boolean;
  enter(task: number, now: number): Promise<unknown>;
  /** What becomes of a task that threw, as if it had returned it. */
  thrown(error: unknown): unknown;
  /** A task has returned. False if it had been given up before, and others have gone on in its place. */
  left(task: number, value: unknown, now: number): boolean;
  /** Something went wrong that is no task's fault. */
  fault(error: unknown): void;
};

/** Lanes that are opened before those that are open may go on. More at once would only fill the memory. */
const burst = 32;

/** In the place of a task: there is none; the next one is taken in the next turn; the lane was given up. */
const none = -1;
const inNextTurn = -2;
const givenUp = -3;

export class Lanes {
  readonly #traffic: Traffic;
  readonly #ready: Ready;
  readonly #max: number;
  /** Taken once: each look at the global costs as much as the clock itself. */
  readonly #clock = performance;
  /** When the clock was looked at last. That is seldom before anything is entered. */
  #now = 0;
  #count = 0;
  /** How many tasks have returned. */
  #ended = 0;
  /** Whether more lanes will be opened without anybody's doing. */
  #opening = false;

  /** @param max how many tasks at a time */
  constructor(traffic: Traffic, ready: Ready, max: number) {
    this.#traffic = traffic;
    this.#ready = ready;
    this.#max = max;
  }

  /** Opens a lane for each task that is ready, as far as lanes go. */
  open(): void {
    this.#now = this.#clock.now();
    this.#open(0);
  }

  /** A task is not waited for any more: its lane is given up, and its place is free. */
  giveUp(): void {
    this.#count--;
  }

  /** This is the way of every task, so the little it does is worth a thought. */
  async #lane(first: number): Promise<void> {
    let task = first;
    while (task >= 0) {
      let value: unknown;
      try {
        value = await this.#traffic.enter(task, this.#now);
      } catch (error) {
        value = this.#traffic.thrown(error);
      }
      task = this.#goOn(task, value);
      if (task !== inNextTurn) continue;
      await nextTurn();
      this.#now = this.#clock.now();
      task = this.#next();
    }
    if (task !== givenUp) this.#count--;
  }

  /** A task has returned: gives the next one for its lane. */
  #goOn(task: number, value: unknown): number {
    const now = this.#clock.now();
    this.#now = now;
    this.#ended++;
    if (!this.#traffic.left(task, value, now)) return givenUp;
    return turnIsOver(now) ? inNextTurn : this.#next();
  }

  #next(): number {
    // Others first, so that all begin in the order in which they came; the last is for this lane.
    if (this.#ready.size > 1 && !this.#opening && this.#count < this.#max) this.#open(1);
    return this.#take();
  }

  #take(): number {
    for (;;) {
      const task = this.#ready.take();
      // What was cancelled meanwhile is still in line.
      if (task < 0 || this.#traffic.start(task)) return task < 0 ? none : task;
    }
  }

  /** Opens lanes, but for the last tasks, which are left to others. */
  #open(left: number): void {
    if (this.#opening) return;
    for (let n = 1; this.#count < this.#max && this.#ready.size > left; n++) {
      const task = this.#take();
      if (task < 0) return;
      this.#count++;
      this.#lane(task).catch((error: unknown) => this.#traffic.fault(error));
      const now = this.#clock.now();
      this.#now = now;
      const late = turnIsOver(now);
      if (n < burst && !late) continue;
      this.#opening = true;
      // Those that do nothing end now, and their lanes go on with the rest.
      this.#openMore(late).catch((error: unknown) => this.#traffic.fault(error));
      return;
    }
  }

  /** Tasks that do nothing end in the turn in which they begin, and their lanes go on with the rest. */
  async #openMore(late: boolean): Promise<void> {
    if (late) await nextTurn();
    let before: number;
    do {
      before = this.#ended;
      await Promise.resolve();
    } while (this.#ended - before > burst / 8);
    this.#opening = false;
    this.open();
  }
}
