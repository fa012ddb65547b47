/** Building a graph. Types are checked at compile time, what they cannot say at `build`, what is left at run time. */
import { StemmaError } from "../../core/error.ts";
import { checkName } from "../../core/name.ts";
import type { CheckpointStorage } from "./checkpoint.ts";
import type { Designation, GraphDefinition } from "./definition.ts";
import type { AnyPredicate, CaseBranch, DefaultBranch, EdgeGroup, Predicate, RouteEdge, Selection } from "./edges.ts";
import type { Node } from "./executor.ts";
import type { Accepting, BranchEnd, Chained, Fits, Fitting, Switching, TakesList, YieldOf } from "./fits.ts";
import type { ValueClass } from "./plain.ts";
import type { Reducers } from "./shared-state.ts";
import { checkGraph } from "./validate.ts";
import { Workflow } from "./workflow.ts";

export type BuilderOptions<I, Y> = {
  readonly name: string;
  readonly description?: string;
  readonly start: Node<I, unknown, Y>;
  /** Whose yields are the outputs; "all" where neither this nor `intermediateFrom` is given. */
  readonly outputFrom?: "all" | readonly Node[];
  /** Whose yields are shown on the way; "all_other": of all that are not in `outputFrom`. What is in neither is hidden. */
  readonly intermediateFrom?: "all" | "all_other" | readonly Node[];
  /** How keys of the shared state take what is set; others are overwritten. */
  readonly state?: Reducers;
  /** Classes whose instances may be messages and state. */
  readonly classes?: readonly ValueClass[];
  /** Supersteps without an input or an answer between them. Default 100. */
  readonly maxSupersteps?: number;
  /** Where checkpoints of its runs in memory go, and are read from; one given with a run is used in its place. */
  readonly checkpointStorage?: CheckpointStorage;
  /** Default "fail": a message that nobody can take fails the run. "report": an event says so. */
  readonly undeliverable?: "fail" | "report";
};

/** What was said of a graph. `nodes`: all that were mentioned, in order; two with one id are told apart in `build`. */
type Parts = { readonly nodes: Set<Node>; readonly groups: EdgeGroup[]; readonly joins: string[] };

/** A way out of a router: see `RouteEdge`. */
export type Route<M = unknown> = Partial<Omit<RouteEdge, "target" | "when">> & {
  readonly to: Node;
  readonly when?: Predicate<M>;
};

/**
 * Each call that names executors gives another builder, whose type knows what they yield. One that was called is used up:
 * whoever went on with it would build a graph from which more comes out than its type says. So calls are chained, or what
 * each gives is kept; a builder that is called in a loop is declared with the type of all that may come out.
 *
 * @example
 * const graph = new WorkflowBuilder({ name: "greet", start: upper }).addEdge(upper, reverse).build();
 * const { outputs } = await graph.run("hello");
 * @example
 * let builder: WorkflowBuilder<string, string> = new WorkflowBuilder({ name: "greet", start: upper });
 * for (const target of targets) builder = builder.addEdge(upper, target);
 */
export class WorkflowBuilder<I = unknown, Y = unknown> {
  readonly #options: BuilderOptions<unknown, unknown>;
  /** Shared by all builders of one graph, of which one at a time can be called. */
  #parts: Parts = { nodes: new Set(), groups: [], joins: [] };
  /** What was called on it. */
  #used: string | undefined;

  /** @throws name.invalid, usage.invalid */
  constructor(options: BuilderOptions<I, Y>) {
    checkName(options.name, "name of a graph");
    const { maxSupersteps = 1 } = options;
    if (!Number.isSafeInteger(maxSupersteps) || maxSupersteps < 1) {
      throw new StemmaError(
        "usage.invalid",
        `Expected maxSupersteps to be a whole number from 1, got ${maxSupersteps}.`,
      );
    }
    checkClasses(options.classes ?? []);
    this.#options = options;
    this.#parts.nodes.add(options.start);
  }

  /** One target, where the predicate says so or always. An edge from an executor to itself is fine. */
  addEdge<SO, TI, SY, TY>(
    source: Node<unknown, SO, SY>,
    target: Node<TI, unknown, TY> & Fits<SO, TI>,
    when?: Predicate<SO>,
  ): WorkflowBuilder<I, Y | SY | TY> {
    this.#checkUnused();
    this.#edge(source, target, when);
    return this.#next("addEdge");
  }

  /** All targets that can handle it get a message. */
  addFanOutEdges<SO, const T extends readonly Node[]>(
    source: Node<unknown, SO>,
    targets: T & Accepting<SO, T>,
  ): WorkflowBuilder<I, Y | YieldOf<T[number]>> {
    this.#checkUnused();
    const from = this.#add(source);
    this.#parts.groups.push({
      kind: "fanOut",
      id: this.#id(),
      source: from,
      targets: targets.map((to) => this.#add(to)),
    });
    return this.#next("addFanOutEdges");
  }

  /** The targets whose ids are selected get a message. */
  addMultiSelectionEdges<SO, const T extends readonly Node[]>(
    source: Node<unknown, SO>,
    targets: T & Accepting<SO, T>,
    select: Selection<SO>,
  ): WorkflowBuilder<I, Y | YieldOf<T[number]>> {
    this.#checkUnused();
    const from = this.#add(source);
    const to = targets.map((target) => this.#add(target));
    this.#parts.groups.push({ kind: "select", id: this.#id(), source: from, targets: to, select });
    return this.#next("addMultiSelectionEdges");
  }

  /** The first case that is true, else the default. @throws graph.invalid */
  addSwitchCaseEdges<SO, const B extends readonly (CaseBranch<SO> | DefaultBranch)[]>(
    source: Node<unknown, SO>,
    branches: B & Switching<SO, B>,
  ): WorkflowBuilder<I, Y | YieldOf<BranchEnd<B[number]>>> {
    this.#checkUnused();
    if (branches.length < 2) {
      throw shape("A switch must contain at least two cases (including the default case).");
    }
    const defaults = branches.filter((branch) => "otherwise" in branch);
    const [last] = defaults;
    if (defaults.length !== 1 || last === undefined) throw shape("A switch must contain exactly one default case.");
    const from = this.#add(source);
    const cases = branches.flatMap((branch) =>
      "when" in branch ? [{ when: branch.when, target: this.#add(branch.to) }] : [],
    );
    this.#parts.groups.push({
      kind: "switch",
      id: this.#id(),
      source: from,
      cases,
      otherwise: this.#add(last.otherwise),
    });
    return this.#next("addSwitchCaseEdges");
  }

  /**
   * Ways out of a router, as in `routes`: named ones first, then those whose predicate is true, then those without one,
   * then the default; of each kind the one with the lowest priority, or all with `fanOut`.
   */
  addRoutes<SO, T extends readonly Node[]>(
    source: Node<unknown, SO>,
    routes: { readonly [K in keyof T]: Route<SO> & Fitting<SO, T[K]> },
    options: { fanOut?: boolean } = {},
  ): WorkflowBuilder<I, Y | YieldOf<T[number]>> {
    this.#checkUnused();
    const from = this.#add(source);
    const edges = routes.map(({ to, when, route, ...rest }): RouteEdge => ({
      target: this.#add(to),
      priority: rest.priority ?? 100,
      otherwise: rest.otherwise ?? false,
      onFailure: rest.onFailure ?? false,
      many: rest.many ?? false,
      ...(route === undefined ? {} : { route }),
      ...(when === undefined ? {} : { when }),
    }));
    this.#parts.groups.push({ kind: "routes", id: this.#id(), source: from, edges, fanOut: options.fanOut ?? false });
    return this.#next("addRoutes");
  }

  /** The target gets one list when every source has sent: all that they sent, in the order of the sources. */
  addFanInEdges<const S extends readonly Node[], TI, TY>(
    sources: S,
    target: Node<TI, unknown, TY> & TakesList<S, TI>,
  ): WorkflowBuilder<I, Y | TY> {
    this.#checkUnused();
    const from = sources.map((source) => this.#add(source));
    const to = this.#add(target);
    // What waits there is kept under it, also by a program that says its edges in another order. No name holds a `|`.
    this.#parts.groups.push({ kind: "fanIn", id: `fan-in ${[...from, to].join("|")}`, sources: from, target: to });
    return this.#next("addFanInEdges");
  }

  addChain<const T extends readonly Node[]>(nodes: T & Chained<T>): WorkflowBuilder<I, Y | YieldOf<T[number]>> {
    this.#checkUnused();
    if (nodes.length < 2) throw shape(`A chain must have at least two executors, got ${nodes.length}.`);
    nodes.slice(1).forEach((node, index) => this.#edge(nodes[index] as Node, node, undefined));
    return this.#next("addChain");
  }

  /**
   * The executor waits until no message can reach it any more but those that are there, and gets them as one list. What
   * left for elsewhere is not waited for.
   */
  addJoin(node: Node): this {
    this.#checkUnused();
    this.#parts.joins.push(this.#add(node));
    return this;
  }

  /** @throws graph.invalid with `{ problems }`, all that are wrong with it; usage.invalid on a builder that is used up */
  build(): Workflow<I, Y> {
    this.#checkUnused();
    const { name, description, start, maxSupersteps = 100, undeliverable = "fail" } = this.#options;
    const graph: GraphDefinition = {
      name,
      ...(description === undefined ? {} : { description }),
      start: start.id,
      nodes: new Map([...this.#parts.nodes].map((node) => [node.id, node])),
      groups: [...this.#parts.groups],
      joins: [...new Set(this.#parts.joins)],
      reducers: { ...this.#options.state },
      classes: [...(this.#options.classes ?? [])],
      designation: designationOf(this.#options),
      maxSupersteps,
      undeliverable,
    };
    const { outputFrom, intermediateFrom, checkpointStorage } = this.#options;
    checkGraph(graph, [...this.#parts.nodes], { output: idsOf(outputFrom), intermediate: idsOf(intermediateFrom) });
    return new Workflow<I, Y>(graph, checkpointStorage);
  }

  #add(node: Node): string {
    this.#parts.nodes.add(node);
    return node.id;
  }

  #edge(source: Node, target: Node, when: AnyPredicate | undefined): void {
    const group = { kind: "single", id: this.#id(), source: this.#add(source), target: this.#add(target) } as const;
    this.#parts.groups.push(when === undefined ? group : { ...group, when });
  }

  /** The builder to go on with: it is known to yield what the executors of an edge yield as well. */
  #next<More>(used: string): WorkflowBuilder<I, Y | More> {
    const next = new WorkflowBuilder<I, Y | More>(this.#options as BuilderOptions<I, Y | More>);
    next.#parts = this.#parts;
    this.#used = used;
    return next;
  }

  #checkUnused(): void {
    if (this.#used === undefined) return;
    throw new StemmaError(
      "usage.invalid",
      `Expected the builder that ${this.#used} gave, got the one that it was called on, whose type does not know what it added. Chain the calls, or go on with what each gives: builder = builder.${this.#used}(…).`,
      { data: { graph: this.#options.name, called: this.#used } },
    );
  }

  #id(): string {
    return `edge ${this.#parts.groups.length}`;
  }
}

/** An instance is kept under the name of its class, so each has one, and one of its own. */
function checkClasses(classes: readonly ValueClass[]): void {
  const names = classes.map(({ name }) => name);
  const wrong = names.find((name, index) => name === "" || names.indexOf(name) !== index);
  if (wrong === undefined) return;
  const found = wrong === "" ? "one without a name" : `two that are named ${wrong}`;
  throw new StemmaError("usage.invalid", `Expected classes with a name each, of its own; got ${found}.`);
}

function idsOf(chosen: string | readonly Node[] | undefined): readonly string[] {
  return typeof chosen === "string" ? [] : (chosen ?? []).map(({ id }) => id);
}

function designationOf<I, Y>(options: BuilderOptions<I, Y>): (id: string) => Designation {
  const { outputFrom, intermediateFrom } = options;
  if (outputFrom === undefined && intermediateFrom === undefined) return () => "output";
  const [outputs, intermediates] = [new Set(idsOf(outputFrom)), new Set(idsOf(intermediateFrom))];
  return (id) => {
    if (outputFrom === "all" || outputs.has(id)) return "output";
    return typeof intermediateFrom === "string" || intermediates.has(id) ? "intermediate" : "hidden";
  };
}

function shape(message: string): StemmaError {
  return new StemmaError("graph.invalid", message, { data: { problems: [{ kind: "edge_shape", message }] } });
}
