/**
 * Which executors get what in a superstep: messages go along the edges in the order in which they were sent, fan-ins and
 * joins keep what has to wait, and nothing vanishes. A message that nobody can take is a problem; one that a predicate
 * turned away is said to be so.
 */
import { StemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import type { GraphDefinition } from "./definition.ts";
import type { AnyPredicate, EdgeGroup } from "./edges.ts";
import { sourcesOf, targetsOf } from "./edges.ts";
import type { Executor } from "./executor.ts";
import { ready } from "./joins.ts";
import type { GraphRequest, GraphState, Message } from "./message.ts";
import { fromPlain } from "./plain.ts";
import type { Reach } from "./reach.ts";
import { route } from "./routes.ts";
import { fit } from "./schema.ts";
import { wayOf } from "./way.ts";

/** One invocation to be made. */
export type Delivery = {
  /** Its place in the superstep. */
  readonly index: number;
  readonly executor: string;
  readonly data: Json;
  readonly sources: readonly string[];
  readonly causes: readonly string[];
  /** What led to it, whatever the messages say. */
  readonly way: string;
  /** How many before it in the superstep have the same way: along two edges, say. */
  readonly nth: number;
  readonly request?: GraphRequest;
};

/** A message that did not go a way, and why. */
export type Drop = {
  readonly message: Message;
  readonly reason: "condition" | "type" | "target" | "no edge" | "empty selection";
  readonly target?: string;
};

export type Plan = {
  readonly deliveries: readonly Delivery[];
  readonly fanIn: GraphState["fanIn"];
  readonly joins: GraphState["joins"];
  readonly drops: readonly Drop[];
  /** Why the superstep cannot be. */
  readonly problem?: StemmaError;
};

/** A graph with the executors of one run. */
export type Running = {
  readonly graph: GraphDefinition;
  readonly executors: ReadonlyMap<string, Executor>;
  readonly reach: Reach;
};

export async function plan(running: Running, state: GraphState): Promise<Plan> {
  const planning = new Planning(running, state);
  for (const message of state.messages) await planning.send(message);
  await planning.letGo();
  return planning.plan();
}

class Planning {
  readonly #running: Running;
  readonly #state: GraphState;
  readonly #deliveries: Delivery[] = [];
  readonly #drops: Drop[] = [];
  /** How many deliveries there are of each way. */
  readonly #ways = new Map<string, number>();
  readonly #fanIn: Map<string, Map<string, Message[]>>;
  readonly #joins: Map<string, Message[]>;
  #problem: StemmaError | undefined;

  constructor(running: Running, state: GraphState) {
    this.#running = running;
    this.#state = state;
    const copied = (buffers: Readonly<Record<string, readonly Message[]>>): Map<string, Message[]> =>
      new Map(Object.entries(buffers).map(([key, messages]) => [key, [...messages]]));
    this.#fanIn = new Map(Object.entries(state.fanIn).map(([id, buffers]) => [id, copied(buffers)]));
    this.#joins = copied(state.joins);
  }

  plan(): Plan {
    const joins = Object.fromEntries([...this.#joins].filter(([, waiting]) => waiting.length > 0));
    const fanIn = Object.fromEntries([...this.#fanIn].map(([id, buffers]) => [id, Object.fromEntries(buffers)]));
    const found = { deliveries: this.#deliveries, fanIn, joins, drops: this.#drops };
    return this.#problem === undefined ? found : { ...found, problem: this.#problem };
  }

  async send(message: Message): Promise<void> {
    const { graph } = this.#running;
    if (message.source.startsWith("internal:")) return this.#deliverDirectly(message);
    const groups = graph.groups.filter(
      (group) => sourcesOf(group).includes(message.source) && (!message.failed || group.kind === "routes"),
    );
    const before = this.#drops.length;
    let taken = false;
    for (const group of groups) {
      if (message.target !== undefined && !targetsOf(group).includes(message.target)) continue;
      if (await this.#along(group, message)) taken = true;
    }
    if (taken) return;
    if (message.failed) {
      // A failure that no way was open for stays one.
      const why = `'${message.source}' failed, and none of its ways for failures is open`;
      this.#problem ??= new StemmaError("graph.dead_end", why, { data: { failure: message.data } });
      return;
    }
    const reasons = this.#drops.slice(before);
    if (reasons.length === 0) {
      this.#drops.push({ message, reason: message.target === undefined ? "no edge" : "target" });
    } else if (reasons.every(({ reason }) => reason === "condition")) {
      return;
    }
    this.#undeliverable(message, this.#drops.at(-1)?.reason ?? "no edge");
  }

  /** Joins that nothing can reach any more are given what waits there, as one list. */
  async letGo(): Promise<void> {
    const { graph, reach } = this.#running;
    const at = [
      ...this.#deliveries.map(({ executor }) => executor),
      ...Object.values(this.#state.requests).map(({ executor }) => executor),
    ];
    const waiting = [...this.#joins].flatMap(([join, messages]) => (messages.length > 0 ? [join] : []));
    for (const join of ready(graph.joins, { at, waiting }, reach)) {
      const messages = this.#joins.get(join) ?? [];
      this.#joins.delete(join);
      await this.#deliverList(join, messages);
    }
  }

  /** Gives whether the message went to somebody, or waits for others on its way. */
  async #along(group: EdgeGroup, message: Message): Promise<boolean> {
    if (group.kind === "fanIn") return this.#buffer(group, message);
    const chosen = await this.#choose(group, message);
    let taken = false;
    for (const target of chosen) {
      if (message.target !== undefined && target !== message.target) continue;
      if (await this.#deliver(target, message)) taken = true;
    }
    if (chosen.length === 0 || (!taken && message.target !== undefined && !chosen.includes(message.target))) {
      const reason = group.kind === "select" ? "empty selection" : "condition";
      this.#drops.push({ message, reason: message.target === undefined ? reason : "target" });
    }
    return taken;
  }

  async #choose(group: Exclude<EdgeGroup, { kind: "fanIn" }>, message: Message): Promise<readonly string[]> {
    const value = (): never => fromPlain(message.data, this.#running.graph.classes) as never;
    switch (group.kind) {
      case "single":
        return group.when === undefined || (await isTrue(group.when, value(), group)) ? [group.target] : [];
      case "fanOut":
        return group.targets;
      case "switch": {
        for (const { when, target } of group.cases) if (await isTrue(when, value(), group)) return [target];
        return [group.otherwise];
      }
      case "select":
        return selected(group, value());
      case "routes": {
        const open = new Set<AnyPredicate>();
        for (const { when } of message.routes === undefined ? group.edges : []) {
          if (when !== undefined && (await isTrue(when, value(), group))) open.add(when);
        }
        const { edges } = route(group, message, ({ when }) => when !== undefined && open.has(when));
        return [...new Set(edges.map(({ target }) => target))];
      }
    }
  }

  async #deliver(target: string, message: Message): Promise<boolean> {
    if (this.#running.graph.joins.includes(target)) {
      this.#joins.set(target, [...(this.#joins.get(target) ?? []), message]);
      return true;
    }
    if (!(await this.#accepts(target, message.data))) {
      this.#drops.push({ message, reason: "type", target });
      return false;
    }
    this.#push(target, message.data, [message]);
    return true;
  }

  async #deliverDirectly(message: Message): Promise<void> {
    const target = message.target ?? message.source.slice("internal:".length);
    if (message.request === undefined && !(await this.#accepts(target, message.data))) {
      this.#drops.push({ message, reason: "type", target });
      this.#undeliverable(message, message.data === null ? "null" : typeof message.data);
      return;
    }
    this.#push(target, message.data, [message], message.request);
  }

  async #buffer(group: EdgeGroup & { kind: "fanIn" }, message: Message): Promise<boolean> {
    const buffers = this.#fanIn.get(group.id) ?? new Map<string, Message[]>();
    this.#fanIn.set(group.id, buffers);
    buffers.set(message.source, [...(buffers.get(message.source) ?? []), message]);
    if (group.sources.some((source) => (buffers.get(source) ?? []).length === 0)) return true;
    this.#fanIn.delete(group.id);
    await this.#deliverList(
      group.target,
      group.sources.flatMap((source) => buffers.get(source) ?? []),
    );
    return true;
  }

  async #deliverList(target: string, messages: readonly Message[]): Promise<void> {
    const [first] = messages;
    if (first === undefined) return;
    const list = messages.map(({ data }) => data);
    if (await this.#accepts(target, list)) {
      this.#push(target, list, messages);
      return;
    }
    this.#drops.push({ message: first, reason: "type", target });
    this.#undeliverable(first, `a list of ${list.length} messages, which '${target}' has no handler for`);
  }

  #push(executor: string, data: Json, messages: readonly Message[], request?: GraphRequest): void {
    const sources = [...new Set(messages.map(({ source }) => source))];
    const causes = [...new Set(messages.flatMap((message) => message.causes))];
    // Those of a join come in the order of the supersteps.
    const way = wayOf(executor, ...messages.map((message) => message.way ?? "").toSorted());
    const nth = this.#ways.get(way) ?? 0;
    this.#ways.set(way, nth + 1);
    const delivery = { index: this.#deliveries.length, executor, data, sources, causes, way, nth };
    this.#deliveries.push(request === undefined ? delivery : { ...delivery, request });
  }

  async #accepts(target: string, data: Json): Promise<boolean> {
    const { executors, graph } = this.#running;
    for (const { input } of executors.get(target)?.handlers ?? []) {
      if ((await fit(input, fromPlain(data, graph.classes))) !== undefined) return true;
    }
    return false;
  }

  #undeliverable({ source, target }: Message, reason: string): void {
    if (source === `internal:${target}`) {
      const what = `Start executor '${target}' cannot handle input of type ${reason}`;
      this.#problem ??= new StemmaError("graph.undeliverable", what, { data: { executor: target } });
      return;
    }
    if (this.#running.graph.undeliverable === "report") return;
    const what = target === undefined ? "A message" : `A message to '${target}'`;
    this.#problem ??= new StemmaError(
      "graph.undeliverable",
      `${what} of '${source}' cannot be delivered: ${reason}. Add an edge or a handler for it, or send nothing.`,
      { data: { source, reason } },
    );
  }
}

/** A predicate that throws decides nothing: the message neither goes this way nor another. */
async function isTrue(when: AnyPredicate, value: never, group: EdgeGroup): Promise<boolean> {
  try {
    return await (typeof when === "function" ? when(value) : when.test(value));
  } catch (cause) {
    const message = `A predicate behind '${sourcesOf(group)[0]}' threw: ${String(cause)}`;
    throw new StemmaError("graph.predicate_failed", message, { data: { executor: sourcesOf(group)[0] }, cause });
  }
}

function selected({ source, targets, select }: EdgeGroup & { kind: "select" }, value: never): readonly string[] {
  const chosen = typeof select === "function" ? select(value, targets) : select.select(value, targets);
  const unknown = chosen.find((id) => !targets.includes(id));
  if (unknown === undefined) return [...new Set(chosen)];
  throw new StemmaError(
    "graph.unknown_route",
    `The selection behind '${source}' gave '${unknown}'. It has: ${targets.join(", ")}.`,
    {
      data: { executor: source, route: unknown },
    },
  );
}
