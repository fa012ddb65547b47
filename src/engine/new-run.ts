/** A run as it is handed to a store: its first event, and what that adds up to. */
import { genesis, seal, unseal } from "../core/chain.ts";
import { StemmaError } from "../core/error.ts";
import type { EventData, Origin, RunId, Timestamp } from "../core/event.ts";
import { equal } from "../core/json.ts";
import { reduce } from "../core/reduce.ts";
import type { Created, NewRun, Payload, Store } from "../store/store.ts";
import type { Workflow } from "./body.ts";
import { sha256 } from "./hash.ts";
import type { Encoded } from "./value.ts";

export type RunSeed = {
  id: RunId;
  workflow: Pick<Workflow, "name" | "version" | "timeoutMs">;
  input: Encoded;
  context?: Pick<Encoded, "value" | "payload">;
  origin: Origin;
  family: RunId;
  at: Timestamp;
  tags?: string[];
  /** How long it may take, in milliseconds; the workflow's own limit if left out. */
  timeoutMs?: number;
  /** What a restart or fork has besides, and what is inherited of another run. */
  more?: Partial<EventData["run.created"]>;
  /** Payloads that `more` names. */
  payloads?: readonly Payload[];
};

/** Seals `run.created`. Random values of the run derive from its id. */
export function buildRun(seed: RunSeed): NewRun {
  const { id, workflow, input, context, origin, family, at, tags, timeoutMs = workflow.timeoutMs } = seed;
  const data: EventData["run.created"] = {
    workflow: workflow.name,
    version: workflow.version,
    input: input.value,
    origin,
    family,
    seed: sha256(id).slice(0, 32),
  };
  if (context !== undefined) data.context = context.value;
  if (tags !== undefined) data.tags = tags;
  if (timeoutMs !== undefined) data.timeoutMs = timeoutMs;
  Object.assign(data, seed.more);
  const placed = { seq: 0, at, type: "run.created" as const, causes: [], data };
  const stored = seal(sha256, genesis(sha256, id), placed);
  return {
    id,
    events: [stored],
    payloads: [input.payload, context?.payload, ...(seed.payloads ?? [])].filter((payload) => payload !== undefined),
    state: reduce(undefined, { ...placed, hash: stored.hash }),
  };
}

/** The run that is there in the place of a new one must be the one that was meant. Throws run.conflict. */
export async function checkSameRun(store: Store, { id, first: known }: Created, wanted: NewRun): Promise<void> {
  const there = known ?? (await store.history(id, { after: -1, limit: 1 }))?.events[0];
  const [first, meant] = [there, wanted.events[0]].map((event) => event && unseal(event));
  if (first?.type !== "run.created" || meant?.type !== "run.created") return;
  if (first.data.workflow === meant.data.workflow && equal(first.data.input, meant.data.input)) return;
  throw new StemmaError(
    "run.conflict",
    `Expected the run started with this id or idempotency key to have the same workflow and input; ${id} has others. Use another key.`,
    { data: { run: id } },
  );
}
