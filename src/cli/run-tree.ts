/**
 * A run as a tree of its scopes, made from its events: what `stemma show` draws. Every step, wait and child is one
 * entry, in the order in which the history first mentions it; scopes are the branches that the keys of the entries
 * name. The items of a map without keys of their own become a branch when the map is closed, because only then is it
 * on record which belong together.
 */
import type { Causes, Effect, ErrorRecord, Event, EventOf, Seq, Timestamp, Value, WaitKind } from "../core/event.ts";
import { causesOf } from "../core/event.ts";
import { parseKey, pathOf } from "../core/identity.ts";
import type { Json } from "../core/json.ts";
import { compensationScope } from "../engine/compensation-scope.ts";

export type EntryKind = "step" | "wait" | "child";

/** One step, wait or child run, as its events leave it. */
export type Entry = {
  key: string;
  /** Last part of the key. */
  name: string;
  kind: EntryKind;
  status: string;
  /** `at` of the first and of the last event about it. */
  firstAt: Timestamp;
  lastAt: Timestamp;
  /** Time of the attempt that settled a step, in milliseconds; less than one is 0. Absent while it is not settled. */
  ms?: number;
  attempt: number;
  /** How many attempts it may have, and when the next one begins, where that is on record. */
  attemptsMax?: number;
  retryAt?: Timestamp;
  effect?: Effect;
  /** Of a wait: what is waited for, until when, and what a person is asked. */
  waitsFor?: WaitKind;
  until?: Timestamp;
  prompt?: string;
  /** JSON Schema of the answer. */
  schema?: Json;
  /** Who answered. */
  by?: string;
  /** What somebody decided of a step in doubt. */
  decision?: { decision: "record" | "run" | "fail"; by?: string; reason?: string };
  given?: Value;
  output?: Value;
  error?: ErrorRecord;
  /** Why it was cancelled or withdrawn, or why it may stay in doubt. */
  reason?: string;
  /** What another run of its line did with it, because of which it is in doubt here. */
  held?: NonNullable<EventOf<"step.in_doubt">["data"]["held"]>;
  /** The step of another run that it was reused from, or the run that it owns. */
  from?: { run: string; key?: string };
};

export type Branch = {
  /** Last part of the path, and the whole path; both are empty for the root. */
  name: string;
  path: string;
  /** What was opened here: `all` and `race` stand on their branches. Absent while that is not on record. */
  kind?: "scope" | "map" | "all" | "race" | "compensation";
  children: Child[];
};

export type Child = { entry: Entry; branch?: never } | { branch: Branch; entry?: never };

/** A tree while it is made. Of the events no more is kept than what later ones can ask for. */
export type Growing = {
  entries: Map<string, Entry>;
  places: Map<string, string>;
  keyAt: Map<Seq, string>;
  scopeAt: Map<Seq, string>;
  causes: { causes: Causes }[];
  kinds: Map<string, Branch["kind"]>;
};

export function newTree(): Growing {
  return {
    entries: new Map(),
    places: new Map(),
    keyAt: new Map(),
    scopeAt: new Map(),
    causes: [],
    kinds: new Map(),
  };
}

/** Takes in the next event of the history. */
export function addEvent(growing: Growing, event: Event): void {
  growing.causes.push({ causes: event.causes });
  if (event.type === "scope.closed") close(growing, event);
  else if ("key" in event.data) note(growing, event as KeyedEvent);
}

/** So many steps of one name, side by side in a run that goes on, are taken for one piece of work. */
export const repeatsMin = 4;

/**
 * The tree with `min` or more siblings of one name as one branch, where the first of them stands: what a map looks like
 * before it is closed.
 */
export function gatherRepeats(branch: Branch, min: number): Branch {
  const groups = new Map<string, Child[]>();
  for (const child of branch.children) {
    if (child.entry === undefined) continue;
    const { name } = parseKey(child.entry.name);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [child]);
    else group.push(child);
  }
  const children: Child[] = [];
  for (const child of branch.children) {
    const name = child.entry === undefined ? "" : parseKey(child.entry.name).name;
    const group = groups.get(name) ?? [];
    if (child.branch !== undefined) children.push({ branch: gatherRepeats(child.branch, min) });
    else if (group.length < min || branch.kind === "map") children.push(child);
    else if (group[0] === child) children.push({ branch: { name, path: pathOf(branch.path, name), children: group } });
  }
  return { ...branch, children };
}

/** Every entry of a tree, in the order in which it is drawn. */
export function entriesOf(branch: Branch): Entry[] {
  return branch.children.flatMap((child) => (child.entry === undefined ? entriesOf(child.branch) : [child.entry]));
}

type KeyedEvent = Extract<Event, { data: { key: string } }>;

function note(growing: Growing, event: KeyedEvent): void {
  const { key } = event.data;
  growing.keyAt.set(event.seq, key);
  let entry = growing.entries.get(key);
  if (entry === undefined) {
    const { scope } = parseKey(key);
    const name = scope === "" ? key : key.slice(scope.length + 1);
    entry = { key, name, kind: kindOf(event), status: "", firstAt: event.at, lastAt: event.at, attempt: 1 };
    growing.entries.set(key, entry);
    growing.places.set(key, scope);
  }
  entry.lastAt = event.at;
  entry.status = statusOf(event);
  if (event.type.startsWith("child.")) entry.kind = "child";
  take(entry, event);
}

function kindOf(event: KeyedEvent): EntryKind {
  if (event.type.startsWith("wait.")) return "wait";
  return event.type.startsWith("child.") ? "child" : "step";
}

const statusAfter = {
  "step.started": "running",
  "step.attempt_failed": "retrying",
  "step.succeeded": "succeeded",
  "step.failed": "failed",
  "step.cancelled": "cancelled",
  "step.reused": "reused",
  "step.overridden": "overridden",
  "step.in_doubt": "in_doubt",
  "step.decided": "decided",
  "wait.opened": "waiting",
  "wait.answered": "answered",
  "wait.failed": "failed",
  "wait.refused": "waiting",
  "wait.expired": "expired",
  "wait.withdrawn": "withdrawn",
  "child.started": "running",
} as const satisfies Record<Exclude<KeyedEvent["type"], "child.ended">, string>;

function statusOf(event: KeyedEvent): string {
  return event.type === "child.ended" ? event.data.status : statusAfter[event.type];
}

function take(entry: Entry, event: KeyedEvent): void {
  const { data } = event;
  if (data.given !== undefined) entry.given = data.given;
  if ("attempt" in data && data.attempt !== undefined) entry.attempt = data.attempt;
  delete entry.retryAt;
  if ("output" in data && data.output !== undefined) entry.output = data.output;
  if ("error" in data && data.error !== undefined) entry.error = data.error;
  switch (event.type) {
    case "step.started":
      if (event.data.effect !== undefined) entry.effect = event.data.effect;
      break;
    case "step.attempt_failed":
      if (event.data.retryAt !== undefined) entry.retryAt = event.data.retryAt;
      if (event.data.attempts !== undefined) entry.attemptsMax = event.data.attempts;
      break;
    case "step.succeeded":
      // The error of an attempt that was followed by a success is history.
      delete entry.error;
      entry.ms = event.data.ms ?? 0;
      break;
    case "step.failed":
      entry.ms = event.data.ms ?? 0;
      break;
    case "step.in_doubt":
      if (event.data.unwanted !== undefined) entry.reason = event.data.unwanted;
      if (event.data.held !== undefined) entry.held = event.data.held;
      break;
    case "step.cancelled":
    case "wait.withdrawn":
      entry.reason = event.data.reason;
      break;
    case "step.decided":
      entry.decision = decisionOf(event.data);
      break;
    case "step.reused":
      entry.from = { run: event.data.from.run, key: event.data.from.key };
      break;
    case "wait.opened":
      entry.waitsFor = event.data.kind;
      if (event.data.until !== undefined) entry.until = event.data.until;
      if (event.data.prompt !== undefined) entry.prompt = event.data.prompt;
      if (event.data.schema !== undefined) entry.schema = event.data.schema;
      break;
    case "wait.failed":
      if (event.data.by !== undefined) entry.by = event.data.by;
      break;
    case "wait.answered":
    case "wait.expired":
      // So is that of an answer that was refused.
      delete entry.error;
      if (event.data.value !== undefined) entry.output = event.data.value;
      if (event.type === "wait.answered") answered(entry, event.data);
      break;
    case "child.started":
    case "child.ended":
      entry.from = { run: event.data.run };
      break;
    default:
  }
}

function answered(entry: Entry, { by, signal }: EventOf<"wait.answered">["data"]): void {
  if (by !== undefined) entry.by = by;
  // One that was kept answers a wait that never was open, so nothing else says what it waited for.
  if (signal !== undefined) entry.waitsFor ??= "signal";
}

function decisionOf({ decision, by, reason }: EventOf<"step.decided">["data"]): NonNullable<Entry["decision"]> {
  return { decision, ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) };
}

/** Learns from a closing what kind of scope it was, and which entries or branches were its own. */
function close(growing: Growing, event: EventOf<"scope.closed">): void {
  const { scope: path, kind } = event.data;
  growing.scopeAt.set(event.seq, path);
  const parent = parseKey(path).scope;
  if (kind === "scope" || kind === "map") growing.kinds.set(path, kind);
  for (const cause of causesOf(event, (seq) => growing.causes[seq])) {
    const key = growing.keyAt.get(cause);
    if (kind === "map" && key !== undefined && growing.places.get(key) === parent) growing.places.set(key, path);
    if (kind !== "all" && kind !== "race") continue;
    // The branches stand beside the path that the call itself has, so they are found through their ends.
    const inside = growing.scopeAt.get(cause) ?? (key === undefined ? "" : parseKey(key).scope);
    const rest = parent === "" ? inside : inside.startsWith(`${parent}/`) ? inside.slice(parent.length + 1) : "";
    const [first = ""] = rest.split("/");
    if (first !== "") growing.kinds.set(pathOf(parent, first), kind);
  }
}

/** The tree as it stands. A branch with nothing in it is only there while the tree is made. */
export function treeOf({ entries, places, kinds }: Growing): Branch {
  const root: Branch = { name: "", path: "", children: [] };
  const branches = new Map<string, Branch>([["", root]]);
  const branchAt = (path: string): Branch => {
    const known = branches.get(path);
    if (known !== undefined) return known;
    const { scope } = parseKey(path);
    const branch: Branch = { name: scope === "" ? path : path.slice(scope.length + 1), path, children: [] };
    const kind = path === compensationScope ? "compensation" : kinds.get(path);
    if (kind !== undefined) branch.kind = kind;
    branches.set(path, branch);
    branchAt(scope).children.push({ branch });
    return branch;
  };
  for (const entry of entries.values()) branchAt(places.get(entry.key) ?? "").children.push({ entry });
  return root;
}
