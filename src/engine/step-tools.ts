/** What a step's function is given beside its input. */
import type { RunId } from "../core/event.ts";
import { idempotencyKey } from "../core/identity.ts";
import type { Emitted } from "../store/store.ts";
import type { Ask } from "./ask.ts";
import type { Log, StepTools } from "./body.ts";
import { sha256 } from "./hash.ts";
import { labelled } from "./log.ts";
import type { Emit } from "./streams.ts";
import { emitter } from "./streams.ts";

/** What the tools of a step are made with. */
export type ToolSurroundings = {
  log: Log;
  /** First run of the restart / fork line, and the calls that lead from it to this run. */
  line: RunId;
  calls: readonly string[];
  /** How often a success of this step was discarded on purpose in the line. */
  generation(ask: Ask): number;
  /** Whether this run was worked on before this activation. */
  resumed: boolean;
  emit(value: Emitted): void;
};

/**
 * Tools of the attempt that begins now.
 *
 * @param running whether this very attempt is still wanted; what a later one emits is not mixed with what it emits
 */
export function toolsOf(ask: Ask, surroundings: ToolSurroundings, running: () => boolean): StepTools {
  return new Tools(ask, surroundings, running);
}

/**
 * Most functions use few of their tools, so each is made when it is asked for. A class, because an object that is
 * written down with getters gets a shape of its own each time, which the engine of JavaScript keeps for long.
 */
class Tools implements StepTools {
  readonly attempt: number;
  readonly abort: AbortSignal;
  readonly #ask: Ask;
  readonly #with: ToolSurroundings;
  readonly #running: () => boolean;
  #key: string | undefined;
  #log: Log | undefined;
  #emit: Emit | undefined;

  constructor(ask: Ask, surroundings: ToolSurroundings, running: () => boolean) {
    const { attempt = 1, abort = new AbortController() } = ask;
    this.attempt = attempt;
    this.abort = abort.signal;
    this.#ask = ask;
    this.#with = surroundings;
    this.#running = running;
  }

  get idempotencyKey(): string {
    return (this.#key ??= idempotencyKey(
      sha256,
      this.#with.line,
      this.#with.calls,
      this.#ask.identity,
      this.#with.generation(this.#ask),
    ));
  }

  get log(): Log {
    return (this.#log ??= labelled(this.#with.log, { step: this.#ask.ref.key, attempt: this.attempt }));
  }

  get emit(): Emit {
    const { attempt } = this;
    const { resumed, emit } = this.#with;
    return (this.#emit ??= emitter({ step: this.#ask.ref.key, attempt, again: resumed || attempt > 1 }, (value) => {
      if (this.#running()) emit(value);
    }));
  }
}
