/**
 * What became of the tasks of a run. While it runs, only what a task returned and two times are kept; results are made of
 * them when somebody looks. A run of a hundred thousand tasks of which three are looked at makes three.
 */
import { inspect } from "node:util";
import { filled } from "./filled.ts";
import type { Plan } from "./plan.ts";
import { statusOf } from "./plan.ts";
import { roomFor } from "./room.ts";
import type { TaskResult } from "./step.ts";

/** A run of more tasks than these does not hold on to objects that say nothing but success: see `add`. */
const manyTasks = 20_000;
const saysNothing: TaskResult = Object.freeze({ status: "success" });

export class Results<C> {
  readonly #plan: Plan<C>;
  readonly #many: boolean;
  /** What a task returned, or its result as it is given out. */
  readonly #values: (TaskResult | undefined)[];
  /** Milliseconds of `performance.now()`; 0 for tasks that were not entered, or of which the result was made. */
  started: Float64Array;
  ended: Float64Array;
  /** How many tasks have ended. */
  count = 0;
  /** These, in the order in which they did. */
  #order: Int32Array;

  constructor(plan: Plan<C>) {
    const { size } = plan;
    this.#plan = plan;
    this.#many = size > manyTasks;
    this.#values = filled<TaskResult | undefined>(size, undefined);
    this.started = new Float64Array(size);
    this.ended = new Float64Array(size);
    this.#order = new Int32Array(size);
  }

  /** Makes room for further tasks. */
  extend(): void {
    const { size } = this.#plan;
    this.started = roomFor(this.started, size);
    this.ended = roomFor(this.ended, size);
    this.#order = roomFor(this.#order, size);
    while (this.#values.length < size) this.#values.push(undefined);
  }

  /**
   * A hundred thousand objects that live until the end of the run cost the garbage collector as much as all else costs;
   * a few thousand cost less than to look at each of them.
   */
  add(task: number, value: TaskResult): void {
    this.#values[task] = this.#many && this.started[task] !== 0 && isBare(value) ? saysNothing : value;
    this.#order[this.count++] = task;
  }

  /** The result of a task that has ended; undefined for others. */
  of(task: number): TaskResult | undefined {
    const value = this.#values[task];
    if (value === undefined) return undefined;
    const startTime = this.started[task] as number;
    if (startTime === 0) return value;
    const endTime = this.ended[task] as number;
    // The status is the one that counted, whatever the task did to its object since.
    const status = statusOf(this.#plan.state[task] as number);
    const result = { ...value, status, metrics: { startTime, endTime, duration: endTime - startTime } };
    this.started[task] = 0;
    this.#values[task] = result;
    return result;
  }

  byName(name: string): TaskResult | undefined {
    const task = this.#plan.graph.index.get(name);
    return task === undefined ? undefined : this.of(task);
  }

  has(name: string): boolean {
    const task = this.#plan.graph.index.get(name);
    return task !== undefined && this.#values[task] !== undefined;
  }

  *entries(): Generator<[string, TaskResult]> {
    for (let at = 0; at < this.count; at++) {
      const task = this.#order[at] as number;
      yield [this.#plan.graph.names[task] as string, this.of(task) as TaskResult];
    }
  }

  /** Results by name, in the order in which the tasks ended. */
  asMap(): Map<string, TaskResult> {
    return new Unread(this);
  }
}

/** Whether it says that the task succeeded, and nothing else. */
function isBare(value: TaskResult): boolean {
  if (value.status !== "success") return false;
  for (const name in value) if (name !== "status") return false;
  return true;
}

/** A value that cannot be cloned: in the place of results that nobody has looked at yet. */
const unread = Symbol("results of which nothing was read yet: clone new Map(results)");

/**
 * A Map that is filled when it is looked at as a whole. From then on it is a Map like others. Whatever looks into Maps
 * without their methods (structuredClone does) meets a value that it must refuse, so nothing is lost in silence.
 */
class Unread extends Map<string, TaskResult> {
  #results: Results<unknown> | undefined;

  constructor(results: Results<unknown>) {
    super();
    super.set("", unread as never);
    this.#results = results;
  }

  #fill(): this {
    const results = this.#results;
    if (results === undefined) return this;
    this.#results = undefined;
    super.clear();
    for (const [name, result] of results.entries()) super.set(name, result);
    return Object.setPrototypeOf(this, Map.prototype) as this;
  }

  override get(name: string): TaskResult | undefined {
    return this.#results === undefined ? super.get(name) : this.#results.byName(name);
  }

  override has(name: string): boolean {
    return this.#results === undefined ? super.has(name) : this.#results.has(name);
  }

  override get size(): number {
    return this.#results === undefined ? super.size : this.#results.count;
  }

  override set(name: string, result: TaskResult): this {
    return Map.prototype.set.call(this.#fill(), name, result) as this;
  }

  override delete(name: string): boolean {
    return Map.prototype.delete.call(this.#fill(), name);
  }

  override clear(): void {
    Map.prototype.clear.call(this.#fill());
  }

  override keys(): MapIterator<string> {
    return Map.prototype.keys.call(this.#fill()) as MapIterator<string>;
  }

  override values(): MapIterator<TaskResult> {
    return Map.prototype.values.call(this.#fill()) as MapIterator<TaskResult>;
  }

  override entries(): MapIterator<[string, TaskResult]> {
    return Map.prototype.entries.call(this.#fill()) as MapIterator<[string, TaskResult]>;
  }

  override [Symbol.iterator](): MapIterator<[string, TaskResult]> {
    return this.entries();
  }

  override forEach(...given: Parameters<Map<string, TaskResult>["forEach"]>): void {
    Map.prototype.forEach.apply(this.#fill(), given as never);
  }

  [inspect.custom](): Map<string, TaskResult> {
    return this.#fill();
  }
}

// Who compares constructors must see a Map before it was looked at, too.
Object.defineProperty(Unread.prototype, "constructor", { value: Map, writable: true, configurable: true });
