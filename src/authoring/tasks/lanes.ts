/**
 * Tasks are carried out in *lanes*: a lane enters a task, waits for it, and goes on with the next one that is ready. So a
 * chain of a million tasks is one loop, and a limit of concurrency is a number of lanes.
 */
import type { Ready } from "./ready.ts";
import { nextTurn, turnIsOver } from "./turn.ts";

/** What is carried out. Tasks are known by their positions. The clock was looked at just before each of these calls. */
export type Traffic = {
  /** Whether a task may still start; then it is running. */
  start(task: number): boolean;
  enter(task: number): Promise<unknown>;
  /** What becomes of a task that threw, as if it had returned it. */
  thrown(error: unknown): unknown;
  /** A task has returned. False if it had been given up before, and others have gone on in its place. */
  left(task: number, value: unknown): boolean;
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
  readonly #time: Float64Array;
  #count = 0;
  /** How many tasks have returned. */
  #ended = 0;
  /** Whether more lanes will be opened without anybody's doing. */
  #opening = false;

  /**
   * @param max how many tasks at a time
   * @param time one number: milliseconds of `performance.now()`, when the clock was looked at last. Every task needs a
   *   look, which is a large part of what it costs; a number in a field, or handed over, would be a new object each time.
   */
  constructor(traffic: Traffic, ready: Ready, max: number, time: Float64Array) {
    this.#time = time;
    this.#traffic = traffic;
    this.#ready = ready;
    this.#max = max;
  }

  /** Opens a lane for each task that is ready, as far as lanes go. */
  open(): void {
    this.#time[0] = this.#clock.now();
    this.#open(0);
  }

  /** A task is not waited for any more: its lane is given up, and its place is free. */
  giveUp(): void {
    this.#count--;
  }

  /** A task has returned: gives the next one for its lane. */
  leave(task: number, value: unknown): number {
    const now = this.#clock.now();
    this.#time[0] = now;
    this.#ended++;
    if (!this.#traffic.left(task, value)) return givenUp;
    return turnIsOver(now) ? inNextTurn : this.#next();
  }

  /** The lane goes on in the next turn. */
  async wait(lane: Lane): Promise<void> {
    try {
      await nextTurn();
      this.#time[0] = this.#clock.now();
      lane.run(this.#next());
    } catch (error) {
      this.#traffic.fault(error);
    }
  }

  /** The lane is at its end. */
  close(task: number): void {
    if (task !== givenUp) this.#count--;
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
      new Lane(this.#traffic, this).run(task);
      const now = this.#clock.now();
      this.#time[0] = now;
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

/**
 * This is the way of every task, so the little it does is worth a thought. It goes by callbacks, because an async function
 * that awaits one task after another is a fifth slower. No task is entered within another one: even what returned at once
 * arrives in a turn of its own.
 */
class Lane {
  readonly #lanes: Lanes;
  readonly #traffic: Traffic;
  #task = 0;

  constructor(traffic: Traffic, lanes: Lanes) {
    this.#traffic = traffic;
    this.#lanes = lanes;
  }

  run(task: number): void {
    if (task < 0) {
      if (task === inNextTurn) void this.#lanes.wait(this);
      else this.#lanes.close(task);
      return;
    }
    this.#task = task;
    let running: Promise<unknown>;
    try {
      running = this.#traffic.enter(task);
    } catch (error) {
      running = Promise.reject(error);
    }
    Promise.resolve(running).then(this.#returned, this.#threw);
  }

  readonly #returned = (value: unknown): void => {
    let next: number;
    try {
      next = this.#lanes.leave(this.#task, value);
    } catch (error) {
      this.#traffic.fault(error);
      return;
    }
    this.run(next);
  };

  readonly #threw = (error: unknown): void => {
    let value: unknown;
    try {
      value = this.#traffic.thrown(error);
    } catch (fault) {
      this.#traffic.fault(fault);
      return;
    }
    this.#returned(value);
  };
}
