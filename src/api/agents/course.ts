/**
 * What an execution has done so far, as a state machine over what its run is given: outcomes of dispatches, messages,
 * ends of calls. The body acts by it, and whoever reads the run's history puts the same things in and knows the same:
 * which call a message has become, to which node the execution was given last, whether it waits for one.
 *
 *     dispatch ──▶ working ──result──▶ end      (or dispatch again, where it may be retried)
 *        │ ▲          └──lost──▶ dispatch
 *        ▼ │ turn, late
 *       waiting
 */
import type { ErrorRecord, Produced, RunId, Seq, Timestamp, Value } from "../../core/event.ts";
import { labelOf } from "../../core/identity.ts";
import type { Json } from "../../core/json.ts";
import { canonical } from "../../core/json.ts";
import type { RetryPolicy } from "../../core/retry.ts";
import type { Asked, Report } from "./execution.ts";
import type { AskMessage, CallMessage, LocalMessage, Message } from "./messages.ts";

/** Which node, and which function of it. */
export type Place = { node: string; version: string; instance: string; url: string };

type Tried = { place: Place; token: string; retry?: RetryPolicy };

/**
 * What became of one dispatch. `working`: a node has it, and reports by itself; with `heldMs` it has not answered yet, and
 * does so within that time or never, to the server whose worker `holder` is, and to nobody else. `waiting`: no node can take it now; `sent` where one may have it all the same.
 */
export type Dispatch =
  | ({ state: "working"; at: number; timeoutMs?: number; heldMs?: number; holder?: string } & Tried)
  | ({ state: "done"; output?: unknown } & Tried)
  | ({ state: "failed"; error: ErrorRecord; final?: boolean } & Tried)
  | { state: "waiting"; why: "busy" | "away" | "unknown"; retryMs: number; sent?: true };

/** A call that the execution made; `messages` are all that asked for it, the first of them made it. */
export type CourseCall = {
  readonly key: string;
  readonly target: string;
  readonly messages: CallMessage[];
  state: "open" | "succeeded" | "failed";
  run?: RunId;
  reused?: { from: Produced; origin: Produced };
  error?: ErrorRecord;
  /** Seq of its outcome. */
  ended?: Seq;
};

export type CourseLocal = { readonly id: string; readonly began: LocalMessage; ended?: LocalMessage; key?: string };

/** `answer`, and when it was asked: only known to who reads the history. */
export type CourseQuestion = {
  readonly key: string;
  readonly messages: AskMessage[];
  askedAt?: Timestamp;
  answer?: { state: Exclude<Asked["state"], "open">; at: Timestamp; value?: Value; error?: ErrorRecord };
};

/** What the body is to do next. */
export type Action =
  | { do: "dispatch" }
  | { do: "listen" }
  | { do: "retry"; policy: RetryPolicy; failures: number; stop?: Place & { token: string } }
  | { do: "call"; call: CourseCall; message: CallMessage }
  | { do: "ask"; question: CourseQuestion; message: AskMessage }
  | { do: "local"; local: CourseLocal; message: LocalMessage }
  | { do: "end"; report: Report };

/** An execution whose nodes die so often is what they die of. */
const lossesMax = 10;

export class Course {
  readonly dispatches: Dispatch[] = [];
  readonly calls: CourseCall[] = [];
  readonly locals: Map<string, CourseLocal> = new Map<string, CourseLocal>();
  readonly questions: CourseQuestion[] = [];
  /** Every message by its id: the call or question that it has become. */
  readonly byMessage: Map<string, CourseCall | CourseQuestion> = new Map<string, CourseCall | CourseQuestion>();
  /** How it ended, as its node said. */
  report: Report | undefined;
  /** Nodes that died with it, and attempts that failed. */
  losses = 0;
  failures = 0;
  /** Dispatches in a row that found no node. */
  waits = 0;
  readonly #byKey = new Map<string, CourseCall>();
  readonly #paths = new Map<string, number>();
  /** Calls that may be joined, by what they ask; and how many of each every holder of the execution has asked for. */
  readonly #equalCalls = new Map<string, CourseCall[]>();
  readonly #equalQuestions = new Map<string, CourseQuestion[]>();
  readonly #asked = new Map<string, number>();

  /** The node that works on it, if one does. */
  get working(): Extract<Dispatch, { state: "working" }> | undefined {
    const last = this.dispatches.at(-1);
    return last?.state === "working" && this.report === undefined && !this.#isOut ? last : undefined;
  }

  /** Whether it waits for a node. */
  get isWaiting(): boolean {
    return this.dispatches.at(-1)?.state === "waiting" && !this.#isOut;
  }

  /** A dispatch is under way, or due. */
  #isOut = true;

  /** Whether a node may have it, or have had it: then the next is given it under another id. */
  get wasGiven(): boolean {
    return this.dispatches.some((one) => one.state !== "waiting" || one.sent === true);
  }

  get openCalls(): number {
    return this.calls.filter(({ state }) => state === "open").length;
  }

  dispatched(dispatch: Dispatch): Action {
    this.#isOut = false;
    this.dispatches.push(dispatch);
    this.waits = dispatch.state === "waiting" ? this.waits + 1 : 0;
    if (dispatch.state === "done") return this.#ended({ ok: true, ...output(dispatch) });
    if (dispatch.state === "failed") {
      const { error, final } = dispatch;
      return this.#ended({ ok: false, error, ...(final === undefined ? {} : { final }) });
    }
    return { do: "listen" };
  }

  take(message: Message): Action {
    switch (message.kind) {
      case "call":
        return this.#call(message);
      case "ask":
        return this.#ask(message);
      case "local":
        return this.#local(message);
      case "result": {
        const { kind: _kind, token: _token, ...report } = message;
        return this.#ended(report);
      }
      case "took":
        return this.#took(message.dispatch);
      case "lost":
        return message.dispatch === this.dispatches.length ? this.#lost(message.why) : { do: "listen" };
      case "turn":
        return message.dispatch === this.dispatches.length && this.isWaiting ? this.#again() : { do: "listen" };
      case "late":
        return this.#late();
    }
  }

  settled(key: string, ended: Partial<CourseCall>): void {
    const call = this.#byKey.get(key);
    if (call !== undefined) Object.assign(call, ended);
  }

  // ---- ends ----------------------------------------------------------------------------------------------------

  #again(): Action {
    this.#isOut = true;
    return { do: "dispatch" };
  }

  /** The node that held the line has said that it reports by itself. */
  #took(dispatch: number): Action {
    const last = this.dispatches[dispatch - 1];
    if (last?.state === "working") {
      const { heldMs: _heldMs, holder: _holder, ...taken } = last;
      this.dispatches[dispatch - 1] = taken;
    }
    return { do: "listen" };
  }

  #lost(why: string): Action {
    if (this.working === undefined) return { do: "listen" };
    this.losses += 1;
    if (this.losses < lossesMax) return this.#again();
    const message = `${this.losses} nodes in a row were lost while they worked on it; the last: ${why}.`;
    return this.#end({ ok: false, error: { name: "StemmaError", message, code: "node.lost" } });
  }

  #late(): Action {
    if (this.isWaiting) return this.#again();
    const { working } = this;
    // Whoever held its line would have said by now what came of it.
    if (working?.heldMs !== undefined) return this.#lost("nobody knows what it answered");
    if (working?.timeoutMs === undefined) return { do: "listen" };
    const message = `It took longer than ${working.timeoutMs} ms on ${working.place.node} ${working.place.version}.`;
    const error = { name: "StemmaError", message, code: "step.timed_out" };
    return this.#ended({ ok: false, error }, { ...working.place, token: working.token });
  }

  /** It has ended, unless it is to be tried again. */
  #ended(report: Report, stop?: Place & { token: string }): Action {
    const policy = this.#policy();
    if (report.ok || report.final === true || policy === undefined) return this.#end(report);
    this.failures += 1;
    if (this.failures >= policy.attempts) return this.#end(report);
    // What failed is made anew by the next attempt; what succeeded, or is under way, is its own.
    for (const [kind, list] of this.#equalCalls) {
      this.#equalCalls.set(
        kind,
        list.filter(({ state }) => state !== "failed"),
      );
    }
    this.#isOut = true;
    return { do: "retry", policy, failures: this.failures, ...(stop === undefined ? {} : { stop }) };
  }

  #end(report: Report): Action {
    this.report = report;
    return { do: "end", report };
  }

  #policy(): RetryPolicy | undefined {
    return this.dispatches.findLast((one) => one.state !== "waiting")?.retry;
  }

  // ---- calls and questions -------------------------------------------------------------------------------------

  #call(message: CallMessage): Action {
    const { target, input, matching } = message;
    const context = "context" in message ? [plain(message.context)] : [];
    const kind = canonical(["call", target, "input" in message ? [plain(input)] : [], context]);
    const list = listOf(this.#equalCalls, kind);
    const n = this.#count(message.token, kind);
    const isOwn = (call: CourseCall): boolean => call.messages.some(({ token }) => token === message.token);
    const earliest = matching === "earliest" ? list.find((one) => one.state === "succeeded" && !isOwn(one)) : undefined;
    const known = list[n] ?? earliest;
    if (known !== undefined) {
      known.messages.push(message);
      this.byMessage.set(message.id, known);
      return { do: "listen" };
    }
    const call: CourseCall = { key: this.#key(target), target, messages: [message], state: "open" };
    this.calls.push(call);
    this.#byKey.set(call.key, call);
    list.push(call);
    this.byMessage.set(message.id, call);
    return { do: "call", call, message };
  }

  #ask(message: AskMessage): Action {
    const kind = canonical(["ask", message.name, "input" in message ? [plain(message.input)] : []]);
    const list = listOf(this.#equalQuestions, kind);
    const known = list[this.#count(message.token, kind)];
    if (known !== undefined) {
      known.messages.push(message);
      this.byMessage.set(message.id, known);
      return { do: "ask", question: known, message };
    }
    const question: CourseQuestion = { key: this.#key(message.name), messages: [message] };
    this.questions.push(question);
    list.push(question);
    this.byMessage.set(message.id, question);
    return { do: "ask", question, message };
  }

  #local(message: LocalMessage): Action {
    const known = this.locals.get(message.id);
    if (message.status === "running") {
      if (known === undefined) this.locals.set(message.id, { id: message.id, began: message });
      return { do: "listen" };
    }
    if (known?.ended !== undefined) return { do: "listen" };
    const local: CourseLocal = known ?? { id: message.id, began: message };
    local.ended = message;
    local.key = this.#key(local.began.target);
    this.locals.set(message.id, local);
    return { do: "local", local, message };
  }

  #count(token: string, kind: string): number {
    const counted = `${token} ${kind}`;
    const n = this.#asked.get(counted) ?? 0;
    this.#asked.set(counted, n + 1);
    return n;
  }

  /** The label that the engine gives to the next ask of this name. */
  #key(name: string): string {
    const k = this.#paths.get(name) ?? 0;
    this.#paths.set(name, k + 1);
    return labelOf(name, k);
  }
}

function listOf<T>(lists: Map<string, T[]>, kind: string): T[] {
  const list = lists.get(kind) ?? [];
  lists.set(kind, list);
  return list;
}

/** What came as JSON is JSON; nothing is `undefined` but what is not there. */
function plain(value: unknown): Json {
  return (value ?? null) as Json;
}

function output(of: { output?: unknown }): { output?: unknown } {
  return "output" in of ? { output: of.output } : {};
}
