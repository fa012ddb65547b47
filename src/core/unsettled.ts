/**
 * What in a new run may come sooner than it did in its source. A step that is not as it was (it runs, it is overridden)
 * may end at another time; whatever was asked later in the same place, or in a scope that was opened later there, may be
 * given that before it asks, although it was not in the source. Causes alone do not tell: they say what was, not what
 * may be.
 */
import type { Seq } from "./event.ts";
import type { RecordedStep } from "./recorded-step.ts";

export type Unsettled = {
  /** By scope path: when the first step in it, or below it, is asked that is not as it was. */
  readonly asked: ReadonlyMap<string, Seq>;
  /** By scope path: when the first step of all in it is asked, and so, when it was open at the latest. */
  readonly opened: ReadonlyMap<string, Seq>;
};

/**
 * A step that may be given something else is not as it was either, so what is asked behind it may be given that sooner, too.
 * Only what is asked earlier counts, so one pass in the order of asking finds them all.
 *
 * @param changed the steps that are not as they were
 */
export function unsettledBy(all: readonly RecordedStep[], changed: Iterable<RecordedStep>): Unsettled {
  const known = new Set(changed);
  const asked = new Map<string, Seq>();
  const unsettled = { asked, opened: earliest(all) };
  for (const step of all.toSorted((one, other) => one.after - other.after)) {
    if (known.has(step) || isUnsettled(step, unsettled)) note(asked, step);
  }
  return unsettled;
}

function earliest(steps: Iterable<RecordedStep>): ReadonlyMap<string, Seq> {
  const found = new Map<string, Seq>();
  for (const step of steps) note(found, step);
  return found;
}

function note(found: Map<string, Seq>, { scope, after }: RecordedStep): void {
  for (const path of pathsAbove(scope)) found.set(path, Math.min(found.get(path) ?? after, after));
}

/**
 * Whether a step may be given something before it asks that it was not given. One that declares its input knows what was
 * delivered in its own scope, and in each scope around it before the next one was opened; one that does not is known
 * again by everything.
 */
export function isUnsettled(step: RecordedStep, { asked, opened }: Unsettled): boolean {
  const isBefore = (path: string, at: Seq): boolean => (asked.get(path) ?? Infinity) < at;
  if (step.input === null) return isBefore("", step.after);
  let inner: string | undefined;
  for (const path of pathsAbove(step.scope)) {
    const at = inner === undefined ? step.after : (opened.get(inner) ?? step.after);
    if (isBefore(path, at)) return true;
    inner = path;
  }
  return false;
}

/** A scope path and those around it, down to the root: `a/b`, `a`, and the empty path. */
function* pathsAbove(scope: string): Generator<string> {
  let path = scope;
  while (path !== "") {
    yield path;
    const slash = path.lastIndexOf("/");
    path = slash < 0 ? "" : path.slice(0, slash);
  }
  yield "";
}
