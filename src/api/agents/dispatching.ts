/** Finds a node for each execution that is due, and gives it to it. */
import { randomBytes } from "node:crypto";
import type { RunId } from "../../core/event.ts";
import type { Log, Outcome } from "../../engine/body.ts";
import { callerOf } from "../../engine/children.ts";
import { toRecord } from "../../engine/failure.ts";
import { partsOfFunction } from "../../engine/node-function.ts";
import type { Stemma } from "../../engine/stemma.ts";
import type { RunRow } from "../../store/store.ts";
import type { AgentsHooks } from "./agents.ts";
import { freePlaces } from "./care.ts";
import type { Circuits } from "./circuit.ts";
import type { CourseQuestion, Dispatch, Place } from "./course.ts";
import type { Courses } from "./courses.ts";
import { AtTheLine } from "./at-the-line.ts";
import type { Given } from "./dispatch.ts";
import { tellToStop } from "./dispatch.ts";
import type { Dispatcher, ToDispatch } from "./execution-body.ts";
import type { Asked } from "./execution.ts";
import type { Lines } from "./lines.ts";
import type { AskMessage } from "./messages.ts";
import type { KeptFunction } from "./node.ts";
import type { Node, Registry } from "./registry.ts";
import type { Turns } from "./routing.ts";
import type { Slots } from "./slots.ts";

export type DispatchingParts = {
  stemma: Stemma;
  hooks: readonly AgentsHooks[];
  registry: Registry;
  courses: Courses;
  slots: Slots;
  circuits: Circuits;
  turns: Turns;
  lines: Lines;
  log: Log;
  /** Until it is known who works on what. */
  ready: () => Promise<void>;
};

type Label = { token: string; inbox: number; headers: Record<string, string>; waitsFor: number };

/** How long an execution waits for a node by itself; it is told earlier where something is known to have changed. */
const waitMs = { away: 200, awayMax: 30_000, unknown: 1000, unknownMax: 60_000, busy: 15_000 };

/** How far up the callers of an execution are looked through. */
const callersMax = 1000;

export class Dispatching implements Dispatcher {
  readonly #with: DispatchingParts;
  readonly #atTheLine: AtTheLine;

  constructor(parts: DispatchingParts) {
    this.#with = parts;
    this.#atTheLine = new AtTheLine(parts);
  }

  async dispatch(execution: ToDispatch, abort: AbortSignal): Promise<Dispatch> {
    const { registry, circuits, slots, turns, ready } = this.#with;
    await ready();
    const { run, n, waits } = execution;
    const parts = partsOfFunction(execution.target);
    const able = registry.of(parts.node).flatMap((node) => {
      const called = node.registration.functions.find(({ name }) => name === parts.function);
      return called === undefined ? [] : [{ ...node.registration, at: node, called }];
    });
    if (able.length === 0) return waiting("unknown", waitMs.unknown * 2 ** waits, waitMs.unknownMax);
    /** Where nobody listened just now. */
    const refused = new Set<string>();
    for (;;) {
      const now = Date.now();
      const up = able.filter(({ at, url }) => at.state !== "down" && !refused.has(url) && circuits.mayTry(url, now));
      if (up.length === 0) {
        const rest = Math.min(...able.map(({ url }) => circuits.restMs(url, now)));
        return waiting("away", Math.max(rest, waitMs.away * 2 ** waits), waitMs.awayMax);
      }
      const free = up.filter(({ at }) => freePlaces(at, slots) > 0);
      const chosen = turns.next(parts.node, free);
      if (chosen === undefined) {
        slots.queue(parts.node, run, n);
        return waiting("busy", waitMs.busy, waitMs.busy);
      }
      const given = await this.#give(execution, chosen.at, chosen.called, abort);
      if (given.state !== "away" && given.state !== "busy") return given;
      if (given.state === "busy") {
        slots.queue(parts.node, run, n);
        return waiting("busy", waitMs.away * 2 ** waits, waitMs.busy);
      }
      // Where it cannot have got to, another one may have it at once.
      if (given.sent) return { ...waiting("away", waitMs.away * 2 ** waits, waitMs.awayMax), sent: true };
      refused.add(chosen.url);
    }
  }

  async #give(execution: ToDispatch, node: Node, called: KeptFunction, abort: AbortSignal): Promise<Given> {
    const { circuits, slots } = this.#with;
    const { run, n, input } = execution;
    const { registration } = node;
    const { url, instance } = registration;
    // In the turn in which the place was free: what becomes due in the same moment sees that it is taken.
    slots.take(run, instance);
    let isWorking = false;
    try {
      const { token, inbox, headers, waitsFor } = await this.#label(execution);
      if (waitsFor > 0) slots.take(run, instance, waitsFor);
      circuits.tried(url);
      const given = await this.#atTheLine.give(
        { registration, called, token, input, headers, abort },
        { run, n, inbox, worked: (came) => this.#worked(came, node) },
      );
      isWorking = given.state === "working";
      return given;
    } finally {
      if (!isWorking) slots.free(run);
    }
  }

  /** Under which id it is given out, and what is said with it. */
  async #label({ run, n, isFirst, idempotencyKey }: ToDispatch): Promise<Label> {
    const row = await this.#with.stemma.row(run);
    // After a crash a node may have it although nobody knows.
    const isOnly = isFirst && row.claims <= 1;
    const token = isOnly ? run : `${run}.${n}${randomBytes(4).toString("hex")}`;
    const waitsFor = isOnly ? 0 : await this.#waitsFor(run);
    return { token, inbox: row.inbox, waitsFor, headers: await this.#headers(row, token, n, idempotencyKey) };
  }

  #worked(given: Given, node: Node): void {
    const { circuits, registry } = this.#with;
    const { url } = node.registration;
    if (given.state !== "away") return circuits.worked(url);
    circuits.failed(url, Date.now());
    registry.look(node);
  }

  async #waitsFor(run: RunId): Promise<number> {
    const { course } = await this.#with.courses.read(run);
    return course.openCalls + course.questions.filter(({ answer }) => answer === undefined).length;
  }

  async #headers(row: RunRow, token: string, n: number, idempotencyKey: string): Promise<Record<string, string>> {
    const root = await this.#root(row);
    const caller = await this.#callerToken(row);
    const headers: Record<string, string> = {
      "x-run-id": root,
      "x-workflow-id": root,
      "x-execution-id": token,
      "x-stemma-dispatch": `${row.id}.${n}`,
      "x-stemma-idempotency-key": idempotencyKey,
      ...(caller === undefined ? {} : { "x-parent-execution-id": caller }),
    };
    for (const hook of this.#with.hooks) {
      if (hook.headers === undefined) continue;
      Object.assign(headers, await hook.headers({ row, root, ...(caller === undefined ? {} : { caller }) }));
    }
    return headers;
  }

  /** The run that nobody called, from which calls lead to this one. */
  async #root(row: RunRow): Promise<RunId> {
    let at = row;
    for (let depth = 0; depth < callersMax; depth += 1) {
      const caller = callerOf(at.state.origin);
      if (caller === undefined) return at.id;
      at = await this.#with.stemma.row(caller.run);
    }
    return at.id;
  }

  /** Under which id the node that called it has the execution that did. */
  async #callerToken({ state }: RunRow): Promise<string | undefined> {
    const caller = callerOf(state.origin);
    if (caller === undefined) return undefined;
    const { course } = await this.#with.courses.read(caller.run);
    const call = course.calls.find(({ key }) => key === caller.key);
    return call?.messages.at(-1)?.token ?? caller.run;
  }

  stop(token: string, place: Place): Promise<void> {
    return tellToStop(token, place, "its time is up");
  }

  async told(run: string, { key }: CourseQuestion, message: AskMessage, outcome: Outcome): Promise<void> {
    const { hooks } = this.#with;
    const asked: Asked = outcome.ok
      ? { run, wait: key, state: "answered", value: outcome.value }
      : { run, wait: key, state: "failed", error: toRecord(outcome.error) };
    for (const { answered } of hooks) await answered?.({ run, token: message.token, note: message.note, asked });
  }
}

function waiting(why: "busy" | "away" | "unknown", ms: number, max: number): Extract<Dispatch, { state: "waiting" }> {
  return { state: "waiting", why, retryMs: Math.round(Math.min(ms, max)) };
}
