/** What is asked of executions over HTTP: each becomes a run, a message to a run, or a look at what is on record of one. */
import { randomUUID } from "node:crypto";
import { milliseconds, timeLimit } from "../../core/duration.ts";
import { StemmaError, isStemmaError } from "../../core/error.ts";
import type { Event, RunId, Value } from "../../core/event.ts";
import { decode, encode } from "../../core/json.ts";
import { checkId, checkName, checkTags } from "../../core/name.ts";
import { isTerminal } from "../../core/run.ts";
import { callerOf } from "../../engine/children.ts";
import { readTexts } from "../../engine/history-pages.ts";
import { isFunctionName, partsOfFunction } from "../../engine/node-function.ts";
import type { By } from "../../engine/requests.ts";
import { expectWork } from "../../engine/options.ts";
import type { Stemma } from "../../engine/stemma.ts";
import { fromValue } from "../../engine/value.ts";
import type { RunRow } from "../../store/store.ts";
import type { CourseCall, CourseQuestion, Place } from "./course.ts";
import type { Courses, Known } from "./courses.ts";
import type { Asked, CallGiven, Execution, LocalCall, Question, Report } from "./execution.ts";
import { callId, readId } from "./execution.ts";
import type { AskMessage, CallMessage, Message } from "./messages.ts";
import { ownNames, queue } from "./messages.ts";
import type { Wakes } from "./wakes.ts";

export type ExecutionsParts = {
  stemma: Stemma;
  courses: Courses;
  wakes: Wakes;
  /** Throws node.not_found, function.not_found. */
  checkTarget(target: string): void;
  /** A node said something of what it was given under this id. */
  heard(token: string): void;
};

export type WaitOptions = { waitMs?: number; signal?: AbortSignal };

/** How long a caller that does not take its messages (it is paused, or its worker busy) is waited for. */
const takenMs = 5000;

export class Executions {
  readonly #with: ExecutionsParts;

  constructor(parts: ExecutionsParts) {
    this.#with = parts;
  }

  async call(given: CallGiven): Promise<Execution> {
    const { stemma, checkTarget } = this.#with;
    const { target, input, caller, timeout, tags } = given;
    partsOfFunction(target);
    checkTarget(target);
    if (caller !== undefined) return this.#callBy(caller, given);
    const { idempotencyKey, context, by, delay, run: id } = given;
    const run = await stemma.run(stemma.workflow(target), input, {
      ...(id === undefined ? {} : { id }),
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      ...(context === undefined ? {} : { context }),
      ...(by === undefined ? {} : { by }),
      ...(delay === undefined ? {} : { delay }),
      ...(timeout === undefined ? {} : { timeout }),
      ...(tags === undefined ? {} : { tags }),
    });
    return this.read(run.id);
  }

  async #callBy(caller: string, given: CallGiven): Promise<Execution> {
    const { target, tags, timeout, matching, note } = given;
    const { run, token } = this.#inHand(caller);
    const id = checkId(given.idempotencyKey ?? randomUUID(), "idempotencyKey");
    const message: CallMessage = {
      kind: "call",
      id,
      token,
      target,
      ...copied(given, "input"),
      ...copied(given, "context"),
      ...(tags === undefined ? {} : { tags: checkTags(tags) }),
      ...(timeout === undefined ? {} : { timeoutMs: timeLimit(timeout, `timeout of ${target}`) }),
      ...(matching === "earliest" ? { matching } : {}),
      ...(note === undefined ? {} : { note }),
    };
    await this.#send(run, message, `call ${id}`);
    const isKnown = (call: CourseCall | undefined): boolean =>
      call?.run !== undefined || (call !== undefined && call.state !== "open");
    await this.#until(run, takenMs, ({ course, row }) => {
      return isTerminal(row.state.status) || isKnown(course.byMessage.get(id) as CourseCall | undefined);
    });
    return this.read(callId(run, id));
  }

  /** What a node was given: a run, and by which id. Throws usage.invalid for the id of a call that has no run. */
  #inHand(id: string): { run: RunId; token: string } {
    const { run, token, call } = readId(id);
    if (call === undefined) return { run, token };
    throw new StemmaError("usage.invalid", `Expected the id of an execution that a node works on, got that of a call.`);
  }

  /** Throws run.not_found, run.ended, usage.invalid where the run is no execution. */
  async #send(run: RunId, message: Message, key: string, by: By = {}): Promise<{ accepted: boolean }> {
    const { workflow } = (await this.#with.stemma.row(run)).state;
    if (!isFunctionName(workflow)) {
      throw new StemmaError(
        "usage.invalid",
        `Expected an execution of a function of a node, got a run of ${workflow}.`,
      );
    }
    const sent = await this.#with.stemma.signal(run, queue, message, { ...by, idempotencyKey: key });
    if ("token" in message) this.#with.heard(message.token);
    return sent;
  }

  #until(run: RunId, ms: number, isDone: (known: Known) => boolean, signal?: AbortSignal): Promise<Known> {
    const { courses, wakes } = this.#with;
    const look = async (): Promise<{ found: Known; done: boolean }> => {
      const found = await courses.read(run);
      return { found, done: isDone(found) };
    };
    return wakes.until(run, look, { ms, signal });
  }

  // ---- looking ---------------------------------------------------------------------------------------------------

  async read(id: string, { waitMs = 0, signal }: WaitOptions = {}): Promise<Execution> {
    const { run, call } = readId(id);
    if (call === undefined) return this.#readRun(run, waitMs, signal);
    const until = performance.now() + waitMs;
    const isKnown = ({ course, row }: Known): boolean => {
      const found = course.byMessage.get(call) as CourseCall | undefined;
      return found?.run !== undefined || (found ?? { state: "open" }).state !== "open" || isTerminal(row.state.status);
    };
    const known = await this.#until(run, waitMs, isKnown, signal);
    const found = known.course.byMessage.get(call);
    if (found !== undefined && !("target" in found)) throw notFound(id);
    if (found?.run !== undefined && found.reused === undefined) {
      return this.#readRun(found.run, Math.max(0, until - performance.now()), signal);
    }
    return this.#readCall(run, call, known, found);
  }

  /** A call that has no run of its own: it was reused, or is still to be made. */
  async #readCall(run: RunId, id: string, { row }: Known, call: CourseCall | undefined): Promise<Execution> {
    const isOver = isTerminal(row.state.status);
    if (call === undefined && isOver) throw notFound(callId(run, id));
    const common: Pick<Execution, "id" | "target" | "attempt" | "waits" | "family"> = {
      id: callId(run, id),
      target: call?.target ?? "",
      attempt: 0,
      waits: [],
      family: row.state.family,
    };
    if (call === undefined) return { ...common, status: "queued" };
    const [message] = call.messages;
    const more = {
      ...(message !== undefined && "input" in message ? { input: message.input } : {}),
      caller: { run, key: call.key },
      ...(call.reused === undefined ? {} : { reused: call.reused }),
    };
    if (call.state === "open") return { ...common, ...more, status: isOver ? "cancelled" : "queued" };
    const ended = call.ended === undefined ? undefined : await this.#eventAt(run, call.ended);
    const at = ended === undefined ? {} : { createdAt: ended.at, endedAt: ended.at };
    if (call.state === "failed") {
      return {
        ...common,
        ...more,
        ...at,
        status: "failed",
        ...(call.error === undefined ? {} : { error: call.error }),
      };
    }
    const value = ended !== undefined && "output" in ended.data ? ended.data.output : undefined;
    const output = value === undefined ? undefined : await this.#value(run, value);
    return { ...common, ...more, ...at, status: "succeeded", ...(output === undefined ? {} : { output }) };
  }

  async #readRun(run: RunId, waitMs: number, signal: AbortSignal | undefined): Promise<Execution> {
    const { row, course, input, createdAt } = await this.#until(
      run,
      waitMs,
      ({ row: { state } }) => isTerminal(state.status),
      signal,
    );
    const { workflow, status, family, origin, error, startedAt, endedAt } = row.state;
    const caller = callerOf(origin);
    const given = await this.#value(run, input);
    const tried = course.dispatches.findLast((one) => one.state !== "waiting");
    const open = course.questions.filter(({ answer }) => answer === undefined);
    return {
      id: run,
      run,
      target: workflow,
      status,
      family,
      attempt: course.dispatches.filter(({ state }) => state !== "waiting").length,
      waits: isTerminal(status) ? [] : open.map(({ key }) => key),
      createdAt,
      ...(given === undefined ? {} : { input: given }),
      ...(status === "succeeded" ? await this.#output(row) : {}),
      ...(error === undefined ? {} : { error }),
      ...(caller === undefined ? {} : { caller: { run: caller.run, key: caller.key } }),
      ...(tried === undefined ? {} : { node: nodeOf(tried.place) }),
      ...(startedAt === undefined ? {} : { startedAt }),
      ...(endedAt === undefined ? {} : { endedAt }),
    };
  }

  async #output({ id, state }: RunRow): Promise<{ output?: unknown }> {
    const last = await this.#eventAt(id, state.seq);
    const output = last?.type === "run.succeeded" ? await this.#value(id, last.data.output) : undefined;
    return output === undefined ? {} : { output };
  }

  async #eventAt(run: RunId, seq: number): Promise<Event | undefined> {
    const events = await this.#with.stemma.history(run, { after: seq - 1 });
    return events.find((event) => event.seq === seq);
  }

  async #value(run: RunId, value: Value): Promise<unknown> {
    const digests = "digest" in value ? [value.digest] : [];
    return fromValue(value, await readTexts(this.#with.stemma.store, run, digests));
  }

  // ---- what nodes say ----------------------------------------------------------------------------------------------

  async report(id: string, report: Report, by?: By): Promise<{ accepted: boolean }> {
    const { run, token } = this.#inHand(id);
    const copy = report.ok
      ? { ok: true as const, ...copied(report, "output") }
      : { ok: false as const, error: report.error, ...(report.final === undefined ? {} : { final: report.final }) };
    const message: Message = {
      kind: "result",
      token,
      ...copy,
      ...(report.open === undefined ? {} : { open: report.open }),
    };
    try {
      const { accepted } = await this.#send(run, message, `result ${token}`, by);
      if (accepted) return { accepted };
    } catch (error) {
      if (!isStemmaError(error, "run.ended")) throw error;
    }
    return this.#sameEnd(run, report);
  }

  /** It has ended, or is about to: in this way, or another one did. Throws run.ended. */
  async #sameEnd(run: RunId, report: Report): Promise<{ accepted: false }> {
    const { row, course } = await this.#until(run, takenMs, (known) => {
      return isTerminal(known.row.state.status) || known.course.report !== undefined || known.course.failures > 0;
    });
    const { status } = row.state;
    const said = course.report?.ok ?? (course.failures > 0 ? false : undefined);
    const ok = isTerminal(status)
      ? status === "cancelled" || status === "timed_out"
        ? undefined
        : status === "succeeded"
      : said;
    if (ok === report.ok) return { accepted: false };
    const message = `Execution ${run} has ended already: it ${status.replace("_", " ")}. What is on record is not changed.`;
    throw new StemmaError("run.ended", message, { data: { run, status } });
  }

  async local(id: string, call: LocalCall): Promise<void> {
    const { run, token } = this.#inHand(id);
    partsOfFunction(call.target);
    checkId(call.id, "id of a local call");
    const { id: own, target, parent, ms, note } = call;
    const ended =
      call.status === "failed"
        ? { status: call.status, error: call.error }
        : call.status === "succeeded"
          ? { status: call.status, ...copied(call, "output") }
          : { status: call.status };
    const message: Message = {
      kind: "local",
      token,
      id: own,
      target,
      ...copied(call, "input"),
      ...(parent === undefined ? {} : { parent }),
      ...(ms === undefined ? {} : { ms }),
      ...(note === undefined ? {} : { note }),
      ...ended,
    };
    await this.#send(run, message, `local ${call.status === "running" ? "begins" : "ends"} ${own}`);
  }

  async ask(id: string, question: Question, by?: By): Promise<Asked> {
    const { run, token } = this.#inHand(id);
    const { name, prompt, reason, schema, expires, tags, note } = question;
    checkName(name, "name of a question");
    if (ownNames.has(name)) {
      throw new StemmaError("usage.invalid", `Expected another name for a question: ${JSON.stringify(name)} is taken.`);
    }
    const key = checkId(question.idempotencyKey ?? randomUUID(), "idempotencyKey");
    const message: AskMessage = {
      kind: "ask",
      id: key,
      token,
      name,
      ...copied(question, "input"),
      ...(prompt === undefined ? {} : { prompt }),
      ...(reason === undefined ? {} : { reason }),
      ...(schema === undefined ? {} : { schema }),
      ...(tags === undefined ? {} : { tags: checkTags(tags) }),
      ...(note === undefined ? {} : { note }),
      ...(expires === undefined ? {} : { expiresMs: milliseconds(expires, `expiry of ${name}`) }),
    };
    await this.#send(run, message, `ask ${key}`, by);
    const { course, row } = await this.#until(run, takenMs, (known) => {
      return known.course.byMessage.has(key) || isTerminal(known.row.state.status);
    });
    const asked = course.byMessage.get(key) as CourseQuestion | undefined;
    if (asked !== undefined) return this.readAsked(run, asked.key);
    const why = isTerminal(row.state.status) ? `it ${row.state.status}` : "it is paused, or nobody works on it";
    throw new StemmaError("run.ended", `Execution ${run} has not asked: ${why}.`, { data: { run } });
  }

  async readAsked(id: string, wait: string, { waitMs = 0, signal }: WaitOptions = {}): Promise<Asked> {
    const { run } = this.#inHand(id);
    const isWait = ({ key }: CourseQuestion): boolean => key === wait;
    const { course, row } = await this.#until(
      run,
      waitMs,
      (known) => isTerminal(known.row.state.status) || known.course.questions.find(isWait)?.answer !== undefined,
      signal,
    );
    const question = course.questions.find(isWait);
    if (question === undefined) {
      const message = `Execution ${run} has asked nothing under ${JSON.stringify(wait)}.`;
      throw new StemmaError("wait.not_open", message, { data: { run, wait } });
    }
    const { answer } = question;
    if (answer === undefined) return { run, wait, state: isTerminal(row.state.status) ? "withdrawn" : "open" };
    const value = answer.value === undefined ? undefined : await this.#value(run, answer.value);
    return {
      run,
      wait,
      state: answer.state,
      ...(value === undefined ? {} : { value }),
      ...(answer.error === undefined ? {} : { error: answer.error }),
    };
  }

  async cancel(id: string, by: By = {}): ReturnType<Stemma["cancel"]> {
    const { call } = readId(id);
    const { run, status } = call === undefined ? { run: readId(id).run, status: undefined } : await this.read(id);
    if (run === undefined) return { accepted: false, status: status ?? "queued" };
    // Who may end an execution does not end what the server keeps in the form of a run, such as a webhook.
    expectWork(await this.#with.stemma.row(run));
    return this.#with.stemma.cancel(run, by);
  }
}

function nodeOf({ node, version, instance }: Place): NonNullable<Execution["node"]> {
  return { node, version, instance };
}

/** A part of what was given, as JSON says it; left out where there is none. Throws json.*. */
function copied<K extends string>(given: { [name in K]?: unknown }, name: K): { [name in K]?: unknown } {
  const text = encode(given[name], name);
  return (text === undefined ? {} : { [name]: decode(text) }) as { [name in K]?: unknown };
}

function notFound(id: string): StemmaError {
  return new StemmaError("run.not_found", `There is no execution ${id} in this store.`, { data: { execution: id } });
}
