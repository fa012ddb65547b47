/**
 * Tasks are carried out in *lanes*: a lane enters a task, waits for it, and goes on with the next one that is ready. So a
 * chain of a million tasks is one loop, and a limit of concurrency is a number of lanes.
 */
import type { Clock } from "./clock.ts";
import type { Ready } from "./ready.ts";
import { nextTurn, turnIsOver } from "./turn.ts";

/** What is carried out. Tasks are known by their positions; the clock was looked at just before these are called. */
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
  readonly #clock: Clock;
  readonly #fault: (error: unknown) => void;
  #count = 0;
  /** How many tasks have returned. */
  #ended = 0;
  /** Whether more lanes will be opened without anybody's doing. */
  #opening = false;

  /** @param max how many tasks at a time */
  constructor(traffic: Traffic, clock: Clock, ready: Ready, max: number) {
    this.#traffic = traffic;
    this.#clock = clock;
    this.#fault = (error) => traffic.fault(error);
    this.#ready = ready;
    this.#max = max;
  }

  /** Opens a lane for each task that is ready, as far as lanes go. */
  open(): void {
    this.#clock.look();
    this.#open(0);
  }

  /** A task is not waited for any more: its lane is given up, and its place is free. */
  giveUp(): void {
    this.#count--;
  }

  /**
   * This is the way of every task, so the little it does is worth a thought: an async function that awaits one task after
   * another is a fifth slower. No call is within another one: what a task returned arrives in a turn of its own.
   */
  #lane(first: number): void {
    let task = first;
    const enter = (): void => {
      try {
        Promise.resolve(this.#traffic.enter(task)).then(returned, threw);
      } catch (error) {
        Promise.reject(error as Error).catch(threw);
      }
    };
    const threw = (error: unknown): void => returned(this.#traffic.thrown(error));
    const returned = (value: unknown): void => {
      try {
        goOn(this.#leave(task, value));
      } catch (error) {
        this.#traffic.fault(error);
      }
    };
    const goOn = (next: number): void => {
      task = next;
      if (task >= 0) enter();
      else if (task === inNextTurn) nextTurn().then(wake).catch(this.#fault);
      else if (task !== givenUp) this.#count--;
    };
    const wake = (): void => {
      this.#clock.look();
      goOn(this.#next());
    };
    enter();
  }

  /** A task has returned: gives the next one for its lane. */
  #leave(task: number, value: unknown): number {
    this.#clock.look();
    this.#ended++;
    if (!this.#traffic.left(task, value)) return givenUp;
    return turnIsOver(this.#clock.last) ? inNextTurn : this.#next();
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
      this.#lane(task);
      this.#clock.look();
      const late = turnIsOver(this.#clock.last);
      if (n < burst && !late) continue;
      this.#opening = true;
      // Those that do nothing end now, and their lanes go on with the rest.
      this.#openMore(late).catch(this.#fault);
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
