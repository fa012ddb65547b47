/** What a node has in hand: executions that it was given, from the moment it took them until the server has their results. */
import { isStemmaError, StemmaError } from "../../core/error.ts";
import { decode, encode } from "../../core/json.ts";
import type { Log } from "../../engine/body.ts";
import { toRecord } from "../../engine/failure.ts";
import { verdictOf } from "../../engine/verdict.ts";
import { checkFit } from "../../engine/schema.ts";
import type { Report } from "../agents/execution.ts";
import type { Connection } from "../client/connection.ts";
import type { AgentContext } from "./agent-context.ts";
import { agentContext } from "./agent-context.ts";
import type { FunctionOptions } from "./agent.ts";
import { pause } from "./pause.ts";
import { patiently } from "./patiently.ts";

export type AgentFunction = {
  kind: "reasoner" | "skill";
  name: string;
  options: FunctionOptions<unknown, unknown>;
  run: (ctx: AgentContext, input: unknown) => unknown;
};

export type WorkParts = {
  node: { nodeId: string; version: string; instance: string; concurrency?: number };
  functions: ReadonlyMap<string, AgentFunction>;
  connection: Connection;
  log: Log;
};

/** An execution as the server gives it. */
export type Parcel = { id: string; dispatch: string; run: string; idempotencyKey: string; input: unknown };

export type InHand = {
  readonly abort: AbortController;
  done: Promise<void>;
  /** Calls and questions that are open. */
  waitsFor: number;
  isOpen: boolean;
};

const knownMax = 10_000;

export class Work {
  readonly node: WorkParts["node"];
  readonly #with: WorkParts;
  readonly #inHand = new Map<string, InHand>();
  /** Dispatches that came before, so that one that comes again, under another id perhaps, is not a second one. */
  readonly #known = new Map<string, InHand>();
  readonly #ended = new AbortController();
  #draining = false;

  constructor(parts: WorkParts) {
    this.node = parts.node;
    this.#with = parts;
  }

  /** Takes an execution; `busy` where there is no room for it now, `unknown` where there is no such function. */
  take(name: string, parcel: Parcel): "taken" | "busy" | "unknown" {
    const called = this.#with.functions.get(name);
    if (called === undefined) return "unknown";
    const known = this.#known.get(parcel.dispatch);
    if (known !== undefined) {
      if (known.isOpen) this.#inHand.set(parcel.id, known);
      return "taken";
    }
    const busy = [...new Set(this.#inHand.values())].filter(({ waitsFor }) => waitsFor === 0).length;
    if (this.#draining || busy >= (this.node.concurrency ?? Infinity)) return "busy";
    const inHand: InHand = { abort: new AbortController(), done: Promise.resolve(), waitsFor: 0, isOpen: true };
    this.#known.set(parcel.dispatch, inHand);
    for (const oldest of this.#known.keys()) if (this.#known.size > knownMax) this.#known.delete(oldest);
    this.#inHand.set(parcel.id, inHand);
    inHand.done = this.#carryOut(called, parcel, inHand);
    return "taken";
  }

  /** Nobody wants it any more. False where it is not in hand. */
  cancel(id: string): boolean {
    const found = this.#inHand.get(id);
    found?.abort.abort(new StemmaError("run.cancelled", `Execution ${id} is not wanted any more.`));
    return found !== undefined;
  }

  /** Takes nothing new, and waits for what is in hand. */
  async drain(timeoutMs: number): Promise<void> {
    this.#draining = true;
    const all = Promise.all([...this.#inHand.values()].map(({ done }) => done));
    const late = new AbortController();
    await Promise.race([all, pause(timeoutMs, late.signal)]);
    late.abort();
  }

  /** Lets go of what is left. */
  end(): void {
    this.#ended.abort();
    for (const id of this.#inHand.keys()) this.cancel(id);
  }

  // ---- one execution ---------------------------------------------------------------------------------------------

  async #carryOut(called: AgentFunction, parcel: Parcel, inHand: InHand): Promise<void> {
    const { id } = parcel;
    const report = await this.#enter(called, parcel, inHand);
    inHand.isOpen = false;
    for (const [one, found] of this.#inHand) if (found === inHand) this.#inHand.delete(one);
    if (this.#ended.signal.aborted) return;
    await this.#report(id, report).catch(async (error: unknown) => {
      const isOver = isStemmaError(error, "run.ended") || isStemmaError(error, "run.not_found");
      if (isOver || this.#ended.signal.aborted) return this.#with.log.info("A result was not wanted any more", { id });
      // What cannot be sent as it is says so in its place.
      await this.#report(id, { ok: false, error: toRecord(error), final: true }).catch((failed: unknown) => {
        this.#with.log.error("A result could not be reported", { id, error: String(failed) });
      });
    });
  }

  async #enter({ name, options, run }: AgentFunction, parcel: Parcel, inHand: InHand): Promise<Report> {
    const { nodeId } = this.node;
    try {
      const what = `The input does not fit ${nodeId}.${name}`;
      const { input: schema } = options;
      const input =
        schema === undefined ? parcel.input : await checkFit(schema, parcel.input, "workflow.invalid_input", what);
      const output = await run(agentContext(parcel, inHand, this.#with), input);
      const text = encode(output, `output of ${nodeId}.${name}`);
      return text === undefined ? { ok: true } : { ok: true, output: decode(text) };
    } catch (error) {
      const final = verdictOf(error).fatal === true || isStemmaError(error, "workflow.invalid_input");
      return { ok: false, error: toRecord(error), ...(final ? { final } : {}) };
    }
  }

  /** Asks until the server has it: it may have been paid for. */
  async #report(id: string, report: Report): Promise<void> {
    await patiently(this.#with, "POST /v1/calls/{call}/result", {
      params: { call: id },
      body: report,
      signal: this.#ended.signal,
    });
  }
}
