/**
 * A run that is being taken in from a file, or was when its import was killed: not all of it is here, so nobody works on it,
 * ends it or takes messages in. They wait with it until the import is done again.
 */
import { limits } from "../core/limits.ts";
import type { RunRow } from "../store/store.ts";

/** When a run that is not whole is due: never, as far as anybody will see. */
export function dueWhileTakenIn(now: number): number {
  return now + 2 * limits.takingInMs;
}

export function isBeingTakenIn({ epoch, dueAt }: Pick<RunRow, "epoch" | "dueAt">, now: number): boolean {
  return epoch === 0 && dueAt !== null && dueAt > now + limits.takingInMs;
}
