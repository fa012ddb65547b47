/** What is open across all runs: the questions that people and services are asked. */
import type { EventOf, RunId, Timestamp, WaitKind } from "../core/event.ts";
import type { Json } from "../core/json.ts";
import { limits } from "../core/limits.ts";
import { identityOf } from "../core/identity.ts";
import type { RunRow, Store } from "../store/store.ts";
import { openWaits } from "./open-waits.ts";
import { fromValue } from "./value.ts";
import { checkWhole } from "./whole-number.ts";

export type WaitsQuery = {
  run?: RunId;
  workflow?: string;
  /** Of runs, or of waits, with this tag. */
  tag?: string;
  kind?: WaitKind;
  name?: string;
  /** From an earlier page. */
  cursor?: string;
  /** Runs looked at for one page, 1 to 200. Default 100. */
  limit?: number;
};

/** An open question. `key` is what an answer names. */
export type OpenWait = {
  run: RunId;
  workflow: string;
  version: number;
  key: string;
  name: string;
  kind: WaitKind;
  /** What is asked about. */
  input?: unknown;
  prompt?: string;
  reason?: string;
  /** JSON Schema of the answer. */
  schema?: Json;
  tags?: readonly string[];
  openedAt: Timestamp;
  /** When it expires. */
  until?: Timestamp;
};

/** A page of open waits, of the newest runs first; a page may be empty although others follow. */
export async function listWaits(store: Store, query: WaitsQuery): Promise<{ waits: OpenWait[]; cursor?: string }> {
  const { run, workflow, tag, kind, name, cursor, limit = 100 } = query;
  checkWhole(limit, "limit", 1, limits.pageRunsMax);
  const page = await store.list({
    ...(run === undefined ? {} : { ids: [run] }),
    ...(workflow === undefined ? {} : { workflow }),
    ...(cursor === undefined ? {} : { cursor }),
    status: ["suspended", "running", "paused"],
    limit,
  });
  const waits: OpenWait[] = [];
  for (const row of page.runs) {
    for (const opened of await openWaits(store, row)) {
      if (kind !== undefined && opened.data.kind !== kind) continue;
      if (tag !== undefined && !row.state.tags.includes(tag) && opened.data.tags?.includes(tag) !== true) continue;
      const wait = await waitOf(store, row, opened);
      if (name === undefined || wait.name === name) waits.push(wait);
    }
  }
  return { waits, ...(page.cursor === undefined ? {} : { cursor: page.cursor }) };
}

async function waitOf(store: Store, { id, state }: RunRow, { at, data }: EventOf<"wait.opened">): Promise<OpenWait> {
  const { key, kind, given, prompt, reason, schema, tags, until } = data;
  const texts =
    given !== undefined && "digest" in given ? await store.payloads([given.digest]) : new Map<string, string>();
  const wait: OpenWait = {
    run: id,
    workflow: state.workflow,
    version: state.version,
    key,
    name: identityOf(data).name,
    kind,
    openedAt: at,
  };
  if (given !== undefined) wait.input = fromValue(given, texts);
  if (prompt !== undefined) wait.prompt = prompt;
  if (reason !== undefined) wait.reason = reason;
  if (schema !== undefined) wait.schema = schema;
  if (tags !== undefined) wait.tags = tags;
  if (until !== undefined) wait.until = until;
  return wait;
}
