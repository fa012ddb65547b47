/** `ctx`: what a workflow function does its work with. */
import type { Duration } from "../../core/duration.ts";
import { milliseconds } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import { checkName } from "../../core/name.ts";
import type { Log, Operations, RunInfo, Segment, Workflow } from "../../engine/body.ts";
import { notQuiescent } from "../../engine/checkpoints.ts";
import type { FunctionName } from "../../engine/node-function.ts";
import { nodeFunction } from "../../engine/node-function.ts";
import { checkWorkflow } from "../../engine/options.ts";
import { labelled } from "../../engine/log.ts";
import { inScope, scopeAtHand } from "./frame.ts";
import type { Branches, MapOptions, Raced, Settled } from "./parallel.ts";
import { runAll, runMap, runRace } from "./parallel.ts";
import { Scope, closeInto } from "./scope.ts";
import type { Recorded, StepFunction, StepOptions } from "./step.ts";
import type { CallOptions, SignalOptions, WaitOptions } from "./wait.ts";
import { callAsk, waitAsk } from "./wait.ts";
import { stepAsk } from "./step.ts";

/**
 * The context of a running workflow. Everything awaited from it is on record before the code goes on, and is given back
 * from the record, not run again, when the run continues after a crash.
 *
 * `S` is the state that the workflow gives to its checkpoints: say it where `ctx` is declared, and `ctx.restored` and
 * `ctx.checkpoint` have its type.
 */
export type Context<S = unknown> = {
  /**
   * Runs a function once and records its outcome.
   *
   * @throws StepError with what the function threw; json.not_serializable, payload.too_large; step.nested inside a step
   * @example const total = await ctx.step("total", { input: cart }, (cart, step) => price(cart, step.idempotencyKey));
   */
  step<O>(name: string, run: StepFunction<undefined, O>): Promise<Recorded<Awaited<O>>>;
  step<I, O>(
    name: string,
    options: StepOptions<I, Recorded<Awaited<O>>>,
    run: StepFunction<I, O>,
  ): Promise<Recorded<Awaited<O>>>;
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
  /**
   * Opens a question and waits for its answer: `stemma.resume(run, key, value)` gives it, `stemma.fail` makes it an error.
   * A run that only waits holds no process, for weeks if need be. Any number may be open at once.
   *
   * @throws StepError with what the run was failed with; wait.expired
   * @example const { approve } = await ctx.wait("approval", { input: report, schema, prompt: "Publish?", expires: "7d" });
   */
  wait<O = unknown>(name: string, options?: WaitOptions<O>): Promise<Recorded<O>>;
  /**
   * The next signal of this name, sent with `stemma.signal(run, name, payload)`. Those that come early are kept; of one
   * name they are taken in the order in which they came.
   *
   * @throws wait.expired
   * @example const { amount } = await ctx.signal("payment", { schema: z.object({ amount: z.number() }) });
   */
  signal<O = unknown>(name: string, options?: SignalOptions<O>): Promise<Recorded<O>>;
  /**
   * Starts a run of another workflow, once, and waits for its output; each call is a run of its own. It is cancelled
   * and paused with this run.
   *
   * @throws StepError with what the called run failed with; workflow.invalid_input
   * @example const score = await ctx.call(scoring, { customer });
   */
  call<I, O>(workflow: Workflow<I, O>, input: I, options?: CallOptions): Promise<O>;
  /**
   * Calls a function of a remote node (`stemma/agents`) by its name, once, and waits for its output. Like any called run it
   * is there from the commit that says so, waits where its node is away, and is reused in a restart or fork. It is carried
   * out by a server (`stemma/server`) on the same store, with which the node is registered.
   *
   * @throws StepError with what the function threw; usage.invalid for what is no `node.function`
   * @example const text = await ctx.call<string>("writer.summarise", { pages });
   */
  call<O = unknown>(target: FunctionName, input?: unknown, options?: CallOptions): Promise<O>;
  /**
   * Continue from here with this state, not from the start. The code goes on when the state is on stable storage; later
   * activations load what follows the last checkpoint and nothing before it, and steps are counted anew. Only what
   * changed is stored: of a list that grew, what was appended; of an object, the entries that changed. At most 32 MB of
   * JSON. The history keeps everything.
   *
   * Only in the workflow's own scope, with nothing open: no step, wait, call, scope or branch. Steps before it are not
   * compensated if the run fails behind it.
   *
   * With `carryWaits` (default false), waits and signals of the workflow's own scope may be open. Ask for them again behind
   * it (and behind `ctx.restored`) with the same name and input, before anything else: that is the same wait, with its key,
   * its expiry, and its answer if that came in between. One that is not asked again is withdrawn. The promise of before
   * never settles.
   *
   * @throws checkpoint.not_quiescent with what is open; json.not_serializable, json.too_deep, payload.too_large;
   * step.nested inside a step
   * @example
   * const crawl = workflow({ name: "crawl" }, async (ctx: Context<{ page: number; found: string[] }>) => {
   *   let state = ctx.restored ?? { page: 0, found: [] };
   *   while (state.page < 100) {
   *     state = await ctx.step("page", () => readPage(state));
   *     await ctx.checkpoint(state);
   *   }
   *   return state.found;
   * });
   */
  checkpoint(state: S, options?: { carryWaits?: boolean }): Promise<void>;
  /**
   * The state of the last checkpoint, decoded from what is stored, where this activation began; `undefined` where it
   * began at the start of the run. It does not change while the code goes on.
   */
  readonly restored: Recorded<S> | undefined;
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

/** What is asked for and awaited. */
// oxlint-disable-next-line typescript/explicit-function-return-type -- each is typed by Context, where it is given out
function methodsOf(operations: Operations, root: Scope) {
  const at = (method: string): Scope => scopeAtHand(operations, method);
  return {
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
    async all(branches: Branches) {
      const scope = at("all");
      return scope.whileOpen(Object.keys(branches).join(", "), () => runAll(operations, scope, branches));
    },
    async race(branches: Branches) {
      const scope = at("race");
      return scope.whileOpen(Object.keys(branches).join(", "), () => runRace(operations, scope, branches));
    },
    async scope(name: string, run: () => unknown) {
      const scope = at("scope");
      checkName(name, "name of a scope");
      return scope.whileOpen(name, () => runScope(operations, scope, name, run));
    },
    async checkpoint(state: unknown, options: { carryWaits?: boolean } = {}) {
      const scope = at("checkpoint");
      expectRoot(root, scope);
      root.moveTo(await operations.checkpoint(root.causes(), state, options));
    },
    async wait(name: string, options: WaitOptions<unknown> = {}) {
      const scope = at("wait");
      const ask = waitAsk(scope, name, options);
      return scope.take(await operations.wait(ask), ask.causes) as never;
    },
    async signal(name: string, options: SignalOptions<unknown> = {}) {
      const scope = at("signal");
      const ask = waitAsk(scope, name, options, true);
      return scope.take(await operations.wait(ask), ask.causes) as never;
    },
    async call(target: Workflow | FunctionName, input: unknown, options: CallOptions = {}) {
      const scope = at("call");
      const called = typeof target === "string" ? nodeFunction(target) : target;
      checkWorkflow(called);
      const ask = callAsk(scope, called, input, options);
      return scope.take(await operations.call(ask), ask.causes) as never;
    },
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
}

/** Makes the context of one activation. */
export function contextOf(operations: Operations, info: RunInfo, root: Scope): Context {
  const at = (method: string): Scope => scopeAtHand(operations, method);
  const methods = methodsOf(operations, root);
  return {
    step: unawaited(methods.step),
    map: unawaited(methods.map),
    all: unawaited(methods.all) as Context["all"],
    race: unawaited(methods.race) as Context["race"],
    scope: unawaited(methods.scope) as Context["scope"],
    sleep: unawaited(methods.sleep),
    wait: unawaited(methods.wait),
    signal: unawaited(methods.signal),
    call: unawaited(methods.call),
    checkpoint: unawaited(methods.checkpoint),
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
    ...toldOf(info),
  };
}

/** What a run is told of itself. */
function toldOf(info: RunInfo): Pick<Context, "restored" | "runId" | "workflow" | "input" | "context" | "abort"> {
  const { restored, runId, workflow, input, context, abort } = info;
  return { restored, runId, workflow, input, context, abort };
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

/** Throws checkpoint.not_quiescent elsewhere than in the workflow's own scope, and where a scope or branch is open. */
function expectRoot(root: Scope, scope: Scope): void {
  if (scope !== root) {
    const why = "A checkpoint closes a segment of the whole run. Use it outside of ctx.scope, ctx.all and ctx.race";
    throw notQuiescent(why, [scope.path]);
  }
  const opened = root.opened();
  if (opened.length > 0) {
    throw notQuiescent("A checkpoint needs all scopes and branches to be closed. Await them before", opened);
  }
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
