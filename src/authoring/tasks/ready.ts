/** Tasks that may start, in the order in which they do: the highest priority first, of equals the one that came first. */
import { roomFor } from "./room.ts";

/** What a run takes its tasks from. */
export type Ready = {
  readonly size: number;
  push(task: number): void;
  /** The next one, or -1. */
  peek(): number;
  take(): number;
  /** Takes out all that are in it. */
  clear(): number[];
};

/** First come, first served. */
export class Line implements Ready {
  #tasks: Int32Array;
  #head = 0;
  #end = 0;

  /** With room for all tasks that are known: each of them comes once. */
  constructor(room = 0) {
    this.#tasks = new Int32Array(room);
  }

  get size(): number {
    return this.#end - this.#head;
  }

  push(task: number): void {
    if (this.#end === this.#tasks.length) this.#tasks = roomFor(this.#tasks, this.#end + 1);
    this.#tasks[this.#end++] = task;
  }

  peek(): number {
    return this.#head < this.#end ? (this.#tasks[this.#head] as number) : -1;
  }

  take(): number {
    return this.#head < this.#end ? (this.#tasks[this.#head++] as number) : -1;
  }

  clear(): number[] {
    const tasks = [...this.#tasks.subarray(this.#head, this.#end)];
    this.#head = 0;
    this.#end = 0;
    return tasks;
  }
}

type Entry = { task: number; priority: number; came: number };

/** A binary heap. */
export class Ranking implements Ready {
  #heap: Entry[] = [];
  #came = 0;
  readonly #priorityOf: (task: number) => number;

  constructor(priorityOf: (task: number) => number) {
    this.#priorityOf = priorityOf;
  }

  get size(): number {
    return this.#heap.length;
  }

  push(task: number): void {
    const entry = { task, priority: this.#priorityOf(task), came: this.#came++ };
    let at = this.#heap.push(entry) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = this.#heap[above] as Entry;
      if (before(parent, entry)) break;
      this.#heap[at] = parent;
      at = above;
    }
    this.#heap[at] = entry;
  }

  peek(): number {
    return this.#heap[0]?.task ?? -1;
  }

  take(): number {
    const [top] = this.#heap;
    const last = this.#heap.pop();
    if (top === undefined || last === undefined) return -1;
    if (this.#heap.length > 0) this.#sink(last);
    return top.task;
  }

  clear(): number[] {
    const tasks = this.#heap.toSorted((a, b) => (before(a, b) ? -1 : 1)).map(({ task }) => task);
    this.#heap = [];
    return tasks;
  }

  #sink(entry: Entry): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && before(heap[below + 1] as Entry, heap[below] as Entry)) below++;
      if (before(entry, heap[below] as Entry)) break;
      heap[at] = heap[below] as Entry;
      at = below;
    }
    heap[at] = entry;
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.priority > b.priority || (a.priority === b.priority && a.came < b.came);
}
