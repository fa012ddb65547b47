/**
 * Values that a store keeps for somebody beside its runs, so that they are where the runs are and are backed up with
 * them. Each is a run of its own that nobody works on: paused from its beginning, its one checkpoint is the value, and
 * what it was made from is where it comes from. So every store has them, values share what is equal in them, `lineage`
 * shows them, as `list` does where it is asked for records, and one that another came from stays when it was given up. One
 * that was given up is a cancelled run, which `prune` removes like any other; one that was not is never removed.
 */
import { storedHash } from "../core/chain-text.ts";
import { genesis, seal, unseal } from "../core/chain.ts";
import type { Digest, Draft, Event, Origin, RunId, StateTree, Timestamp, Value } from "../core/event.ts";
import type { Json } from "../core/json.ts";
import { decode } from "../core/json.ts";
import { limits } from "../core/limits.ts";
import { checkName } from "../core/name.ts";
import { reduce } from "../core/reduce.ts";
import { isTerminal, statuses } from "../core/run.ts";
import { StateMemory } from "../core/state-memory.ts";
import type { NewRun, RunRow, Store } from "../store/store.ts";
import { sha256 } from "./hash.ts";
import { corrupt } from "./history-pages.ts";
import { buildRun } from "./new-run.ts";
import type { By } from "./requests.ts";
import { encodeState, readTree, storeState } from "./state.ts";
import { cancelUnheld } from "./unheld.ts";
import { toValue } from "./value.ts";

export type { Store } from "../store/store.ts";

export type ToKeep = {
  readonly id: RunId;
  /** What is kept, for people and for `ids`: the name of its run's workflow. It is one of `core/record-names`. */
  readonly kind: string;
  readonly value: unknown;
  /** What it was made from. It need not be there. */
  readonly from?: RunId;
  /** What is said of it in the list of runs. */
  readonly note: Json;
  /** Tags by which its run is found. */
  readonly tags?: readonly string[];
  readonly at: Timestamp;
  /** Who had it kept, for the record. */
  readonly by?: string;
  /** Of its kind there is one with this key: the first that was kept with it, also where it was given up since. */
  readonly idempotencyKey?: string;
  /**
   * For values that are JSON, made of each other one after the other, and never changed: a name that they share. Then
   * keeping one that was made from the last takes the time of what is new in it.
   */
  readonly line?: string;
};

export type KeptStates = {
  /**
   * Gives its id. One that is there already, by its id or its key, stays as it is.
   *
   * @throws json.not_serializable, payload.too_large, store.*
   */
  keep(state: ToKeep): Promise<RunId>;
  /** Nothing where there is none, or it was given up. @throws store.corrupt, payload.missing, store.* */
  read(id: RunId): Promise<{ kind: string; value: Json } | undefined>;
  /** In the order of their ids. */
  ids(kind: string): Promise<RunId[]>;
  /** False where there is none. Who did it, and why, is on record. */
  giveUp(id: RunId, by?: By): Promise<boolean>;
};

const tag = "kept state";
/** Those that were given up are not looked at, however many there are. */
const open = statuses.filter((status) => !isTerminal(status));
/** Values whose pieces are remembered, so that one that is made from them writes only what is new. */
const rememberedMax = 8;
/** Lines whose last values are remembered. */
const linesMax = 100;

export function keptStates(store: Store): KeptStates {
  const remembered = new Map<RunId, ReadonlySet<Digest>>();
  const remember = (id: RunId, pieces: ReadonlySet<Digest>): void => {
    remembered.set(id, pieces);
    const [oldest] = remembered.keys();
    if (remembered.size > rememberedMax && oldest !== undefined) remembered.delete(oldest);
  };
  const lines = new Map<string, { states: StateMemory; last: RunId }>();
  /** Of the value's line, if it is made from the last that was kept of it and is still there; else of nothing. */
  const memoryFor = ({ line }: ToKeep, source: RunRow | undefined): { states?: StateMemory; grown: boolean } => {
    if (line === undefined) return { grown: false };
    const found = lines.get(line);
    // Until it is kept, nobody knows whether its pieces are there.
    lines.delete(line);
    if (found !== undefined && found.last === source?.id) return { states: found.states, grown: true };
    return { states: new StateMemory(sha256), grown: false };
  };
  const piecesOf = async (row: RunRow): Promise<ReadonlySet<Digest>> => {
    const known = remembered.get(row.id);
    if (known !== undefined) return known;
    const state = await stateIn(store, row);
    return "tree" in state ? (await readTree(store, row.id, state)).pieces : new Set();
  };
  return {
    async keep(state) {
      const source = state.from === undefined ? undefined : await rowOf(store, state.from);
      const { states, grown } = memoryFor(state, source);
      const encoded = encodeState(state.value, states);
      const known = grown ? none : source && (await piecesOf(source).catch(() => undefined));
      // What cannot be read is no base for another: that one is written whole, and comes from nowhere.
      const base = source === undefined || known === undefined ? undefined : source;
      const stored = storeState(encoded, known ?? none);
      const [done] = await store.create([asRun(state, stored, base)]);
      if (done?.created !== true) return done?.id ?? state.id;
      // One that was cut by a memory does not tell all of its pieces.
      if (encoded.cut === undefined) remember(state.id, stored.pieces);
      if (state.line === undefined || states === undefined) return state.id;
      lines.set(state.line, { states, last: state.id });
      const [oldest] = lines.keys();
      if (lines.size > linesMax && oldest !== undefined) lines.delete(oldest);
      return state.id;
    },
    async read(id) {
      const row = await rowOf(store, id);
      if (row === undefined) return undefined;
      const state = await stateIn(store, row);
      if ("undefined" in state) throw corrupt(id, "its value is not there");
      if ("inline" in state) return { kind: row.state.workflow, value: state.inline };
      if (!("tree" in state)) throw corrupt(id, "its value is in a form of its own");
      return { kind: row.state.workflow, value: decode((await readTree(store, id, state)).text) };
    },
    async ids(kind) {
      const found: RunId[] = [];
      for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
        const query = { workflow: kind, tag, status: open, limit: limits.pageRunsMax };
        const page = await store.list(cursor === undefined ? query : { ...query, cursor });
        found.push(...page.runs.map(({ id }) => id));
        ({ cursor } = page);
      }
      return found.sort();
    },
    async giveUp(id, by = {}) {
      if ((await rowOf(store, id)) === undefined) return false;
      const request = { reason: "given up", ...by };
      return (await cancelUnheld(id, request, { store, now: Date.now, log: silent, sent() {} })) === "ended";
    },
  };
}

const none: ReadonlySet<Digest> = new Set();

const silent = { debug() {}, info() {}, warn() {}, error() {} };

async function rowOf(store: Store, id: RunId): Promise<RunRow | undefined> {
  const [row] = (await store.list({ ids: [id] })).runs;
  return row === undefined || isTerminal(row.state.status) || !row.state.tags.includes(tag) ? undefined : row;
}

/** The value as its run has it. Throws store.corrupt where the run is not what was written. */
async function stateIn(store: Store, { id }: RunRow): Promise<Value | StateTree> {
  const page = await store.history(id, { after: -1, limit: 2 });
  let before = genesis(sha256, id);
  for (const stored of page?.events ?? []) {
    if (storedHash(sha256, before, stored) !== stored.hash) throw corrupt(id, `its event ${stored.seq} was changed`);
    before = stored.hash;
    const event = unseal(stored);
    if (event.type === "checkpoint") return event.data.state;
  }
  throw corrupt(id, "its checkpoint is not there");
}

function asRun(state: ToKeep, stored: ReturnType<typeof storeState>, base: RunRow | undefined): NewRun {
  const { id, at, kind, note, tags = [], by, idempotencyKey } = state;
  const input = toValue(note, "note of a kept state");
  const origin: Origin =
    base === undefined ? { kind: "new" } : { kind: "fork", run: base.id, seq: base.state.seq, hash: base.hash };
  const workflow = { name: checkName(kind, "kind of a kept state"), version: 1 };
  const family = base?.state.family ?? id;
  const more = by === undefined ? {} : { by };
  const all = [tag, ...tags];
  const run = buildRun({ id, workflow, input, origin, family, at, tags: all, more, payloads: stored.payloads });
  const made = [
    { type: "checkpoint" as const, data: { state: stored.value, parent: null }, causes: [0] },
    { type: "run.paused" as const, data: { reason: "a place to continue from" }, causes: [1] },
  ].reduce((before, draft) => withEvent(before, draft, at), run);
  return idempotencyKey === undefined ? made : { ...made, idempotencyKey };
}

function withEvent(run: NewRun, draft: Draft, at: Timestamp): NewRun {
  const placed = { seq: run.state.seq + 1, at, ...draft };
  const stored = seal(sha256, run.events.at(-1)?.hash ?? "", placed);
  const event = { ...placed, hash: stored.hash } as Event;
  return { ...run, events: [...run.events, stored], state: reduce(run.state, event) };
}
