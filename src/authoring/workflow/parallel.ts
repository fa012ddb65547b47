/**
 * Work side by side. Items and branches take their causes from the call, never from a sibling that merely made room;
 * closing writes one event that stands for all ends, so later steps name one cause and not a thousand.
 */
import { StemmaError } from "../../core/error.ts";
import type { Seq } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import { checkName } from "../../core/name.ts";
import type { Operations, Outcome } from "../../engine/body.ts";
import { inScope } from "./frame.ts";
import { Scope, closeInto } from "./scope.ts";
import type { Recorded, StepFunction, StepOptions } from "./step.ts";
import { stepAsk } from "./step.ts";

export type MapOptions<I> = Omit<StepOptions<I>, "input"> & {
  /** How many items run at a time. Default: no limit. */
  concurrency?: number;
  /** Names the step of an item: it is then `name/key` in the trace. Default: `name`, `name#2`, `name#3` … */
  key?: (item: I, index: number) => string;
};

export type Branches = Record<string, () => unknown>;
export type Settled<B extends Branches> = { [K in keyof B]: Awaited<ReturnType<B[K]>> };
/** Which branch won, and what it returned: switch on `key`, and `value` is narrowed. */
export type Raced<B extends Branches> = { [K in keyof B]: { key: K; value: Awaited<ReturnType<B[K]>> } }[keyof B];

/** `ctx.map`. */
export async function runMap<I, O>(
  operations: Operations,
  scope: Scope,
  name: string,
  items: unknown,
  options: MapOptions<I>,
  run: StepFunction<I, O>,
): Promise<Recorded<Awaited<O>>[]> {
  checkName(name, "name of a map");
  const list = checkItems(name, items) as readonly I[];
  const limit = checkConcurrency(name, options.concurrency);
  const causes = scope.causes();
  const path = operations.open(scope.path, name);
  const place = { path: options.key === undefined ? scope.path : path, causes: () => causes };
  const group = { key: {}, limit };
  const { concurrency: _, key: keyOf, ...step } = options;
  const outcomes = await operations.steps(list.length, (index) => {
    const item = list[index] as I;
    const label = keyOf === undefined ? name : checkName(keyOf(item, index), `key of an item of ${name}`);
    const stepOptions = { ...step, input: item } as StepOptions<unknown>;
    const ask = stepAsk(operations, place, label, stepOptions, run as StepFunction<unknown, unknown>);
    if (limit !== Infinity) ask.group = group;
    // Nobody sees what comes of an item before all are there.
    ask.together = { key: group, at: index, of: list.length };
    return ask;
  });
  if (outcomes.length > 0) closeInto(operations, scope, causes, path, "map", [endsOf(outcomes)]);
  throwFailures(name, outcomes);
  return outcomes.map((outcome) => outcome.value as Recorded<Awaited<O>>);
}

function endsOf(outcomes: readonly Outcome[]): { causes(): readonly Seq[] } {
  return { causes: () => outcomes.map((outcome) => outcome.seq) };
}

function throwFailures(name: string, outcomes: readonly Outcome[]): void {
  const errors = outcomes.flatMap((outcome) => (outcome.ok ? [] : [outcome.error]));
  const [first] = errors;
  if (first === undefined) return;
  if (errors.length === 1) throw first;
  throw new StemmaError(
    "step.failed",
    `${errors.length} of ${outcomes.length} items of ${name} failed; the first: ${first.message}`,
    {
      data: { failed: errors.length, items: outcomes.length },
      cause: new AggregateError(errors, first.message),
    },
  );
}

function checkItems(name: string, items: unknown): readonly unknown[] {
  if (!Array.isArray(items)) {
    throw new StemmaError(
      "step.invalid",
      `Expected an array of items for ctx.map ${JSON.stringify(name)}, got ${typeof items}.`,
    );
  }
  if (items.length > limits.mapItemsMax) {
    throw new StemmaError(
      "limit.exceeded",
      `Expected at most ${limits.mapItemsMax} items for ctx.map ${JSON.stringify(name)}, got ${items.length}. Split the work into several runs.`,
    );
  }
  // They are asked for over several turns; what the caller does to its array meanwhile is not heard.
  return [...items];
}

function checkConcurrency(name: string, concurrency: number | undefined): number {
  if (concurrency === undefined || concurrency === Infinity) return Infinity;
  if (Number.isInteger(concurrency) && concurrency >= 1) return concurrency;
  throw new StemmaError(
    "step.invalid",
    `Expected concurrency of ctx.map ${JSON.stringify(name)} to be an integer from 1, got ${concurrency}.`,
  );
}

/** One branch with the scope it runs in. */
type Branch = { key: string; scope: Scope; done: Promise<unknown> };

function startBranches(operations: Operations, parent: Scope, before: readonly Seq[], branches: Branches): Branch[] {
  const entries = Object.entries(branches);
  // Every branch is checked before the first is started, so a bad one leaves nothing half done.
  for (const [key, run] of entries) {
    checkName(key, "name of a branch");
    if (typeof run !== "function") {
      throw new StemmaError(
        "step.invalid",
        `Expected branch ${JSON.stringify(key)} to be a function, got ${typeof run}.`,
      );
    }
  }
  return entries.map(([key, run]) => {
    const scope = new Scope(operations.open(parent.path, key), before);
    const done = inScope(operations, scope, async () => run());
    // A branch that fails after the others decided the outcome is on record; it must not end the process.
    done.catch(() => {});
    return { key, scope, done };
  });
}

/** Branches close under the path of the first: names that authors choose tell two calls apart, their order does not. */
function close(
  operations: Operations,
  parent: Scope,
  before: readonly Seq[],
  kind: "all" | "race",
  started: readonly Branch[],
  ends: readonly Branch[],
): void {
  const [first] = started;
  if (first === undefined) return;
  closeInto(
    operations,
    parent,
    before,
    first.scope.path,
    kind,
    ends.map((branch) => branch.scope),
  );
}

/** `ctx.all`. */
export async function runAll<B extends Branches>(
  operations: Operations,
  parent: Scope,
  branches: B,
): Promise<Settled<B>> {
  const before = parent.causes();
  const started = startBranches(operations, parent, before, branches);
  try {
    const values = await Promise.all(started.map((branch) => branch.done));
    return Object.fromEntries(started.map((branch, i) => [branch.key, values[i]])) as Settled<B>;
  } finally {
    close(operations, parent, before, "all", started, started);
  }
}

/** `ctx.race`. */
export async function runRace<B extends Branches>(
  operations: Operations,
  parent: Scope,
  branches: B,
): Promise<Raced<B>> {
  const before = parent.causes();
  const started = startBranches(operations, parent, before, branches);
  if (started.length === 0)
    throw new StemmaError("step.invalid", "Expected ctx.race to have at least one branch, got none.");
  let winner: Branch | undefined;
  const first = (branch: Branch): void => {
    winner ??= branch;
  };
  try {
    return await Promise.race(
      started.map(async (branch) => {
        try {
          return { key: branch.key, value: await branch.done } as Raced<B>;
        } finally {
          first(branch);
        }
      }),
    );
  } finally {
    for (const branch of started) if (branch !== winner) operations.withdraw(branch.scope.path);
    if (winner !== undefined) close(operations, parent, before, "race", started, [winner]);
  }
}
