/** `ctx`: what a workflow function does its work with. */
import type { Duration } from "../../core/duration.ts";
import { milliseconds } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import { checkName } from "../../core/name.ts";
import type { Log, Operations, RunInfo, Segment } from "../../engine/body.ts";
import { labelled } from "../../engine/log.ts";
import { inScope, scopeAtHand } from "./frame.ts";
import type { Branches, MapOptions, Raced, Settled } from "./parallel.ts";
import { runAll, runMap, runRace } from "./parallel.ts";
import { Scope, closeInto } from "./scope.ts";
import type { Recorded, StepFunction, StepOptions } from "./step.ts";
import { stepAsk } from "./step.ts";

/**
 * The context of a running workflow. Everything awaited from it is on record before the code goes on, and is given back
 * from the record, not run again, when the run continues after a crash.
 */
export type Context = {
  /**
   * Runs a function once and records its outcome.
   *
   * @throws StepError with what the function threw; json.not_serializable, payload.too_large; step.nested inside a step
   * @example const total = await ctx.step("total", { input: cart }, (cart, step) => price(cart, step.idempotencyKey));
   */
  step<O>(name: string, run: StepFunction<undefined, O>): Promise<Recorded<Awaited<O>>>;
  step<I, O>(name: string, options: StepOptions<I>, run: StepFunction<I, O>): Promise<Recorded<Awaited<O>>>;
  /**
   * One step for each item. At most `concurrency` (default: no limit) are entered and not on record yet, so that is how
   * many a crash can repeat. All items are settled before a failure is thrown, so that what succeeded is on record;
   * several failures are one error with all of them in `cause.errors`.
   *
   * @example const sizes = await ctx.map("size", files, { concurrency: 8 }, (file) => stat(file));
   */
  map<I, O>(name: string, items: readonly I[], run: StepFunction<I, O>): Promise<Recorded<Awaited<O>>[]>;
  map<I, O>(
    name: string,
    items: readonly I[],
    options: MapOptions<I>,
    run: StepFunction<I, O>,
  ): Promise<Recorded<Awaited<O>>[]>;
  /** Runs branches side by side, each in a scope of its own; throws as soon as one throws. */
  all<B extends Branches>(branches: B): Promise<Settled<B>>;
  /** Runs branches side by side; the first to settle wins, the others' steps are aborted and their timers withdrawn. */
  race<B extends Branches>(branches: B): Promise<Raced<B>>;
  /** Runs code whose steps are told apart from equally named ones elsewhere. */
  scope<T>(name: string, run: () => T | Promise<T>): Promise<T>;
  /** Waits for a duration or until a date, for years if need be, without holding a process. */
  sleep(duration: Duration | Date): Promise<void>;
  sleep(name: string, duration: Duration | Date): Promise<void>;
  /** Time of the last outcome this run was given: the same in every recall. Milliseconds since 1970. */
  now(): number;
  /** A number in [0, 1): the same in every recall. */
  random(): number;
  /** A UUID: the same in every recall. */
  uuid(): string;
  /**
   * Puts a JSON value into a stream of the run, for whoever follows it with `run.stream(name)`. Not waited for, and not
   * put there again in recall; a crash may lose the last values. A stream keeps its latest 10,000 values.
   *
   * @throws name.invalid, json.not_serializable, json.too_deep, payload.too_large; step.nested (a step has its own emit)
   * @example ctx.emit("progress", { done: 3, of: 10 });
   */
  emit(stream: string, value: unknown): void;
  /**
   * Gives the run these tags in the place of those it has, at most 100; `stemma.list({ tag })` finds it by each.
   *
   * @throws name.invalid, limit.exceeded; step.nested
   * @example ctx.set(["eu", "needs review"]);
   */
  set(tags: readonly string[]): void;
  /**
   * Whether this run takes the new code behind a name: true for runs that come here for the first time, false for those
   * that older code has brought past this place. The first answer is on record and holds for the run.
   *
   * @throws name.invalid, limit.exceeded; step.nested
   * @example
   * if (ctx.patched("check stock first")) await ctx.step("check stock", checkStock);
   * await ctx.step("charge", charge);
   */
  patched(name: string): boolean;
  /**
   * Logs, but not again in recall. Lines say the run and its workflow, beside what they are given. Never throws.
   *
   * @example ctx.log.info("priced", { total });
   */
  readonly log: Log;
  readonly runId: string;
  readonly workflow: string;
  readonly input: unknown;
  readonly context: unknown;
  /** Aborted when this process no longer works on the run. */
  readonly abort: AbortSignal;
};

/** Makes the context of one activation. */
export function contextOf(operations: Operations, info: RunInfo): Context {
  const at = (method: string): Scope => scopeAtHand(operations, method);
  const methods = {
    async step(name: string, second: unknown, third?: unknown) {
      const scope = at("step");
      const [options, run] = stepArguments("step", name, second, third);
      const ask = stepAsk(operations, scope, name, options, run);
      return scope.take(await operations.step(ask), ask.causes) as never;
    },
    async map(name: string, items: unknown, third: unknown, fourth?: unknown) {
      const scope = at("map");
      const [options, run] = stepArguments("map", name, third, fourth);
      return runMap(operations, scope, name, items, options, run) as never;
    },
    all: async (branches: Branches) => runAll(operations, at("all"), branches),
    race: async (branches: Branches) => runRace(operations, at("race"), branches),
    scope: async (name: string, run: () => unknown) =>
      runScope(operations, at("scope"), checkName(name, "name of a scope"), run),
    async sleep(first: unknown, second?: unknown) {
      const scope = at("sleep");
      const [name, duration] = second === undefined ? ["sleep", first] : [first, second];
      const causes = scope.causes();
      const until = wakeTime(duration);
      scope.take(
        await operations.sleep({ scope: scope.path, name: checkName(name, "name of a sleep"), causes, until }),
        causes,
      );
    },
  };
  return {
    step: unawaited(methods.step),
    map: unawaited(methods.map),
    all: unawaited(methods.all) as Context["all"],
    race: unawaited(methods.race) as Context["race"],
    scope: unawaited(methods.scope) as Context["scope"],
    sleep: unawaited(methods.sleep),
    now: () => operations.now(),
    random: () => operations.random(at("random").path),
    uuid: () => operations.uuid(at("uuid").path),
    emit(stream, value) {
      at("emit");
      operations.emit(stream, value);
    },
    set: (tags) => operations.set(at("set").causes(), tags),
    patched: (name) => operations.patched(at("patched").causes(), name),
    log: labelled(info.log, {}, () => operations.live()),
    runId: info.runId,
    workflow: info.workflow,
    input: info.input,
    context: info.context,
    abort: info.abort,
  };
}

/** A failure that nobody awaits is on record; it must not end the process as an unhandled rejection. */
function unawaited<A extends unknown[], R>(method: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
  return (...args) => {
    const promise = method(...args);
    promise.catch(() => {});
    return promise;
  };
}

/** The scope that a body starts in: all it knows is that its run was created, or restored from a checkpoint. */
export function rootScope({ root, seq }: Segment): Scope {
  return new Scope(root, [seq]);
}

function stepArguments(
  method: string,
  name: unknown,
  second: unknown,
  third: unknown,
): [MapOptions<unknown>, StepFunction<unknown, unknown>] {
  const [options, run] = third === undefined && typeof second === "function" ? [{}, second] : [second, third];
  if (typeof run === "function" && typeof options === "object" && options !== null) {
    return [options, run as StepFunction<unknown, unknown>];
  }
  throw new StemmaError(
    "step.invalid",
    `Expected ctx.${method}(name, …, options?, function) for ${JSON.stringify(name)}, got ${kind(options)} as options and ${kind(run)} as function.`,
  );
}

function kind(value: unknown): string {
  return value === null ? "null" : typeof value;
}

function wakeTime(duration: unknown): (now: number) => number {
  if (!(duration instanceof Date)) {
    const ms = milliseconds(duration as Duration, "duration of a sleep");
    return (now) => now + ms;
  }
  const until = duration.getTime();
  if (Number.isFinite(until)) return () => until;
  throw new StemmaError("duration.invalid", "Expected a valid Date to sleep until, got an invalid one.");
}

async function runScope<T>(operations: Operations, parent: Scope, name: string, run: () => T | Promise<T>): Promise<T> {
  const before = parent.causes();
  const scope = new Scope(operations.open(parent.path, name), before);
  try {
    return await inScope(operations, scope, run);
  } finally {
    closeInto(operations, parent, before, scope.path, "scope", [scope]);
  }
}
