/** What became of the tasks of a durable run, from its history: the graph is walked again with what is on record. */
import type { Event, RunId, StepRef } from "../../core/event.ts";
import { parseKey, pathOf } from "../../core/identity.ts";
import type { Json } from "../../core/json.ts";
import type { Misfit, Operations, Outcome, StepAsk } from "../../engine/body.ts";
import { StepError } from "../../engine/failure.ts";
import type { Stemma } from "../../engine/stemma.ts";
import { digestOf, fromValue, toValue } from "../../engine/value.ts";
import type { DurableRunOptions } from "./durable-run.ts";
import { DurableRun } from "./durable-run.ts";
import { message } from "./messages.ts";
import { graphMisfit, misfitError } from "./misfit.ts";
import type { TaskResult } from "./step.ts";

const { setImmediate } = globalThis;

/** Payloads that are asked for at a time. */
const portion = 100;

/** Outcomes that are taken in in one turn of the event loop. */
const sliceMax = 50;

export type Recorded = { results: Map<string, TaskResult>; context: Json | undefined };

type Asked = { ask: StepAsk; take: (outcome: Outcome) => void };

/**
 * Results in the order in which the tasks ended; a task that has no end on record was cancelled.
 *
 * @param fit whether the graph is the one that the run was recorded with: nobody has recalled one that had ended
 * @throws run.divergence
 */
export async function recordedResults<C>(
  stemma: Stemma,
  id: RunId,
  options: DurableRunOptions<C>,
  context: Json | undefined,
  fit: "is known" | "is to be checked",
): Promise<Recorded> {
  const events = await stemma.history(id);
  const outcomes = await outcomesOf(stemma, events);
  const asked = new Map<string, Asked>();
  const operations: Pick<Operations, "stepTo" | "again" | "open" | "turn"> = {
    again: () => false,
    stepTo: (ask, take) => void asked.set(pathOf(ask.scope, ask.name), { ask, take }),
    open: pathOf,
    turn,
  };
  const walk = new DurableRun({ ...options, concurrency: Number.POSITIVE_INFINITY }, operations as Operations, {
    segment: { root: "", seq: 0 },
    input: context,
  });
  // How it ends is on record; here only what it knows of its tasks is of interest.
  walk.go().catch(() => {});
  for (const [i, { key, outcome }] of outcomes.entries()) {
    // It may be among many that are asked for a slice at a time.
    while (walk.isGoingOn && !asked.has(key)) await turn();
    asked.get(key)?.take(outcome);
    if (i % sliceMax === sliceMax - 1) await turn();
  }
  while (walk.isGoingOn) await turn();
  if (fit === "is to be checked") await expectFit(stemma, id, options, events, asked);
  const results = new Map<string, TaskResult>();
  for (const [name, result] of walk.results()) results.set(name, result);
  for (const name of walk.unended()) results.set(name, { status: "cancelled", message: message("WORKFLOW_CANCELLED") });
  return { results, context: walk.context };
}

/** Nothing more is carried out in a run that has ended, so its graph must come to just what is on record. */
async function expectFit<C>(
  stemma: Stemma,
  id: RunId,
  options: DurableRunOptions<C>,
  events: readonly Event[],
  asked: ReadonlyMap<string, Asked>,
): Promise<void> {
  const firsts = new Map<string, StepRef>();
  for (const { data } of events) if ("key" in data && !firsts.has(data.key)) firsts.set(data.key, data);
  const isOther = (key: string): boolean => {
    const { ask } = asked.get(key) ?? {};
    return ask?.input === undefined || digestOf(toValue(ask.input.value, key)) !== firsts.get(key)?.input;
  };
  const isDone = events.at(-1)?.type === "run.succeeded";
  const unasked = [...firsts].filter(([key]) => parseKey(key).scope === "" && isOther(key));
  const added = [...asked.keys()].filter((key) => !firsts.has(key) && isDone && parseKey(key).scope === "");
  if (unasked.length + added.length === 0) return;
  const found: Misfit[] = [];
  for (const [name, { given }] of unasked) {
    const texts = given !== undefined && "digest" in given ? await stemma.store.payloads([given.digest]) : new Map();
    found.push({ scope: "", name, input: given === undefined ? undefined : fromValue(given, texts) });
  }
  const held = [...asked].flatMap(([key, { ask }]) =>
    isOther(key) ? [{ scope: ask.scope, name: ask.name, input: ask.input?.value }] : [],
  );
  throw misfitError(id, graphMisfit(options, found, held, added));
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

async function outcomesOf(stemma: Stemma, events: readonly Event[]): Promise<{ key: string; outcome: Outcome }[]> {
  const texts = new Map<string, string>();
  const digests = events.flatMap((event) =>
    (event.type === "step.succeeded" || event.type === "step.reused" || event.type === "step.overridden") &&
    "digest" in event.data.output
      ? [event.data.output.digest]
      : [],
  );
  for (let from = 0; from < digests.length; from += portion) {
    const found = await stemma.store.payloads(digests.slice(from, from + portion));
    for (const [digest, text] of found) texts.set(digest, text);
  }
  return events.flatMap((event): { key: string; outcome: Outcome }[] => {
    const { type, seq } = event;
    if (type === "step.succeeded" || type === "step.reused" || type === "step.overridden") {
      const value = fromValue(event.data.output, texts);
      return [{ key: event.data.key, outcome: { seq, ok: true, value } }];
    }
    if (type !== "step.failed") return [];
    const error = new StepError(event.data.error, event.data.key);
    return [{ key: event.data.key, outcome: { seq, ok: false, error } }];
  });
}
