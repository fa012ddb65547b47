/**
 * Who works on what, as far as this server gave it out: how many executions each process of a node has in hand that wait for
 * nothing, and which executions wait for one of them to be done. Those that wait for calls or people take no place, or a
 * function that calls another of its own node could stand in its own way.
 */
import type { RunId } from "../../core/event.ts";

type Held = { instance: string; waitsFor: number };

export class Slots {
  readonly #held = new Map<RunId, Held>();
  readonly #busy = new Map<string, number>();
  /** Of each node: executions that wait for a place, and for which of their dispatches, first come first. */
  readonly #queues = new Map<string, Map<RunId, number>>();

  working(instance: string): number {
    return this.#busy.get(instance) ?? 0;
  }

  /** @param waitsFor how many calls and questions of it are open */
  take(run: RunId, instance: string, waitsFor: number = 0): void {
    this.free(run);
    this.#held.set(run, { instance, waitsFor });
    if (waitsFor === 0) this.#count(instance, 1);
  }

  /** It has made a call or asked a question (1), or has its answer (-1). */
  waits(run: RunId, by: 1 | -1): void {
    const held = this.#held.get(run);
    if (held === undefined) return;
    const before = held.waitsFor;
    held.waitsFor = Math.max(0, before + by);
    if (before === 0 && held.waitsFor > 0) this.#count(held.instance, -1);
    if (before > 0 && held.waitsFor === 0) this.#count(held.instance, 1);
  }

  free(run: RunId): void {
    const held = this.#held.get(run);
    if (held === undefined) return;
    this.#held.delete(run);
    if (held.waitsFor === 0) this.#count(held.instance, -1);
  }

  /** Whether it is known to be in the hands of a process. */
  has(run: RunId): boolean {
    return this.#held.has(run);
  }

  queue(node: string, run: RunId, dispatch: number): void {
    const waiting = this.#queues.get(node) ?? new Map<RunId, number>();
    waiting.set(run, dispatch);
    this.#queues.set(node, waiting);
  }

  unqueue(node: string, run: RunId): void {
    this.#queues.get(node)?.delete(run);
  }

  /** Takes the first `count` of a queue. */
  next(node: string, count: number): { run: RunId; dispatch: number }[] {
    const waiting = this.#queues.get(node);
    const first = [...(waiting ?? [])].slice(0, Math.max(0, count));
    for (const [run] of first) waiting?.delete(run);
    return first.map(([run, dispatch]) => ({ run, dispatch }));
  }

  hasQueue(node: string): boolean {
    return (this.#queues.get(node)?.size ?? 0) > 0;
  }

  #count(instance: string, by: 1 | -1): void {
    const count = this.working(instance) + by;
    if (count > 0) this.#busy.set(instance, count);
    else this.#busy.delete(instance);
  }
}
