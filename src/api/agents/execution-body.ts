/**
 * The body of every execution of a function of a node. It gives the execution to a node, and listens to what comes of it;
 * while the node works, the run is at rest and costs nothing. What is done by whom is said by its `Course`.
 */
import { backoffMs } from "../../core/retry.ts";
import type { Operations, Outcome, RunInfo, StepAsk, StepTools, WaitAsk, Workflow } from "../../engine/body.ts";
import { StepError } from "../../engine/failure.ts";
import { nodeFunction, nodeFunctionSource } from "../../engine/node-function.ts";
import { toValue } from "../../engine/value.ts";
import { rootScope } from "../../authoring/workflow/context.ts";
import type { Scope } from "../../authoring/workflow/scope.ts";
import type { Action, CourseQuestion, Dispatch, Place } from "./course.ts";
import { Course } from "./course.ts";
import type { Report } from "./execution.ts";
import type { AskMessage, CallMessage, LocalMessage, Message } from "./messages.ts";
import { dispatchStep, pauseStep, queue, stopStep, toldStep } from "./messages.ts";

/** An execution that is to be given to a node. */
export type ToDispatch = {
  run: string;
  target: string;
  input: unknown;
  /** Which dispatch this is, from 1. */
  n: number;
  /** Whether no node can have it yet. */
  isFirst: boolean;
  /** How many dispatches in a row found no node. */
  waits: number;
  /** The same for every attempt of this execution, also in a restart: send it to services so that they do not act twice. */
  idempotencyKey: string;
};

/** What the body has others do. None of it throws but for a bug. */
export type Dispatcher = {
  dispatch(execution: ToDispatch, abort: AbortSignal): Promise<Dispatch>;
  /** Tells a node to stop working on an execution. */
  stop(token: string, place: Place): Promise<void>;
  /** Tells whoever wants to know that a question was answered; throws where that did not work. */
  told(run: string, question: CourseQuestion, message: AskMessage, outcome: Outcome): Promise<void>;
};

const toldPolicy = { attempts: 8, delayMs: 500, factor: 2, maxDelayMs: 60_000, jitter: 0.5 };

/** @param dispatcher gives what is there when it is needed */
export function executionWorkflow(name: string, dispatcher: () => Dispatcher | undefined): Workflow {
  return {
    name,
    version: 1,
    source: nodeFunctionSource,
    body(operations, info) {
      const scope = rootScope(info.segment);
      const execution = new ExecutionBody(operations, info, scope, dispatcher);
      return { done: execution.run(), causes: () => scope.causes() };
    },
  };
}

/** Why an execution waits, for people. */
const waitsFor = {
  busy: "its node has no room",
  away: "no process of its node answers",
  unknown: "no node with this function is registered",
};

/** How long behind the end of a held line what came of it may be said. */
const answerMs = 10_000;

/** While no server is at hand that knows the nodes. */
const nobody: Dispatch = { state: "waiting", why: "away", retryMs: 1000 };

class ExecutionBody {
  readonly #operations: Operations;
  readonly #info: RunInfo;
  readonly #scope: Scope;
  readonly #dispatcher: () => Dispatcher | undefined;
  readonly #course = new Course();
  /** Calls and questions that are open. */
  readonly #open = new Set<Promise<void>>();
  /** What the node told that it has done: on record before the end is. */
  readonly #told = new Set<Promise<void>>();
  readonly #answers = new Map<CourseQuestion, Promise<Outcome>>();
  #idempotencyKey = "";

  constructor(operations: Operations, info: RunInfo, scope: Scope, dispatcher: () => Dispatcher | undefined) {
    this.#operations = operations;
    this.#info = info;
    this.#scope = scope;
    this.#dispatcher = dispatcher;
  }

  async run(): Promise<unknown> {
    let action: Action = { do: "dispatch" };
    for (;;) {
      if (action.do === "end") return this.#end(action.report);
      action = await this.#next(action);
    }
  }

  async #next(action: Exclude<Action, { do: "end" }>): Promise<Action> {
    switch (action.do) {
      case "dispatch":
        return this.#dispatch();
      case "retry": {
        const { policy, failures, stop } = action;
        if (stop !== undefined) await this.#step(stopStep, () => this.#dispatcher()?.stop(stop.token, stop));
        const { path } = this.#scope;
        const delay = backoffMs(policy, failures, this.#operations.random(path));
        const causes = this.#scope.causes();
        const until = (now: number): number => now + delay;
        this.#scope.take(await this.#operations.sleep({ scope: path, name: pauseStep, causes, until }), causes);
        return { do: "dispatch" };
      }
      case "call":
        this.#call(action.message, action.call.key);
        break;
      case "ask":
        this.#ask(action.message, action.question);
        break;
      case "local":
        this.#local(action.local.began, action.message);
        break;
      case "listen":
        break;
    }
    return this.#course.take(await this.#listen());
  }

  async #dispatch(): Promise<Action> {
    const { dispatches, wasGiven, waits } = this.#course;
    const { runId: run, workflow: target, input } = this.#info;
    const execution = { run, target, input, n: dispatches.length + 1, isFirst: !wasGiven, waits };
    const dispatched = await this.#step(dispatchStep, async (tools) => {
      const idempotencyKey = this.#idempotencyKey || tools.idempotencyKey;
      const made = await (this.#dispatcher()?.dispatch({ ...execution, idempotencyKey }, tools.abort) ?? nobody);
      return { ...made, key: idempotencyKey };
    });
    const { key, ...dispatch } = dispatched as Dispatch & { key: string };
    // The first of them has the key that no later one changes.
    this.#idempotencyKey = key;
    return this.#course.dispatched(dispatch);
  }

  /** A step that is this run's alone: another run has to find out anew. */
  async #step(name: string, run: (tools: StepTools) => unknown, more: Partial<StepAsk> = {}): Promise<unknown> {
    const causes = this.#scope.causes();
    const ask: StepAsk = {
      scope: this.#scope.path,
      name,
      causes,
      reuse: "never",
      ...more,
      run: (_, tools) => run(tools),
    };
    return this.#scope.take(await this.#operations.step(ask), causes);
  }

  async #listen(): Promise<Message> {
    const { working, isWaiting, dispatches } = this.#course;
    const causes = this.#scope.causes();
    const ask: WaitAsk = {
      scope: this.#scope.path,
      name: queue,
      causes,
      kind: "signal",
      signal: queue,
      reuse: "never",
    };
    const last = dispatches.at(-1);
    if (working !== undefined) ask.reason = `${working.place.node} ${working.place.version} works on it`;
    if (isWaiting && last?.state === "waiting") {
      ask.reason = waitsFor[last.why];
      ask.until = (now) => now + last.retryMs;
    } else if (working !== undefined) {
      const most = working.heldMs === undefined ? working.timeoutMs : working.heldMs + answerMs;
      const end = most === undefined ? undefined : working.at + most;
      if (end !== undefined) ask.until = () => end;
    }
    if (ask.until !== undefined) ask.default = { value: { kind: "late" } };
    return this.#scope.take(await this.#operations.wait(ask), causes) as Message;
  }

  #call(message: CallMessage, key: string): void {
    const { target, input, tags, timeoutMs } = message;
    const causes = this.#scope.causes();
    const asked = this.#operations.call({
      scope: this.#scope.path,
      name: target,
      causes,
      workflow: nodeFunction(target),
      input: { value: input },
      ...("context" in message ? { context: toValue(message.context, `context of ${target}`) } : {}),
      ...(tags === undefined ? {} : { tags }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
    void this.#hold(asked, causes, ({ ok }) => this.#course.settled(key, { state: ok ? "succeeded" : "failed" }));
  }

  #ask(message: AskMessage, question: CourseQuestion): void {
    const { name, prompt, reason, schema, tags, expiresMs } = message;
    let answer = this.#answers.get(question);
    if (answer === undefined) {
      const causes = this.#scope.causes();
      answer = this.#operations.wait({
        scope: this.#scope.path,
        name,
        causes,
        kind: prompt === undefined ? "external" : "approval",
        ...("input" in message ? { input: { value: message.input } } : {}),
        ...(prompt === undefined ? {} : { prompt }),
        ...(reason === undefined ? {} : { reason }),
        ...(schema === undefined ? {} : { schema }),
        ...(tags === undefined ? {} : { tags: [...tags] }),
        ...(expiresMs === undefined ? {} : { until: (now: number) => now + expiresMs }),
      });
      this.#answers.set(question, answer);
      void this.#hold(answer, causes, () => {});
    }
    if (message.note !== undefined) void this.#tell(message, question, answer);
  }

  /** Each holder of the execution that has asked is told, once more after a crash. */
  async #tell(message: AskMessage, question: CourseQuestion, answer: Promise<Outcome>): Promise<void> {
    const outcome = await answer;
    const tell = (): unknown => this.#dispatcher()?.told(this.#info.runId, question, message, outcome);
    await this.#step(toldStep, tell, { retry: { policy: toldPolicy } }).catch(() => {});
  }

  /**
   * What the node has done by itself: it is on record with its input and how it ended. Both count for what it is, because a
   * node does it again in a restart, whatever is on record; then it is the same only where it came out the same.
   */
  #local(began: LocalMessage, ended: LocalMessage): void {
    const given = "input" in began ? { input: began.input } : {};
    const result =
      ended.status === "failed" ? { error: ended.error } : ended.status === "succeeded" ? { output: ended.output } : {};
    const causes = this.#scope.causes();
    const asked = this.#operations.step({
      scope: this.#scope.path,
      name: began.target,
      causes,
      input: { value: { ...given, ...result } },
      run: () => {
        if (ended.status === "failed") throw new StepError(ended.error);
        return ended.status === "succeeded" ? ended.output : null;
      },
    });
    this.#told.add(this.#hold(asked, causes, () => {}));
  }

  #hold(asked: Promise<Outcome>, causes: readonly number[], settled: (outcome: Outcome) => void): Promise<void> {
    const held: Promise<void> = asked
      .then((outcome) => {
        this.#scope.delivered(outcome.seq, causes);
        settled(outcome);
      })
      // What cannot be asked at all was refused before it was sent.
      .catch(() => {})
      .finally(() => this.#open.delete(held));
    this.#open.add(held);
    return held;
  }

  async #end(report: Report): Promise<unknown> {
    await Promise.all(report.open === "await" ? this.#open : this.#told);
    if (report.ok) return report.output;
    throw new StepError(report.error);
  }
}
