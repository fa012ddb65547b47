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
  /** First run of the restart / fork line. */
  line: RunId;
  /** Whether this run was worked on before this activation. */
  resumed: boolean;
  emit(value: Emitted): void;
};

/**
 * Tools of the attempt that begins now. Most functions use few of them, so each is made when it is asked for.
 *
 * @param running whether this very attempt is still wanted; what a later one emits is not mixed with what it emits
 */
export function toolsOf(
  ask: Ask,
  { log, line, resumed, ...surroundings }: ToolSurroundings,
  running: () => boolean,
): StepTools {
  const { identity, abort, attempt = 1 } = ask;
  const step = ask.ref.key;
  const write = (value: Emitted): void => {
    if (running()) surroundings.emit(value);
  };
  let key: string | undefined;
  let lines: Log | undefined;
  let emit: Emit | undefined;
  return {
    get idempotencyKey(): string {
      return (key ??= idempotencyKey(sha256, line, [], identity));
    },
    attempt,
    abort: (abort ?? new AbortController()).signal,
    get log(): Log {
      return (lines ??= labelled(log, { step, attempt }));
    },
    get emit(): Emit {
      return (emit ??= emitter({ step, attempt, again: resumed || attempt > 1 }, write));
    },
  };
}
