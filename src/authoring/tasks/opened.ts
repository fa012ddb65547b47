/** Tasks that have become several, and wait for the last of these. */
import { message } from "./messages.ts";
import type { TaskResult } from "./step.ts";

/** A task that has returned, and its further tasks. */
export type Whole = { result: TaskResult; from: number; count: number; left: number; blamed: TaskResult | undefined };

export class Opened {
  readonly #open = new Map<number, Whole>();
  readonly #owners = new Map<number, number>();

  /** Whether there are any. */
  get any(): boolean {
    return this.#open.size > 0;
  }

  has(task: number): boolean {
    return this.#open.has(task);
  }

  /** A task has returned, and `count` further ones that begin at `from` are to end before it does. */
  add(task: number, result: TaskResult, from: number, count: number): void {
    this.#open.set(task, { result, from, count, left: count, blamed: undefined });
    for (let further = from; further < from + count; further++) this.#owners.set(further, task);
  }

  /** A task has ended; gives the one that ends with it, if there is one. `blame` says what is wrong with its end. */
  ended(task: number, blame: TaskResult | undefined): { task: number; open: Whole } | undefined {
    const owner = this.#owners.get(task);
    const open = owner === undefined ? undefined : this.#open.get(owner);
    if (owner === undefined || open === undefined) return undefined;
    open.left--;
    // A failure tells more than a task that was cancelled because of it.
    if (blame !== undefined && open.blamed?.status !== "failure") open.blamed = blame;
    if (open.left > 0) return undefined;
    this.#open.delete(owner);
    return { task: owner, open };
  }
}

/** What is wrong with a task of which a further one ended so; undefined if that is allowed. */
export function blameOf(name: string, result: TaskResult, allowed: boolean): TaskResult | undefined {
  if (result.status === "cancelled")
    return { status: "cancelled", message: result.message ?? message("TASK_CANCELLED") };
  if (result.status !== "failure" || allowed) return undefined;
  const error = `Task '${name}' failed${result.error === undefined ? "" : `: ${result.error}`}`;
  return { status: "failure", error, cause: result.cause ?? { task: name, status: "failure" } };
}
