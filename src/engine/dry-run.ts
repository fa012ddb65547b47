/**
 * The plan of a restart or fork with the code at hand: the body runs in this process, is given what it would reuse, and
 * nothing is begun, nothing is written. So it is exact up to the first step of each branch that is not reused; what comes
 * behind that is known by history only.
 */
import { unseal } from "../core/chain.ts";
import type { RunId } from "../core/event.ts";
import type { Plan, PlannedStep } from "../core/plan.ts";
import { totalsOf } from "../core/plan.ts";
import { stepsOf } from "../core/recorded-step.ts";
import type { RecordedStep, RecordedSteps } from "../core/recorded-step.ts";
import { isUnsettled, unsettledBy } from "../core/unsettled.ts";
import type { NewRun, Store } from "../store/store.ts";
import { Activation } from "./activation.ts";
import type { Ask } from "./ask.ts";
import type { Log, Workflow } from "./body.ts";
import { systemClock } from "./clock.ts";
import { Committer } from "./committer.ts";
import type { Delivery } from "./delivery.ts";
import { storeWith } from "./dry-store.ts";
import { load } from "./load.ts";
import { fingerprintOf } from "./fingerprint.ts";

export type DryRun = {
  store: Store;
  workflow: Workflow;
  delivery: Delivery;
  /** How long the body must have been quiet before nothing more is waited for. */
  lingerMs: number;
};

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** @param run the new run, which is not created, @param plan what its history alone says */
export async function planDry(run: NewRun, plan: Plan, { store: real, ...parts }: DryRun): Promise<Plan> {
  const { store, row, events } = storeWith(real, run);
  const begun = new Map<string, Ask>();
  let ended = false;
  const clock = systemClock;
  const committer = new Committer(store, clock, silent);
  const loaded = await load(store, { ...row }, () => clock.now(), clock.turn);
  const activation = new Activation({ ...row }, parts.workflow, loaded, {
    store,
    clock,
    committer,
    delivery: parts.delivery,
    log: silent,
    worker: "dry run",
    fingerprint: fingerprintOf(parts.workflow),
    lingerMs: parts.lingerMs,
    recallGraceMs: parts.lingerMs,
    abortGraceMs: 0,
    poisonAfter: Infinity,
    hold: () => undefined,
    sent() {},
    cancelUnheld: async () => undefined,
    dry: {
      wouldBegin(ask) {
        begun.set(ask.ref.key, ask);
      },
      bodyEnded() {
        ended = true;
      },
    },
  });
  activation.start();
  await activation.over;
  const steps = planned(plan, stepsOf(events.map(unseal)), begun, ended);
  return { grade: "dry run", steps, totals: totalsOf(steps) };
}

function planned(plan: Plan, given: RecordedSteps, begun: ReadonlyMap<string, Ask>, ended: boolean): PlannedStep[] {
  const known = new Map(plan.steps.map((step) => [step.key, step]));
  const missed = [...begun.values()].map(asStep);
  const unsettled = unsettledBy([...given.list, ...missed], missed);
  const { unsure, changed } = unsureOf(given, (step) => isUnsettled(step, unsettled));
  const found = new Map<string, PlannedStep>();
  for (const step of given.list) {
    if (!begun.has(step.key)) found.set(step.key, givenStep(step, known.get(step.key), unsure.has(step)));
  }
  for (const ask of begun.values()) {
    const isUnsure = isUnsettled(asStep(ask), unsettled) || ask.causes.some((cause) => changed[cause] === true);
    found.set(ask.ref.key, begunStep(ask, known.get(ask.ref.key), isUnsure));
  }
  // In the order of the history as far as it goes. What a body that has ended did not ask for is not asked for any more.
  const rows = plan.steps.flatMap((step) => found.get(step.key) ?? (ended ? [] : [step]));
  return [...rows, ...[...found.values()].filter(({ key }) => !known.has(key))];
}

/** Steps that may be given something else than in the dry run, and all that is behind them; by seq, what they make unsure. */
function unsureOf(
  { causes, stepAt, list }: RecordedSteps,
  isUnsure: (step: RecordedStep) => boolean,
): { unsure: ReadonlySet<RecordedStep>; changed: readonly boolean[] } {
  const unsure = new Set<RecordedStep>(list.filter(isUnsure));
  const changed: boolean[] = [];
  for (const [seq, own] of causes.entries()) {
    const step = stepAt[seq];
    const behind = own.some((cause) => changed[cause] === true);
    if (behind && step?.first === seq) unsure.add(step);
    changed[seq] = step === undefined ? behind : unsure.has(step);
  }
  return { unsure, changed };
}

/** @param unsettled whether what runs beside it may come first, so that its key may be another one then */
function givenStep(step: RecordedStep, before: PlannedStep | undefined, unsettled: boolean): PlannedStep {
  const { key, status, ms = 0, cost = 0 } = step;
  const from: { run?: RunId } = before?.run === undefined ? {} : { run: before.run };
  const saves = before?.verdict === "run" || before === undefined ? { ms, cost } : before.saves;
  if (unsettled) return { key, verdict: "depends", reason: "beside something that runs", saves, ...from };
  const reason =
    status === "overridden" ? "output given" : step.ending === "error" ? "a failure that the run survived" : "found";
  return { key, verdict: "reuse", reason, saves, ...from };
}

function begunStep({ ref, why, work }: Ask, before: PlannedStep | undefined, unsettled: boolean): PlannedStep {
  const saves = { ms: 0, cost: 0 };
  const isOnce = work.kind === "step" && work.ask.effect === "once";
  if (isOnce && before !== undefined && before.verdict !== "run") {
    return { key: ref.key, verdict: "decide", reason: `effect once, ${why ?? "in doubt"}`, saves };
  }
  const reason = why ?? "not recorded";
  if (!unsettled) return { key: ref.key, verdict: "run", reason, saves };
  return {
    key: ref.key,
    verdict: "depends",
    reason: `${reason}, beside something that runs`,
    saves: before?.saves ?? saves,
  };
}

function asStep({ ref, identity, after }: Ask): RecordedStep {
  const { scope, name, input, n } = identity;
  return {
    key: ref.key,
    kind: "step",
    scope,
    name,
    input,
    n,
    k: 0,
    first: after + 1,
    after,
    ending: "open",
    status: "running",
  };
}
