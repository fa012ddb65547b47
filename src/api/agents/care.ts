/**
 * Looks after executions that are on nodes: follows the feed for what happens to them, tells nodes to stop with those that
 * nobody wants any more, gives out anew what dead nodes had in hand, and lets those go on that waited for a node. All of it
 * is said to the runs by messages with keys of their own, so it does not matter how many servers say it.
 */
import { isStemmaError } from "../../core/error.ts";
import type { RunId, Value } from "../../core/event.ts";
import { parseKey } from "../../core/identity.ts";
import { limits } from "../../core/limits.ts";
import { isTerminal } from "../../core/run.ts";
import type { Log } from "../../engine/body.ts";
import type { Stemma } from "../../engine/stemma.ts";
import type { Hub, HubEntry } from "../server/hub.ts";
import type { Dispatch } from "./course.ts";
import type { Courses } from "./courses.ts";
import { tellToStop } from "./dispatch.ts";
import type { Lines } from "./lines.ts";
import type { LostMessage, TurnMessage } from "./messages.ts";
import { dispatchStep, queue } from "./messages.ts";
import { OtherLines } from "./other-lines.ts";
import type { Node, Registry } from "./registry.ts";
import { nodeRecord } from "./registry.ts";
import { Rounds } from "./rounds.ts";
import type { Slots } from "./slots.ts";
import type { Wakes } from "./wakes.ts";

export type CareParts = {
  stemma: Stemma;
  hub: Hub;
  log: Log;
  registry: Registry;
  courses: Courses;
  slots: Slots;
  wakes: Wakes;
  lines: Lines;
};

const entriesMax = 512;
const waitMs = 1000;
const againMs = 1000;
const stoppedMax = 1000;
/** A dispatch of which only the size is at hand is a result where it is larger; who works on it is said in less. */
const workingBytesMax = 65_536;

type Working = Extract<Dispatch, { state: "working" }>;

export class Care {
  readonly #with: CareParts;
  readonly #stopped = new AbortController();
  readonly #known = Promise.withResolvers<void>();
  #isKnown = false;
  #leave: (() => void) | undefined;
  #position = 0;
  #following: Promise<void> | undefined;
  /** Nodes whose executions are to be looked through. */
  readonly #toSweep = new Set<string>();
  readonly #sweeps = new Rounds(() => this.#sweepAll());
  /** Executions whose nodes were told to stop. */
  readonly #told = new Set<string>();
  readonly #others: OtherLines;

  constructor(parts: CareParts) {
    this.#with = parts;
    const gone = (node: string, run: RunId): Promise<void> => this.#look(node, run);
    this.#others = new OtherLines({ store: parts.stemma.store, log: parts.log, gone });
  }

  async start(): Promise<void> {
    const { hub } = this.#with;
    this.#leave = await hub.join();
    this.#position = hub.head;
    this.#following = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#known.resolve();
    this.#leave?.();
    await this.#following;
    await this.#sweeps.done;
    await this.#others.stop();
  }

  // ---- the feed ------------------------------------------------------------------------------------------------

  async #follow(): Promise<void> {
    const { hub, registry, wakes, log } = this.#with;
    const { signal } = this.#stopped;
    while (!signal.aborted && !hub.stopped.signal.aborted) {
      const entries = hub.since(this.#position, entriesMax);
      if (entries === undefined) {
        // It fell too far behind: what it has not seen is found by looking through everything.
        this.#position = hub.head;
        await registry.refresh().catch((error: unknown) => log.warn("Nodes cannot be read", { error: String(error) }));
        wakes.wakeAll();
        this.sweep(this.#names());
        continue;
      }
      for (const entry of entries) this.#take(entry);
      this.#position = entries.at(-1)?.position ?? Math.max(this.#position, hub.head);
      if (entries.length === 0) await hub.news(this.#position, waitMs, signal);
      else await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #names(): string[] {
    return this.#with.registry.all.map(({ registration }) => registration.node);
  }

  #take({ run, workflow, event }: HubEntry): void {
    const { registry, slots, wakes, log } = this.#with;
    wakes.wake(run);
    if (workflow === nodeRecord) {
      if (event.type === "run.created" || event.type === "run.cancelled")
        registry.refresh().catch((error: unknown) => log.warn("Nodes cannot be read", { error: String(error) }));
      return;
    }
    switch (event.type) {
      case "step.succeeded":
        if (this.#offered.has(workflow) && parseKey(event.data.key).name === dispatchStep) {
          this.#given(run, workflow);
          this.#mayHold(run, workflow, event.data.output);
        }
        return;
      case "child.started":
        slots.waits(run, 1);
        return this.next(nodeOf(workflow));
      case "child.ended":
        return slots.waits(run, -1);
      case "wait.opened":
        if (isQuestion(event.data.key)) slots.waits(run, 1);
        return this.next(nodeOf(workflow));
      case "wait.answered":
      case "wait.failed":
      case "wait.expired":
        if (isQuestion(event.data.key)) slots.waits(run, -1);
        return;
      case "cancel.requested":
        return this.#tellToStop(run, workflow, event.type);
      case "run.cancelled":
      case "run.timed_out":
      case "run.succeeded":
      case "run.failed":
        this.#tellToStop(run, workflow, event.type);
        this.#others.forget(run);
        slots.free(run);
        slots.unqueue(nodeOf(workflow), run);
        return this.next(nodeOf(workflow));
      default:
    }
  }

  /**
   * It is on record who has an execution. A process that went while it was being given one had nothing on record then, so it
   * is looked for here.
   */
  #given(run: RunId, workflow: string): void {
    const { registry, slots } = this.#with;
    const [node, holder] = [nodeOf(workflow), slots.holder(run)];
    const isThere = registry.of(node).some(({ registration, state }) => {
      return registration.instance === holder && state !== "down";
    });
    if (holder !== undefined && !isThere) this.sweep([node]);
  }

  /** Where another server holds the line of what was given to a node, it is looked after whether that server is there. */
  #mayHold(run: RunId, workflow: string, output: Value): void {
    const { stemma, log } = this.#with;
    const holder = "inline" in output ? (output.inline as Partial<Working> | null)?.holder : undefined;
    const isOther = "digest" in output ? output.bytes <= workingBytesMax : (holder ?? stemma.worker) !== stemma.worker;
    if (!isOther) return;
    this.#look(nodeOf(workflow), run).catch((error: unknown) => {
      log.warn("An execution cannot be looked at; it is tried again", { run, error: String(error) });
      this.sweep([nodeOf(workflow)]);
    });
  }

  /** Tells the node that works on an execution, once. */
  #tellToStop(run: RunId, workflow: string, why: string): void {
    const { courses, log } = this.#with;
    if (!this.#offered.has(workflow) || why === "run.succeeded" || why === "run.failed") return;
    void (async () => {
      const { course } = await courses.read(run);
      const { working } = course;
      if (working === undefined || this.#told.has(working.token)) return;
      this.#told.add(working.token);
      for (const oldest of this.#told) if (this.#told.size > stoppedMax) this.#told.delete(oldest);
      const reason = why === "run.timed_out" ? "its time is up" : "it was cancelled";
      await tellToStop(working.token, working.place, reason);
    })().catch((error: unknown) => log.warn("A node could not be told to stop", { run, error: String(error) }));
  }

  // ---- places --------------------------------------------------------------------------------------------------

  /** Lets as many go on as there are places for. */
  next(node: string): void {
    const { registry, slots } = this.#with;
    if (!slots.hasQueue(node)) return;
    const up = registry.of(node).filter(({ state }) => state !== "down");
    const free = up.reduce((sum, one) => sum + freePlaces(one, slots), 0);
    for (const { run, dispatch } of slots.next(node, free)) void this.#say(run, { kind: "turn", dispatch });
  }

  /** Whether it knows. */
  async #say(run: RunId, message: LostMessage | TurnMessage): Promise<boolean> {
    const { stemma, log } = this.#with;
    const once = { idempotencyKey: `${message.kind} ${message.dispatch}` };
    try {
      await stemma.signal(run, queue, message, once);
      return true;
    } catch (error) {
      if (isStemmaError(error, "run.ended")) return true;
      log.warn("An execution could not be told", { run, error: String(error) });
      return false;
    }
  }

  // ---- dead nodes, and new ones ----------------------------------------------------------------------------------

  /** Looks through what is open of these nodes, soon; what came meanwhile is looked at, too. */
  sweep(nodes: Iterable<string>): void {
    for (const node of nodes) this.#toSweep.add(node);
    if (this.#toSweep.size === 0 || this.#stopped.signal.aborted) return;
    void this.#sweeps.again();
  }

  /** Until it is known who works on what: an execution that is due before that would be given to whoever is busy. */
  get known(): Promise<void> {
    return this.#known.promise;
  }

  /** The nodes of the store are known: looks through what is open of them. */
  begin(): void {
    this.sweep(this.#names());
    void this.#sweeps.done.then(() => {
      this.#isKnown = true;
      this.#known.resolve();
    });
  }

  async #sweepAll(): Promise<void> {
    const { log } = this.#with;
    for (const node of this.#toSweep) {
      if (this.#stopped.signal.aborted) break;
      this.#toSweep.delete(node);
      try {
        await this.#sweepNode(node);
      } catch (error) {
        if (isStemmaError(error, "store.closed")) break;
        log.warn("Executions of a node cannot be looked at; it is tried again", { node, error: String(error) });
        this.#toSweep.add(node);
        await new Promise((resolve) => setTimeout(resolve, againMs));
      }
    }
  }

  async #sweepNode(node: string): Promise<void> {
    const { registry } = this.#with;
    const functions = new Set(registry.of(node).flatMap(({ registration }) => registration.functions));
    const known = [...this.#offered].filter((name) => name.startsWith(`${node}.`));
    for (const name of new Set([...[...functions].map((one) => `${node}.${one.name}`), ...known])) {
      for await (const run of this.#openOf(name)) await this.#look(node, run);
    }
  }

  /** Names of functions whose executions are carried out here, also of nodes that have left. */
  readonly #offered = new Set<string>();

  offers(name: string): void {
    this.#offered.add(name);
  }

  async *#openOf(workflow: string): AsyncGenerator<RunId> {
    const status = ["queued", "running", "suspended", "paused"] as const;
    for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
      const query = { workflow, status, limit: limits.pageRunsMax };
      const page = await this.#with.stemma.list(cursor === undefined ? query : { ...query, cursor });
      for (const { id } of page.runs) yield id;
      ({ cursor } = page);
    }
  }

  async #look(node: string, run: RunId): Promise<void> {
    const { registry, courses, slots } = this.#with;
    const { course, row } = await courses.read(run);
    const { working, dispatches } = course;
    if (working === undefined || isTerminal(row.state.status)) this.#others.forget(run);
    if (isTerminal(row.state.status)) return;
    const dispatch = dispatches.length;
    const there = registry.of(node).filter(({ state }) => state !== "down");
    if (working !== undefined) {
      const { instance, url } = working.place;
      const isCut = await this.#isCut(node, run, working);
      if (!isCut && there.some(({ registration }) => registration.instance === instance)) {
        if (slots.holder(run) !== instance) slots.take(run, instance, course.openCalls + openQuestions(course));
        return;
      }
      slots.free(run);
      const why = isCut ? `the line to ${url} is cut` : `${url} (${instance}) is gone`;
      // It is not told to stop: what it would answer then to a server that was only held dead would count as its failure.
      if (await this.#say(run, { kind: "lost", dispatch, why })) this.#others.forget(run);
    } else if (course.isWaiting && there.some((one) => freePlaces(one, slots) > 0)) {
      slots.unqueue(node, run);
      await this.#say(run, { kind: "turn", dispatch });
    }
  }

  /**
   * Whether nobody hears any more what a node answers that holds a line. The worker of another server hears it for as long
   * as it has its lease. Of its own lines this server knows, and those of one before it were cut with that one.
   */
  async #isCut(node: string, run: RunId, { heldMs, holder, token }: Working): Promise<boolean> {
    const { stemma, lines } = this.#with;
    const isOthers = heldMs !== undefined && holder !== undefined && holder !== stemma.worker;
    if (isOthers) this.#others.note(run, { node, holder });
    else this.#others.forget(run);
    if (heldMs === undefined || lines.has(token)) return false;
    const isGone = isOthers ? await this.#others.isGone(holder) : undefined;
    return isGone ?? !this.#isKnown;
  }
}

function isQuestion(key: string): boolean {
  return parseKey(key).name !== queue;
}

function nodeOf(workflow: string): string {
  return workflow.slice(0, Math.max(0, workflow.indexOf(".")));
}

function openQuestions({ questions }: { questions: readonly { answer?: unknown }[] }): number {
  return questions.filter(({ answer }) => answer === undefined).length;
}

export function freePlaces({ registration: { concurrency, instance } }: Node, slots: Slots): number {
  return concurrency === undefined ? Infinity : Math.max(0, concurrency - slots.working(instance));
}
