/** Agents at work: nodes, executions and those who look after them, put together. */
import { StemmaError } from "../../core/error.ts";
import type { Log, Workflow } from "../../engine/body.ts";
import { isFunctionName, partsOfFunction } from "../../engine/node-function.ts";
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
import type { WaitOptions } from "./executions.ts";
import { Executions } from "./executions.ts";
import type { Asked, CallGiven, Execution, LocalCall, Question, Report } from "./execution.ts";
import type { Course } from "./course.ts";
import type { NodeGiven, NodeState, Registration } from "./node.ts";
import type { By } from "../../engine/requests.ts";
import type { RunRow } from "../../store/store.ts";
import { Lines } from "./lines.ts";
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

type LiveParts = { stemma: Stemma; hub: Hub; log: Log };

export function liveAgents(parts: LiveParts): Agents {
  return new LiveAgents(parts);
}

class LiveAgents implements Agents {
  readonly stemma: Stemma;
  readonly hooks: AgentsHooks[] = [];
  readonly #log: Log;
  readonly #carried: Carried;
  readonly #courses: Courses;
  readonly #slots = new Slots();
  readonly #circuits = new Circuits();
  readonly #turns = new Turns();
  readonly #lines = new Lines();
  readonly #registry: Registry;
  readonly #care: Care;
  readonly #dispatching: Dispatching;
  readonly #executions: Executions;
  #starting: Promise<void> | undefined;

  constructor({ stemma, hub, log }: LiveParts) {
    this.stemma = stemma;
    this.#log = log;
    this.#carried = carriedBy(stemma);
    this.#courses = new Courses(stemma.store);
    const wakes = new Wakes();
    const [courses, slots, circuits, turns, hooks] = [
      this.#courses,
      this.#slots,
      this.#circuits,
      this.#turns,
      this.hooks,
    ];
    const registry = new Registry({
      store: stemma.store,
      log,
      probe,
      came: (node) => this.#came(node),
      went: (node) => this.#went(node),
    });
    this.#registry = registry;
    const care = new Care({ stemma, hub, log, registry, courses, slots, wakes, lines: this.#lines });
    this.#care = care;
    const ready = (): Promise<void> => care.known;
    const lines = this.#lines;
    const own = { stemma, hooks, registry, courses, slots, circuits, turns, lines, log };
    this.#dispatching = new Dispatching({ ...own, ready });
    const checkTarget = (target: string): void => expectTarget(registry, target);
    const heard = (token: string): void => lines.heard(token);
    this.#executions = new Executions({ stemma, courses, wakes, checkTarget, heard });
  }

  /** Throws workflow.duplicate, engine.stopped. */
  readonly #offer = ({ node, functions }: Registration): void => {
    const { workflows, dispatchers } = this.#carried;
    for (const { name } of functions) {
      const target = `${node}.${name}`;
      this.#care.offers(target);
      if (workflows.has(target)) continue;
      const workflow = executionWorkflow(target, () => [...dispatchers].at(-1));
      this.stemma.offer(workflow);
      workflows.set(target, workflow);
    }
  };

  #came({ registration }: Node): void {
    try {
      this.#offer(registration);
    } catch (error) {
      const facts = { node: registration.node, error: String(error) };
      this.#log.error("Functions of a node cannot be offered", facts);
    }
    this.#circuits.worked(registration.url);
    this.#care.sweep([registration.node]);
  }

  #went({ registration: { node, instance } }: Node): void {
    this.#lines.cut(instance);
    this.#turns.keep(node, new Set(this.#registry.of(node).map(({ registration }) => registration.version)));
    this.#circuits.keep(new Set(this.#registry.all.map(({ registration }) => registration.url)));
    this.#care.sweep([node]);
  }

  #stateOf(node: Node): NodeState {
    const { registration, id, state, heardAt } = node;
    const working = this.#slots.working(registration.instance);
    const circuit = this.#circuits.state(registration.url, Date.now());
    return { ...registration, id, state, heardAt, working, circuit };
  }

  start(): Promise<void> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  async #start(): Promise<void> {
    this.#carried.dispatchers.add(this.#dispatching);
    await this.#care.start();
    await this.#registry.refresh();
    this.#registry.start();
    this.#care.begin();
  }

  async stop(): Promise<void> {
    this.#carried.dispatchers.delete(this.#dispatching);
    this.#registry.stop();
    await this.#care.stop();
    this.#lines.cut();
  }

  async register(given: NodeGiven, by?: By): Promise<NodeState> {
    await this.start();
    if (!this.stemma.isWorking) {
      this.#log.warn("A node registers with a Stemma that was not started: its work waits for one that is", {});
    }
    return this.#stateOf(await this.#registry.register(given, this.#offer, by));
  }

  async heartbeat(node: string, which: Which = {}): Promise<NodeState> {
    await this.start();
    const all = this.#registry.which(node, which);
    const [first] = all;
    if (first === undefined) throw notRegistered(node);
    for (const one of all) this.#registry.heard(one);
    return this.#stateOf(first);
  }

  async leave(node: string, which: Which = {}, by?: By): Promise<boolean> {
    await this.start();
    const leaving = this.#registry.which(node, which);
    await this.#registry.leave(leaving, by);
    return leaving.length > 0;
  }

  nodes(): readonly NodeState[] {
    return this.#registry.all.map((node) => this.#stateOf(node));
  }

  async call(given: CallGiven): Promise<Execution> {
    await this.start();
    return this.#executions.call(given);
  }

  async read(id: string, options?: WaitOptions): Promise<Execution> {
    await this.start();
    return this.#executions.read(id, options);
  }

  async report(id: string, report: Report, by?: By): Promise<{ accepted: boolean }> {
    await this.start();
    return this.#executions.report(id, report, by);
  }

  async local(id: string, call: LocalCall): Promise<void> {
    await this.start();
    return this.#executions.local(id, call);
  }

  async ask(id: string, question: Question, by?: By): Promise<Asked> {
    await this.start();
    return this.#executions.ask(id, question, by);
  }

  async readAsked(id: string, wait: string, options?: WaitOptions): Promise<Asked> {
    await this.start();
    return this.#executions.readAsked(id, wait, options);
  }

  async cancel(id: string, by?: By): ReturnType<Stemma["cancel"]> {
    await this.start();
    return this.#executions.cancel(id, by);
  }

  async course(id: string): Promise<Course> {
    return (await this.#courses.read(readId(id).run)).course;
  }

  isExecution({ state }: RunRow): boolean {
    return isFunctionName(state.workflow);
  }
}

type Which = { instance?: string; version?: string };

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
