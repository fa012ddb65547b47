/** Agents at work: nodes, executions and those who look after them, put together. */
import { StemmaError, isStemmaError } from "../../core/error.ts";
import type { Log, Workflow } from "../../engine/body.ts";
import { partsOfFunction } from "../../engine/node-function.ts";
import type { Stemma } from "../../engine/stemma.ts";
import type { Hub } from "../server/hub.ts";
import type { Agents, AgentsHooks } from "./agents.ts";
import { Care } from "./care.ts";
import { Circuits } from "./circuit.ts";
import { Courses } from "./courses.ts";
import { Dispatching } from "./dispatching.ts";
import type { Dispatcher } from "./execution-body.ts";
import { executionWorkflow } from "./execution-body.ts";
import { readId } from "./execution.ts";
import { Executions } from "./executions.ts";
import type { NodeState, Registration } from "./node.ts";
import { probe } from "./probe.ts";
import type { Node } from "./registry.ts";
import { Registry } from "./registry.ts";
import { Turns } from "./routing.ts";
import { Slots } from "./slots.ts";
import { Wakes } from "./wakes.ts";

/**
 * Of each Stemma: the workflows of functions that it was given, which it can be given once only, and who carries them out,
 * which may be another server after a while.
 */
type Carried = { workflows: Map<string, Workflow>; dispatchers: Set<Dispatcher> };
const carried = new WeakMap<Stemma, Carried>();

function carriedBy(stemma: Stemma): Carried {
  const known = carried.get(stemma) ?? { workflows: new Map<string, Workflow>(), dispatchers: new Set<Dispatcher>() };
  carried.set(stemma, known);
  return known;
}

export function liveAgents({ stemma, hub, log }: { stemma: Stemma; hub: Hub; log: Log }): Agents {
  const hooks: AgentsHooks[] = [];
  const [courses, slots, wakes, circuits, turns] = [
    new Courses(stemma.store),
    new Slots(),
    new Wakes(),
    new Circuits(),
    new Turns(),
  ];
  const { workflows, dispatchers } = carriedBy(stemma);

  /** Throws workflow.duplicate, engine.stopped. */
  const offer = ({ node, functions }: Registration): void => {
    for (const { name } of functions) {
      const target = `${node}.${name}`;
      care.offers(target);
      if (workflows.has(target)) continue;
      const workflow = executionWorkflow(target, () => [...dispatchers].at(-1));
      stemma.offer(workflow);
      workflows.set(target, workflow);
    }
  };
  const tidy = (node: string): void => {
    turns.keep(node, new Set(registry.of(node).map(({ registration }) => registration.version)));
    circuits.keep(new Set(registry.all.map(({ registration }) => registration.url)));
  };
  const registry: Registry = new Registry({
    store: stemma.store,
    log,
    probe,
    came({ registration }) {
      try {
        offer(registration);
      } catch (error) {
        log.error("Functions of a node cannot be offered", { node: registration.node, error: String(error) });
      }
      circuits.worked(registration.url);
      care.sweep([registration.node]);
    },
    went({ registration }) {
      tidy(registration.node);
      care.sweep([registration.node]);
    },
  });
  const care: Care = new Care({ stemma, hub, log, registry, courses, slots, wakes });
  const ready = (): Promise<void> => care.known;
  const dispatching = new Dispatching({ stemma, hooks, registry, courses, slots, circuits, turns, ready });
  const checkTarget = (target: string): void => expectTarget(registry, target);
  const executions = new Executions({ stemma, courses, wakes, checkTarget });

  const stateOf = (node: Node): NodeState => ({
    ...node.registration,
    id: node.id,
    state: node.state,
    heardAt: node.heardAt,
    working: slots.working(node.registration.instance),
    circuit: circuits.state(node.registration.url, Date.now()),
  });
  let starting: Promise<void> | undefined;
  const start = async (): Promise<void> => {
    dispatchers.add(dispatching);
    await care.start();
    await registry.refresh();
    registry.start();
    care.begin();
  };
  const begun = async <T>(call: () => Promise<T>): Promise<T> => {
    await agents.start();
    return call();
  };

  const agents: Agents = {
    stemma,
    hooks,
    start() {
      starting ??= start().catch((error: unknown) => {
        starting = undefined;
        throw error;
      });
      return starting;
    },
    async stop() {
      dispatchers.delete(dispatching);
      registry.stop();
      await care.stop();
    },
    register: (given) => begun(async () => stateOf(await registry.register(given, offer))),
    heartbeat: (node, which = {}) =>
      begun(async () => {
        const [first, ...others] = registry.which(node, which);
        if (first === undefined) throw notRegistered(node);
        for (const one of [first, ...others]) registry.heard(one);
        return stateOf(first);
      }),
    leave: (node, which = {}) =>
      begun(async () => {
        const leaving = registry.which(node, which);
        await registry.leave(leaving);
        return leaving.length > 0;
      }),
    nodes: () => registry.all.map(stateOf),
    call: (given) => begun(() => executions.call(given)),
    read: (id, options) => begun(() => executions.read(id, options)),
    report: (id, report) => begun(() => executions.report(id, report)),
    local: (id, call) => begun(() => executions.local(id, call)),
    ask: (id, question) => begun(() => executions.ask(id, question)),
    readAsked: (id, wait, options) => begun(() => executions.readAsked(id, wait, options)),
    cancel: (id, by) => begun(() => executions.cancel(id, by)),
    course: async (id) => (await courses.read(readId(id).run)).course,
    isExecution: ({ state }) => isFunctionName(state.workflow),
  };
  return agents;
}

function isFunctionName(name: string): boolean {
  try {
    partsOfFunction(name);
    return true;
  } catch (error) {
    if (isStemmaError(error)) return false;
    throw error;
  }
}

function notRegistered(node: string): StemmaError {
  const message = `Expected a node that is registered, got ${JSON.stringify(node.slice(0, 200))}. Register it, again if need be.`;
  return new StemmaError("node.not_found", message, { data: { node } });
}

function expectTarget(registry: Registry, target: string): void {
  const { node, function: called } = partsOfFunction(target);
  const nodes = registry.of(node);
  if (nodes.length === 0) throw notRegistered(node);
  const known = [...new Set(nodes.flatMap(({ registration }) => registration.functions.map(({ name }) => name)))];
  if (known.includes(called)) return;
  throw new StemmaError(
    "function.not_found",
    `Expected a function of node ${node}, got ${JSON.stringify(called)}; it has: ${known.slice(0, 20).join(", ") || "none"}.`,
    { data: { node, function: called } },
  );
}
