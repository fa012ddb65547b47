/**
 * Tasks that wait for scarce resources. One that does not fit stands in the line of the first resource that it lacks, and
 * tasks that need others go before it. What is given back is granted from the head of the line, so that a task which
 * needs much is not overtaken for ever by those that need little.
 */
import { StemmaError } from "../../core/error.ts";
import { textOfThrown } from "./messages.ts";
import type { Ready } from "./ready.ts";
import { Line } from "./ready.ts";
import type { TaskStep } from "./step.ts";

type Amounts = Readonly<Record<string, number>>;

/** Sums of fractions are not exact, and what was given back must be enough again. */
const rounding = 1e-9;

/** Tasks that may start and fit into what is left of the resources. */
export class Scarce implements Ready {
  readonly #ready: Ready;
  /** Tasks that have waited and whose share is set aside. */
  readonly #granted = new Line();
  readonly #left: Map<string, number>;
  readonly #lines = new Map<string, Ready>();
  readonly #newLine: () => Ready;
  readonly #demandOf: (task: number) => Amounts | undefined;

  constructor(limits: Amounts, newLine: () => Ready, demandOf: (task: number) => Amounts | undefined) {
    this.#left = new Map(Object.entries(limits));
    this.#ready = newLine();
    this.#newLine = newLine;
    this.#demandOf = demandOf;
  }

  /** Those that wait for a resource are not ready; whether those that just came fit is not known yet. */
  get size(): number {
    return this.#granted.size + this.#ready.size;
  }

  push(task: number): void {
    this.#ready.push(task);
  }

  peek(): number {
    return this.#granted.size > 0 ? this.#granted.peek() : this.#ready.peek();
  }

  take(): number {
    if (this.#granted.size > 0) return this.#granted.take();
    for (let task = this.#ready.take(); task >= 0; task = this.#ready.take()) {
      const lacking = this.#lacking(task, "");
      if (lacking === undefined) {
        this.#change(task, -1);
        return task;
      }
      this.#lineOf(lacking).push(task);
    }
    return -1;
  }

  /** Gives back what a task took. */
  release(task: number): void {
    const demand = this.#demandOf(task);
    if (demand === undefined) return;
    this.#change(task, 1);
    for (const name of Object.keys(demand)) {
      const line = this.#lines.get(name);
      if (line !== undefined) this.#grant(line, name);
    }
  }

  clear(): number[] {
    const granted = this.#granted.clear();
    for (const task of granted) this.#change(task, 1);
    return [...granted, ...this.#ready.clear(), ...[...this.#lines.values()].flatMap((line) => line.clear())];
  }

  #grant(line: Ready, name: string): void {
    for (let task = line.peek(); task >= 0; task = line.peek()) {
      const lacking = this.#lacking(task, name);
      if (lacking === name) return;
      line.take();
      if (lacking === undefined) {
        this.#change(task, -1);
        this.#granted.push(task);
      } else this.#lineOf(lacking).push(task);
    }
  }

  /** The first resource that does not suffice, or that others wait for, but in the line of `own`. */
  #lacking(task: number, own: string): string | undefined {
    const demand = this.#demandOf(task);
    if (demand === undefined) return undefined;
    for (const [name, amount] of Object.entries(demand)) {
      const left = this.#left.get(name);
      if (left === undefined || amount === 0) continue;
      if (left < amount - rounding || (name !== own && (this.#lines.get(name)?.size ?? 0) > 0)) return name;
    }
    return undefined;
  }

  #change(task: number, sign: number): void {
    const demand = this.#demandOf(task);
    if (demand === undefined) return;
    for (const [name, amount] of Object.entries(demand)) {
      const left = this.#left.get(name);
      if (left !== undefined) this.#left.set(name, left + sign * amount);
    }
  }

  #lineOf(name: string): Ready {
    let line = this.#lines.get(name);
    if (line === undefined) this.#lines.set(name, (line = this.#newLine()));
    return line;
  }
}

/** Throws usage.invalid for limits that are none. */
export function checkLimits(limits: Amounts): void {
  for (const [name, limit] of Object.entries(limits)) {
    if (typeof limit !== "number" || !(limit >= 0)) {
      throw new StemmaError(
        "usage.invalid",
        `Expected the limit of ${name} to be a number from 0, got ${textOfThrown(limit)}.`,
      );
    }
  }
}

/** Steps between two pauses. */
const stretch = 512;

/** Throws step.invalid for steps that would wait for ever. */
export function* checkDemands<C>({ steps }: { steps: readonly TaskStep<C>[] }, limits: Amounts): Generator<void> {
  for (const [n, step] of steps.entries()) {
    checkDemand(step, limits);
    if (n % stretch === stretch - 1) yield;
  }
}

/** Throws step.invalid for a step that would wait for ever. */
export function checkDemand<C>({ name, resources }: TaskStep<C>, limits: Amounts): void {
  if (resources === undefined) return;
  for (const [resource, amount] of Object.entries(resources)) {
    const limit = Object.hasOwn(limits, resource) ? limits[resource] : undefined;
    if (!(amount >= 0) || (limit !== undefined && amount > limit)) {
      const most = limit === undefined ? "a number from 0" : `a number from 0 to ${limit}, the limit of this run`;
      throw new StemmaError(
        "step.invalid",
        `Expected what step ${name} takes of ${resource} to be ${most}, got ${amount}.`,
      );
    }
  }
}
