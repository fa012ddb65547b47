/**
 * Making up for what succeeded before a run failed or was cancelled. Each success whose step says how is made up for
 * by a step of its own, `compensate/<key>`, in reverse order of the successes, its intent on record before it is
 * entered, after everything that was in flight has settled and before the run's end is recorded.
 */
import type { Seq, Timestamp } from "../core/event.ts";
import { pathOf } from "../core/identity.ts";
import type { Ask, Asks } from "./ask.ts";
import type { StepAsk } from "./body.ts";
import { compensationScope } from "./compensation-scope.ts";
import type { OutcomeEvent, Recall, Recorded } from "./recall.ts";
import type { StepRunner } from "./step-runner.ts";
import type { Encoded } from "./value.ts";
import { digestOf, fromValue, toValue } from "./value.ts";

type Success = { ask: Ask; seq: Seq; output: Encoded; step: StepAsk };

export class Compensation {
  readonly #asks: Asks;
  readonly #steps: StepRunner;
  readonly #recall: Recall;
  #successes: Success[] = [];
  #running: Ask | undefined;

  constructor(recall: Recall, asks: Asks, steps: StepRunner) {
    this.#recall = recall;
    this.#asks = asks;
    this.#steps = steps;
  }

  /** An outcome is on record: if it is a success that can be made up for, it is kept in mind. */
  note(ask: Ask, event: OutcomeEvent, texts: ReadonlyMap<string, string>): void {
    if (ask.work.kind !== "step" || ask.work.ask.compensate === undefined || event.type !== "step.succeeded") return;
    const output = toValue(fromValue(event.data.output, texts), `output of step ${ask.ref.key}`);
    this.#successes.push({ ask, seq: event.seq, output, step: ask.work.ask });
  }

  /** Whether a success is kept in mind. */
  get isDue(): boolean {
    return this.#successes.length > 0;
  }

  /** A checkpoint: what is before it is not made up for any more, for nobody would know how after a crash. */
  newSegment(): void {
    this.#successes = [];
  }

  /** Begins the next, the latest success first; false when all are made up for or have failed to be. */
  next(head: Seq): boolean {
    if (this.#running !== undefined && this.#running.stage !== "recorded" && this.#running.stage !== "delivered")
      return true;
    this.#successes.sort((a, b) => a.seq - b.seq);
    for (let success = this.#successes.pop(); success !== undefined; success = this.#successes.pop()) {
      const recorded = this.#recall.compensations.get(keyOf(success));
      if (recorded?.outcome !== undefined) continue;
      this.#begin(success, head, recorded);
      return true;
    }
    return false;
  }

  /** When the next attempt of what is under way is due, if it is that which is waited for. */
  get until(): Timestamp | undefined {
    return this.#running?.until;
  }

  #begin(success: Success, head: Seq, recorded: Recorded | undefined): void {
    const { seq, output, step } = success;
    const { compensate, retry, timeout } = step;
    const { scope, name, n } = success.ask.identity;
    const identity = {
      key: keyOf(success),
      scope: pathOf(compensationScope, scope),
      name,
      input: digestOf(output),
      n,
    };
    const work: StepAsk = {
      scope: identity.scope,
      name,
      causes: [seq],
      intent: true,
      run: (given, tools) => compensate?.(given, tools),
      ...(retry === undefined ? {} : { retry }),
      ...(timeout === undefined ? {} : { timeout }),
    };
    const ask = this.#asks.makeFor(identity, work, output, head, recorded);
    ask.makesUpFor = success.ask;
    this.#running = ask;
    ask.stage = "begun";
    this.#steps.begin(ask);
  }
}

function keyOf({ ask }: Success): string {
  return `${compensationScope}/${ask.ref.key}`;
}
