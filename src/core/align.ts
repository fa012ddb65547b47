/**
 * Which step of one run is which of another. What was inserted or removed does not shift the rest, because steps are
 * known by what they are (name, input, place among equal ones) and not by when they ran; a step that stands elsewhere
 * is the same step, moved. It costs n log n.
 */
import { pathOf, scopeWithoutIndices } from "./identity.ts";
import { longestAscending } from "./longest-ascending.ts";
import type { RecordedStep, RecordedSteps } from "./recorded-step.ts";

/** Of each step of `a` its counterpart in `b`. */
export type Pairs = ReadonlyMap<RecordedStep, RecordedStep>;

/**
 * Pairs the steps of two runs: first those of one identity; then those with one input, whatever iteration they stand in;
 * then, among what is left of one name, those that lie between the same neighbours: they had another input.
 */
export function alignSteps(a: RecordedSteps, b: RecordedSteps): Pairs {
  const pairs = new Map<RecordedStep, RecordedStep>();
  const paired = new Set<RecordedStep>();
  const pair = (one: RecordedStep, other: RecordedStep): void => {
    pairs.set(one, other);
    paired.add(other);
  };
  const left = (): [RecordedStep[], RecordedStep[]] => [
    a.list.filter((step) => !pairs.has(step)),
    b.list.filter((step) => !paired.has(step)),
  ];
  pairEqual(a.list, b.list, ({ identity }) => identity, pair);
  const [leftA, leftB] = left();
  const declared = (step: RecordedStep): string | undefined =>
    step.input === null ? undefined : `${groupOf(step)} ${step.input}`;
  pairEqual(leftA, leftB, declared, pair);
  pairNeighbours(a.list, left(), pairs, pair);
  return pairs;
}

/** What is of one name, whatever iteration it stands in. */
export function groupOf({ scope, name }: RecordedStep): string {
  return pathOf(scopeWithoutIndices(scope), name);
}

/** Pairs steps of one text, first with first, second with second. */
function pairEqual(
  a: readonly RecordedStep[],
  b: readonly RecordedStep[],
  textOf: (step: RecordedStep) => string | undefined,
  pair: (one: RecordedStep, other: RecordedStep) => void,
): void {
  const waiting = grouped(b, textOf);
  const taken = new Map<string, number>();
  for (const step of a) {
    const text = textOf(step);
    if (text === undefined) continue;
    const at = taken.get(text) ?? 0;
    const other = waiting.get(text)?.[at];
    if (other === undefined) continue;
    taken.set(text, at + 1);
    pair(step, other);
  }
}

function grouped(
  steps: readonly RecordedStep[],
  textOf: (step: RecordedStep) => string | undefined,
): Map<string, RecordedStep[]> {
  const groups = new Map<string, RecordedStep[]>();
  for (const step of steps) {
    const text = textOf(step);
    if (text === undefined) continue;
    const group = groups.get(text);
    if (group === undefined) groups.set(text, [step]);
    else group.push(step);
  }
  return groups;
}

function pairNeighbours(
  all: readonly RecordedStep[],
  [leftA, leftB]: readonly [readonly RecordedStep[], readonly RecordedStep[]],
  pairs: Pairs,
  pair: (one: RecordedStep, other: RecordedStep) => void,
): void {
  const [groupsA, groupsB] = [grouped(leftA, groupOf), grouped(leftB, groupOf)];
  const settled = grouped(all, (step) => (pairs.has(step) && groupsA.has(groupOf(step)) ? groupOf(step) : undefined));
  for (const [text, ownA] of groupsA) {
    const ownB = groupsB.get(text);
    if (ownB === undefined) continue;
    const fixed = fixedPairs(settled.get(text) ?? [], pairs);
    const [gapsA, gapsB] = [
      intoGaps(
        ownA,
        fixed.map(([one]) => one),
      ),
      intoGaps(
        ownB,
        fixed.map(([, other]) => other),
      ),
    ];
    for (const [gap, inA] of gapsA) {
      for (const [i, other] of (gapsB.get(gap) ?? []).entries()) {
        const one = inA[i];
        if (one !== undefined) pair(one, other);
      }
    }
  }
}

/** The pairs of a group that stand in one order in both runs: what lies between two of them lies there in both. */
function fixedPairs(steps: readonly RecordedStep[], pairs: Pairs): [RecordedStep, RecordedStep][] {
  const found = steps.toSorted(byPlace).flatMap((one): [RecordedStep, RecordedStep][] => {
    const other = pairs.get(one);
    return other === undefined ? [] : [[one, other]];
  });
  return longestAscending(found, ([, x], [, y]) => byPlace(x, y)).map((i) => found[i] as [RecordedStep, RecordedStep]);
}

/** Steps by how many of the fixed ones stand before them; both in the order of their places. */
function intoGaps(steps: readonly RecordedStep[], fixed: readonly RecordedStep[]): Map<number, RecordedStep[]> {
  const gaps = new Map<number, RecordedStep[]>();
  let before = 0;
  for (const step of steps.toSorted(byPlace)) {
    for (let next = fixed[before]; next !== undefined && byPlace(next, step) < 0; next = fixed[before]) before += 1;
    const gap = gaps.get(before);
    if (gap === undefined) gaps.set(before, [step]);
    else gap.push(step);
  }
  return gaps;
}

/** In the order in which a body asks: by iteration, then by the number in the key. When it ended does not matter. */
function byPlace(one: RecordedStep, other: RecordedStep): number {
  if (one.scope !== other.scope) {
    const [x, y] = [iterations(one.scope), iterations(other.scope)];
    for (let i = 0; i < Math.max(x.length, y.length); i += 1) {
      const order = (x[i] ?? 0) - (y[i] ?? 0);
      if (order !== 0) return order;
    }
  }
  return one.k - other.k;
}

/** `items/3/try#2` → `[0, 3, 2]`, the numbers in a scope path. */
function iterations(scope: string): number[] {
  return scope.split("/").map((part) => Number(/(?:^|#)(\d+)$/.exec(part)?.[1] ?? 0));
}
