/**
 * One superstep: all that was sent before is delivered; executors work beside each other, each on one message at a time;
 * and when all are done what they did is put together, in the order of the deliveries. If one fails, those at work are
 * awaited, nothing they said counts, and what they did is told apart, so that a run that continues does not do it again.
 */
import { StemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import { toRecord } from "../../engine/failure.ts";
import { duplicateRequest } from "./context.ts";
import type { Delivery, Drop, Plan, Running } from "./deliver.ts";
import { sourcesOf } from "./edges.ts";
import type { Call } from "./invoke.ts";
import type { Effects, GraphState, Message, SettledInvocation, Write } from "./message.ts";
import { route } from "./routes.ts";
import { applyWrites } from "./shared-state.ts";
import { wayOf } from "./way.ts";

/** What became of an invocation. */
export type Invoked = (
  | { readonly effects: Effects }
  /** `stopped`: nothing failed, the run is not wanted any more; so no way for failures leads on. */
  | {
      readonly error: Error;
      readonly stopped?: boolean;
      /** How far a graph inside came. */
      readonly unfinished?: Json;
    }
) & {
  /** Place of the event that says so, `<run>:<seq>`. */
  readonly place: string;
};

/** Whoever carries out invocations: in memory, or as steps of a durable run. */
export type Host = {
  /** In front of ids of requests. */
  readonly prefix: string;
  /** @param snapshot the executor's own state before, where it is known */
  invoke(call: Call, snapshot: Json | undefined): Promise<Invoked>;
  /** Told of an invocation that was done before its superstep failed. Gives the place that what it sent comes from. */
  reused(delivery: Delivery, done: SettledInvocation): string;
  dropped(drop: Drop): void;
};

/** A superstep that cannot be finished: why, and what of it was done. */
export class SuperstepFailure extends Error {
  readonly error: Error;
  readonly settled: Readonly<Record<string, SettledInvocation>>;
  readonly unfinished: Readonly<Record<string, Json>>;

  constructor(
    error: Error,
    settled: Readonly<Record<string, SettledInvocation>>,
    unfinished: Readonly<Record<string, Json>> = {},
  ) {
    super(error.message, { cause: error });
    this.error = error;
    this.settled = settled;
    this.unfinished = unfinished;
  }
}

type Settled = { delivery: Delivery; effects: Effects; place: string; failure?: Message };

/** Throws SuperstepFailure. */
export async function superstep(running: Running, state: GraphState, found: Plan, host: Host): Promise<GraphState> {
  for (const drop of found.drops) host.dropped(drop);
  if (found.problem !== undefined) throw new SuperstepFailure(found.problem, state.settled ?? {}, state.unfinished);
  const settled: Settled[] = [];
  const failures: Error[] = [];
  const unfinished: Record<string, Json> = { ...state.unfinished };
  const work = [...Map.groupBy(found.deliveries, ({ executor }) => executor)].map(async ([executor, deliveries]) => {
    let own: Json | undefined = Object.hasOwn(state.executors, executor) ? state.executors[executor] : undefined;
    const writes: Write[] = [];
    for (const delivery of deliveries) {
      if (failures.length > 0) return;
      const done = await one(running, state, { delivery, own, writes }, host);
      if ("error" in done) {
        failures.push(done.error);
        if (done.unfinished !== undefined) unfinished[delivery.index] = done.unfinished;
        return;
      }
      delete unfinished[delivery.index];
      settled.push(done);
      own = done.effects.snapshot ?? own;
      writes.push(...done.effects.writes);
    }
  });
  await Promise.all(work);
  settled.sort((a, b) => a.delivery.index - b.delivery.index);
  const [failure] = failures;
  try {
    if (failure === undefined) return commit(running, state, found, settled);
  } catch (error) {
    throw new SuperstepFailure(error as Error, recordOf(settled), unfinished);
  }
  throw new SuperstepFailure(failure, recordOf(settled), unfinished);
}

function recordOf(settled: readonly Settled[]): Record<string, SettledInvocation> {
  const kept = settled.filter(({ failure }) => failure === undefined);
  return Object.fromEntries(
    kept.map(({ delivery: { index, executor }, effects, place }) => [index, { executor, effects, place }]),
  );
}

type Turn = { delivery: Delivery; own: Json | undefined; writes: readonly Write[] };

async function one(
  running: Running,
  state: GraphState,
  turn: Turn,
  host: Host,
): Promise<Settled | { error: Error; unfinished?: Json }> {
  const { delivery, own, writes } = turn;
  const { graph } = running;
  const before = state.settled?.[delivery.index];
  if (before !== undefined) return { delivery, ...before, place: host.reused(delivery, before) };
  const shared = applyWrites(state.shared, writes, graph.reducers);
  const { reducers, classes } = graph;
  const { prefix } = host;
  const requestId = (n: number): string =>
    `${prefix}${delivery.executor}-${state.iteration + 1}-${delivery.index}-${n}`;
  const call: Call = { delivery, shared, state, reducers, classes, prefix, requestId };
  const done = await host.invoke(call, state.unfinished?.[delivery.index] ?? own);
  if ("effects" in done) return { delivery, ...done };
  const failure: Message = {
    id: `${state.iteration + 1}.${delivery.index}.failure`,
    source: delivery.executor,
    data: { error: toRecord(done.error), message: delivery.data },
    failed: true,
    causes: [done.place],
    way: wayOf(delivery.way, "failure"),
  };
  if (done.stopped === true || !isRouted(running, failure)) return done;
  return { delivery, effects: { sent: [], yielded: [], requests: [], writes: [] }, place: done.place, failure };
}

/** Whether a way for failures leads on from here: then the failure is a message like any other. */
function isRouted({ graph }: Running, failure: Message): boolean {
  return graph.groups.some(
    (group) =>
      group.kind === "routes" &&
      sourcesOf(group).includes(failure.source) &&
      route(group, failure, () => true).edges.length > 0,
  );
}

/** The state behind a superstep. */
function commit({ graph }: Running, state: GraphState, found: Plan, settled: readonly Settled[]): GraphState {
  const iteration = state.iteration + 1;
  // Ids are whatever people chose, `__proto__` too: in a map each is a key like any other.
  const requests = new Map(Object.entries(state.requests));
  const executors = new Map(Object.entries(state.executors));
  const messages: Message[] = [];
  let { shared } = state;
  for (const { delivery, effects, place, failure } of settled) {
    const { executor, index } = delivery;
    if (failure !== undefined) messages.push(failure);
    effects.sent.forEach((sent, n) => {
      const way = wayOf(delivery.way, n);
      messages.push({ id: `${iteration}.${index}.${n}`, source: executor, ...sent, causes: [place], way });
    });
    for (const request of effects.requests) {
      if (requests.has(request.id)) throw duplicateRequest(request.id);
      requests.set(request.id, { ...request, executor, causes: [place] });
    }
    shared = applyWrites(shared, effects.writes, graph.reducers);
    if (effects.snapshot !== undefined) executors.set(executor, effects.snapshot);
  }
  const { settled: _, unfinished: __, ...kept } = state;
  const { fanIn, joins } = found;
  const ids = { requests: Object.fromEntries(requests), executors: Object.fromEntries(executors) };
  return { ...kept, ...ids, iteration, sinceInput: state.sinceInput + 1, messages, shared, fanIn, joins };
}

/** The state with answers on their way to whoever asked. Throws wait.not_open. */
export function withAnswers(
  state: GraphState,
  answers: readonly { id: string; data: Json; causes: readonly string[] }[],
): GraphState {
  const requests = new Map(Object.entries(state.requests));
  const messages = [...state.messages];
  for (const { id, data, causes } of answers) {
    const request = requests.get(id);
    if (request === undefined) throw notOpen(id, [...requests.keys()]);
    requests.delete(id);
    const { executor } = request;
    messages.push({
      id: `${state.iteration}.answer.${id}`,
      source: `internal:${executor}`,
      target: executor,
      data,
      request,
      causes: [...request.causes, ...causes],
      way: wayOf("answer", id),
    });
  }
  const answered = [...state.answered, ...answers.map(({ id }) => id)];
  return { ...state, requests: Object.fromEntries(requests), messages, answered, sinceInput: 0 };
}

export function notOpen(id: string, open: readonly string[]): StemmaError {
  const known = open.length === 0 ? "none are" : open.join(", ");
  return new StemmaError(
    "wait.not_open",
    `Expected the id of an open request, got ${JSON.stringify(id)}; open: ${known}.`,
    {
      data: { request: id, open },
    },
  );
}

export function notConverged(supersteps: number): StemmaError {
  return new StemmaError("graph.not_converged", `Runner did not converge after ${supersteps} iterations.`, {
    data: { supersteps },
  });
}
