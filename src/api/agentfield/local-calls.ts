/**
 * Calls that an agent carries out in its own process and tells of by events: that it began, with what; how it ended. They
 * are kept with the execution inside which they happened. Their ids are the agent's own, and a call that goes out from
 * inside one names it as its parent, perhaps before its first event is here: nobody waits for those.
 */
import type { Json } from "../../core/json.ts";
import { isStemmaError } from "../../core/error.ts";
import { checkId } from "../../core/name.ts";
import { isTerminal } from "../../core/run.ts";
import type { LocalCall } from "../agents/execution.ts";
import type { Answer } from "./answer.ts";
import { ok, refusal } from "./answer.ts";
import { ownId, rowOf, treeRows } from "./executions.ts";
import type { CallHeaders } from "./headers.ts";
import type { Asked } from "./mount.ts";
import { objectOf } from "./restart-request.ts";
import { canonicalStatus } from "./status.ts";
import type { Wire } from "./wire.ts";

/** The execution in whose name a call is made, and the call inside it that it comes from. */
export type Caller = { id: string; local?: string };

/** How long the first event of a call inside an agent may be behind what that call asks for, and how often it is looked. */
const behindMsMax = 2000;
const lookMs = 20;

/**
 * Who calls. A parent that nobody knows is taken for something inside the run that is named beside it, and the call is
 * attached there: a call is never without its place. Undefined where nothing is known of it at all.
 */
export async function callerOf(wire: Wire, { parent = "", run, node }: CallHeaders): Promise<Caller | undefined> {
  if ((await rowOf(wire.stemma.store, runOf(parent))) !== undefined) return { id: ownId(parent) };
  const told = wire.locals.get(parent);
  if (told !== undefined) return { id: told, local: parent };
  const isKnownRun = run !== undefined && (await rowOf(wire.stemma.store, runOf(run))) !== undefined;
  if (!isKnownRun) return undefined;
  const known = (await searched(wire, run, parent)) ?? (await toldSoon(wire, parent));
  if (known !== undefined) return { id: known, local: parent };
  return { id: (await openAt(wire, run, node)) ?? runOf(run), local: parent };
}

/** The execution inside which a call is, once its first event is here. */
async function toldSoon(wire: Wire, local: string): Promise<string | undefined> {
  for (const until = Date.now() + behindMsMax; Date.now() < until && !wire.stopped.aborted;) {
    const id = wire.locals.get(local);
    if (id !== undefined) return id;
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
  return undefined;
}

function runOf(id: string): string {
  return ownId(id).split(/[.~]/)[0] ?? "";
}

/** Who was told by another server, or before this one was started. */
async function searched(wire: Wire, run: string, local: string): Promise<string | undefined> {
  for (const row of await treeRows(wire.stemma.store, runOf(run))) {
    if (isTerminal(row.state.status) || !wire.agents.isExecution(row)) continue;
    const found = (await wire.agents.course(row.id)).locals.get(local);
    if (found !== undefined) return found.began.token;
  }
  return undefined;
}

/** The execution of this run that is under way on a node, if it is the only one there. */
async function openAt(wire: Wire, run: string, node: string | undefined): Promise<string | undefined> {
  const rows = await treeRows(wire.stemma.store, runOf(run));
  const open = rows.filter(({ state }) => !isTerminal(state.status) && state.workflow.split(".")[0] === node);
  return open.length === 1 ? open[0]?.id : undefined;
}

/**
 * How long the end of an execution waits for what its node may have told on other lines, and for calls that have begun. Of a
 * function that was not heard of nobody knows whether it tells anything, and it connects for the first time perhaps.
 */
const graceMs = { known: 25, unknown: 100 };
const openMsMax = 1000;
const looksBehind = 5;

/** Until what a node told of calls inside an execution is here, as far as anybody can know. */
export async function untilTold(wire: Wire, execution: string, target: string): Promise<void> {
  const isTelling = wire.telling.get(target);
  if (isTelling === false) return;
  const ms = isTelling === undefined ? graceMs.unknown : graceMs.known;
  await new Promise((resolve) => setTimeout(resolve, ms));
  // However busy this process was meanwhile, what has come by now is looked at first.
  for (let i = 0; i < looksBehind; i += 1) await new Promise((resolve) => setImmediate(resolve));
  if (wire.telling.get(target) === undefined) wire.telling.set(target, false);
  await Promise.allSettled(wire.events);
  for (
    const until = Date.now() + openMsMax;
    Date.now() < until;
    await new Promise((resolve) => setTimeout(resolve, lookMs))
  ) {
    const { locals } = await wire.agents.course(execution);
    if ([...locals.values()].every(({ ended }) => ended !== undefined)) return;
  }
}

/** Takes an event; the end of the execution that it is of waits for it. */
export async function localEvent(wire: Wire, asked: Asked): Promise<Answer> {
  const taken = takeEvent(wire, asked);
  wire.events.add(taken);
  return taken.finally(() => wire.events.delete(taken));
}

async function takeEvent(wire: Wire, { body }: Asked): Promise<Answer> {
  const given = objectOf(body);
  const id = checkId(given["execution_id"], "execution_id");
  const parent = typeof given["parent_execution_id"] === "string" ? given["parent_execution_id"] : "";
  const run = typeof given["run_id"] === "string" ? given["run_id"] : undefined;
  const node = typeof given["agent_node_id"] === "string" ? given["agent_node_id"] : "";
  const name = typeof given["reasoner_id"] === "string" ? given["reasoner_id"] : "";
  const status = canonicalStatus(given["status"]);
  // Some agents tell of executions that they were given in this way too; those have ends of their own.
  if ((await rowOf(wire.stemma.store, runOf(id))) !== undefined) return ok({ success: true });
  if (node === "" || name === "" || parent === "") {
    return refusal(400, "Expected agent_node_id, reasoner_id and parent_execution_id with an event of a call.");
  }
  // Nobody waits for the first event before the second is sent; the input is in the first.
  if (status !== "running" && wire.locals.get(id) === undefined) await toldSoon(wire, id);
  const caller = await callerOf(wire, { parent, node, ...(run === undefined ? {} : { run }) });
  if (caller === undefined) return refusal(404, `There is no execution ${parent.slice(0, 100)} here.`);
  const row = await rowOf(wire.stemma.store, runOf(caller.id));
  if (row !== undefined) wire.telling.set(row.state.workflow, true);
  const common = {
    id,
    target: `${node}.${name}`,
    ...(caller.local === undefined ? {} : { parent: caller.local }),
    ...(typeof given["duration_ms"] === "number" ? { ms: given["duration_ms"] } : {}),
  };
  const call = callOf(common, status, given);
  if (call === undefined) return ok({ success: true });
  const sent = wire.agents.local(caller.id, call).then(() => true, unlessEnded);
  const isTaken = await (call.status === "running" ? sent.finally(() => wire.locals.set(id, caller.id)) : sent);
  if (isTaken) return ok({ success: true });
  // What has ended stays as it is.
  return refusal(409, "execution_ended", { message: `Execution ${parent} has ended: what it did is not added to.` });
}

type Common = Pick<LocalCall, "id" | "target" | "parent" | "ms">;

function callOf(common: Common, status: string, given: { readonly [name: string]: Json }): LocalCall | undefined {
  const { input_data: input, result, error } = given;
  switch (status) {
    case "running":
    case "queued":
    case "pending":
      return { ...common, status: "running", ...(input === undefined ? {} : { input }) };
    case "succeeded":
      // The event of the end says nothing of the input, or `{}`: what the beginning said stands.
      return { ...common, ...ifSaid(input), status: "succeeded", ...(result === undefined ? {} : { output: result }) };
    case "failed":
    case "cancelled":
    case "timeout":
      return {
        ...common,
        ...ifSaid(input),
        status: "failed",
        error: { name: "Error", message: typeof error === "string" ? error : status },
      };
    default:
      return undefined;
  }
}

function ifSaid(input: Json | undefined): { input?: Json } {
  const isEmpty = typeof input === "object" && input !== null && Object.keys(input).length === 0;
  return input === undefined || input === null || isEmpty ? {} : { input };
}

/** What is told of an execution that has ended comes too late to be of it. */
function unlessEnded(error: unknown): false {
  if (!isStemmaError(error, "run.ended")) throw error;
  return false;
}
