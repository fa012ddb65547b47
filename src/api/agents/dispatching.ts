/** Finds a node for each execution that is due, and gives it to it. */
import { randomBytes } from "node:crypto";
import type { RunId } from "../../core/event.ts";
import { isStemmaError } from "../../core/error.ts";
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
import type { Given } from "./dispatch.ts";
import { give, held, tellToStop } from "./dispatch.ts";
import type { Parcel } from "./dispatch.ts";
import type { Dispatcher, ToDispatch } from "./execution-body.ts";
import type { Asked } from "./execution.ts";
import type { Lines } from "./lines.ts";
import type { AskMessage, Message } from "./messages.ts";
import { queue } from "./messages.ts";
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

/** How long an execution waits for a node by itself; it is told earlier where something is known to have changed. */
const waitMs = { away: 200, awayMax: 30_000, unknown: 1000, unknownMax: 60_000, busy: 15_000 };

/** How often it is looked whether a node that holds the line has spoken to another server. */
const lookMs = { first: 500, most: 5000 };
/** How long behind what a node says its answer may be that it reports by itself. */
const graceMs = 250;
/** How often what came of a line is said where the store does not take it. */
const sayMax = 10;

/** How far up the callers of an execution are looked through. */
const callersMax = 1000;

export class Dispatching implements Dispatcher {
  readonly #with: DispatchingParts;

  constructor(parts: DispatchingParts) {
    this.#with = parts;
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

  async #give(
    { run, input, n, isFirst, idempotencyKey }: ToDispatch,
    node: Node,
    called: KeptFunction,
    abort: AbortSignal,
  ): Promise<Given> {
    const { stemma, circuits, slots } = this.#with;
    const { registration } = node;
    const { url, instance } = registration;
    const row = await stemma.row(run);
    // After a crash a node may have it although nobody knows.
    const isOnly = isFirst && row.claims <= 1;
    const token = isOnly ? run : `${run}.${n}${randomBytes(4).toString("hex")}`;
    slots.take(run, instance, isOnly ? 0 : await this.#waitsFor(run));
    circuits.tried(url);
    const headers = await this.#headers(row, token, n, idempotencyKey);
    const given = await this.#atTheLine({ registration, called, token, input, headers, abort }, node, { run, n });
    if (given.state !== "working") slots.free(run);
    return given;
  }

  /**
   * A node that answers with the result may speak of the execution before: it calls others, or tells what it does. What it
   * says is taken in when it is on record that it has the execution, so that is said as soon as it speaks, and what it
   * answers in the end is a message like any report. One that says `202` may speak before that is here, so that is waited for.
   */
  async #atTheLine(parcel: Parcel, node: Node, which: { run: RunId; n: number }): Promise<Given> {
    const { lines } = this.#with;
    const { token, abort } = parcel;
    const { spoke, cut } = lines.open(token, node.registration.instance);
    const own = new AbortController();
    const stop = (): void => own.abort(abort.reason);
    abort.addEventListener("abort", stop, { once: true });
    const answered = give({ ...parcel, abort: AbortSignal.any([own.signal, cut]) }).then((given) => {
      this.#worked(given, node);
      return this.#own(given, `${node.registration.node}.${parcel.called.name}`);
    });
    const done = new AbortController();
    try {
      const first = await Promise.race([answered, this.#spoken(which.run, spoke, done.signal)]);
      // What it said before it answered is on its way to the run: its answer goes the same way, behind that.
      const isEnd = first?.state === "done" || first?.state === "failed";
      if (first !== undefined && !(isEnd && lines.isHeard(token))) {
        lines.close(token);
        return first;
      }
    } finally {
      done.abort();
      abort.removeEventListener("abort", stop);
    }
    if (abort.aborted) return answered.finally(() => lines.close(token));
    void answered
      .then((given) => this.#say(which, token, given))
      .catch((error: unknown) =>
        this.#with.log.warn("What a node answered is lost", { ...which, error: String(error) }),
      )
      .finally(() => lines.close(token));
    return held(parcel);
  }

  /** Until the node has spoken of it: to this server, or to another one, which is seen by what waits for the run. */
  async #spoken(run: RunId, spoke: Promise<void>, done: AbortSignal): Promise<undefined> {
    let isSpoken = false;
    void spoke.then(() => (isSpoken = true));
    for (let ms = lookMs.first; !isSpoken && !done.aborted; ms = Math.min(ms * 2, lookMs.most)) {
      await Promise.race([spoke, pause(ms, done)]);
      if (isSpoken || done.aborted) break;
      const row = await this.#with.stemma.row(run).catch(() => undefined);
      isSpoken = row !== undefined && row.inbox > row.inboxDone;
    }
    await pause(graceMs, done);
  }

  async #own(given: Given, target: string): Promise<Given> {
    if (given.state !== "done" && given.state !== "failed") return given;
    for (const { told } of this.#with.hooks) await told?.({ token: given.token, target });
    if (given.state === "failed" || !("output" in given)) return given;
    const output = this.#with.hooks.reduce((value, { result }) => (result ? result(value) : value), given.output);
    return { ...given, output };
  }

  #worked(given: Given, node: Node): void {
    const { circuits, registry } = this.#with;
    const { url } = node.registration;
    if (given.state !== "away") return circuits.worked(url);
    circuits.failed(url, Date.now());
    registry.look(node);
  }

  /** What a node that held the line has answered. */
  async #say({ run, n: dispatch }: { run: RunId; n: number }, token: string, given: Given): Promise<void> {
    const [message, key] = ((): [Message, string] => {
      switch (given.state) {
        case "done":
          return [
            { kind: "result", token, ok: true, ...("output" in given ? { output: given.output } : {}) },
            `result ${token}`,
          ];
        case "failed": {
          const { error, final } = given;
          const more = final === undefined ? {} : { final };
          return [{ kind: "result", token, ok: false, error, ...more }, `result ${token}`];
        }
        case "working":
          return [{ kind: "took", dispatch }, `took ${dispatch}`];
        case "away":
        case "busy":
          return [{ kind: "lost", dispatch, why: "its line broke" }, `lost ${dispatch}`];
      }
    })();
    for (let tries = 1; ; tries += 1) {
      try {
        await this.#with.stemma.signal(run, queue, message, { idempotencyKey: key });
        return;
      } catch (error) {
        if (isStemmaError(error, "run.ended")) return;
        if (tries === sayMax) throw error;
        await pause(lookMs.first * tries);
      }
    }
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

function pause(ms: number, done?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms);
    done?.addEventListener("abort", end, { once: true });
    function end(): void {
      clearTimeout(timer);
      done?.removeEventListener("abort", end);
      resolve();
    }
    if (done?.aborted === true) end();
  });
}

function waiting(why: "busy" | "away" | "unknown", ms: number, max: number): Extract<Dispatch, { state: "waiting" }> {
  return { state: "waiting", why, retryMs: Math.round(Math.min(ms, max)) };
}
