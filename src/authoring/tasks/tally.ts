/** Counts the ends of a run, and says in the end how the run ended. */
import { filled } from "./filled.ts";
import type { Plan } from "./plan.ts";
import { absent } from "./plan.ts";
import type { StopCause } from "./stop.ts";
import type { TaskRunOutcome } from "./step.ts";

export class Tally {
  readonly #failures: TaskRunOutcome["failures"][number][] = [];
  #allowed = 0;

  /** A task has failed; `allowed` says whether others may go on behind it. */
  failed(failure: TaskRunOutcome["failures"][number], allowed: boolean): void {
    this.#failures.push(failure);
    if (allowed) this.#allowed++;
  }

  outcome<C>(runId: string, plan: Plan<C>, startedAt: number, stopped: StopCause | undefined): TaskRunOutcome {
    const counts = filled(absent + 1, 0);
    for (let task = 0; task < plan.size; task++) {
      const state = plan.state[task] as number;
      counts[state] = (counts[state] as number) + 1;
    }
    const [, , , success = 0, failure = 0, skipped = 0, cancelled = 0] = counts;
    const ended = this.#failures.length > this.#allowed ? "failure" : "success";
    return {
      runId,
      status: stopped === undefined && cancelled === 0 ? ended : "cancelled",
      ...stopped,
      failures: this.#failures,
      counts: { success, failure, skipped, cancelled },
      startedAt,
      endedAt: Date.now(),
    };
  }
}
