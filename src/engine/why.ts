/**
 * Where a value comes from: the steps, answers, inputs and overrides that lead to it, through reuse to the run that
 * really executed, through calls into the runs that were called, and through inputs to those that called. Read from the
 * record only, and each place once.
 */
import { StemmaError } from "../core/error.ts";
import type { Event, EventOf, RunId, Seq, Timestamp, Value } from "../core/event.ts";
import { outcomeOf } from "../core/event.ts";
import { valueAt } from "../core/json-path.ts";
import { placeOf, tells } from "../core/json-search.ts";
import type { Json } from "../core/json.ts";
import { limits } from "../core/limits.ts";
import type { RecordedStep, RecordedSteps } from "../core/recorded-step.ts";
import { addToSteps, newSteps } from "../core/recorded-step.ts";
import { upstreamOf } from "../core/upstream.ts";
import { unseal } from "../core/chain.ts";
import type { Store } from "../store/store.ts";
import { callerOf } from "./children.ts";
import { pagesOf, readTexts } from "./history-pages.ts";
import { textOf } from "./value.ts";

/**
 * How a value came to be at a place. `given`: by an override, in the place of a step. `decided`: the step was in doubt, and
 * somebody, or its own `reconcile`, said what became of it. A step that was entered again by a decision `ran`.
 */
export type WhyHow = "ran" | "reused" | "given" | "decided" | "answered" | "called" | "waited" | "input" | "output";

export type WhyNode = {
  /** `run seq`: unique, and what `from` names. */
  id: string;
  run: RunId;
  seq: Seq;
  /** Of a step, wait or call; absent for the input and the output of a run. */
  key?: string;
  how: WhyHow;
  status: string;
  at: Timestamp;
  /** Who gave, decided or answered it, or made the run, and why. */
  by?: string;
  reason?: string;
  /** The value as it is recorded: in itself if it is small, else by its digest. */
  value?: Value;
  /** Where in it the value that is asked for stands. */
  holds?: string;
  /**
   * What it comes from. `cause`: by the record of causes; `reused`: it is the value of that; `call`: it is the output of the
   * called run; `input`: it is what the run was called or made with.
   */
  from: { id: string; how: "cause" | "reused" | "call" | "input" }[];
};

export type Why = {
  run: RunId;
  /** Absent for the output of the run. */
  key?: string;
  path?: string;
  /** The value that is asked for: at the path, if there is one. */
  value?: Json;
  /** The place that was asked about first; then each behind one that comes from it. */
  nodes: readonly WhyNode[];
  /**
   * Of a value at a path: whether what it comes from was narrowed to the places where that value is found again. Where it
   * is found nowhere, or is such that finding it says nothing, all causes are there.
   */
  narrowed: boolean;
  /** There is more behind the last of these; it was not looked at. */
  more?: true;
};

export type WhyOptions = {
  /** A part of the value: `$.items[3].licence`. */
  path?: string;
  /** Places that are looked at. Default 10,000. */
  limit?: number;
};

type RunOnRecord = {
  id: RunId;
  created: EventOf<"run.created">;
  steps: RecordedSteps;
  /** When each outcome and decision was recorded, and who gave it. */
  notes: ReadonlyMap<Seq, Note>;
  end?: EventOf<"run.succeeded">;
};
type Note = { type: Event["type"]; at: Timestamp; by?: string; reason?: string };

export async function whyOf(store: Store, run: RunId, key: string | undefined, options: WhyOptions): Promise<Why> {
  const search = new Search(store);
  const start = await search.start(run, key);
  const more = await search.all(start, options.limit ?? 10_000);
  const { path } = options;
  const whole = await search.valueOf(start);
  const value = path === undefined ? whole : valueAt(whole, path);
  if (path !== undefined && value === undefined) {
    const what = key === undefined ? "the output of the run" : key;
    throw new StemmaError("usage.invalid", `There is nothing at ${path} of ${what}.`, { data: { run, path } });
  }
  const narrowed = path !== undefined && value !== undefined && (await search.narrow(start, value));
  return {
    run,
    ...(key === undefined ? {} : { key }),
    ...(path === undefined ? {} : { path }),
    ...(value === undefined ? {} : { value }),
    nodes: search.nodes(),
    narrowed,
    ...(more ? { more } : {}),
  };
}

type Follow = { node: WhyNode; own: boolean };

/** Runs of which the steps are kept; a family is mostly small, and one that is not is read again. */
const runsMax = 32;

class Search {
  readonly #store: Store;
  readonly #runs = new Map<RunId, RunOnRecord>();
  readonly #nodes = new Map<string, WhyNode>();

  constructor(store: Store) {
    this.#store = store;
  }

  nodes(): WhyNode[] {
    return [...this.#nodes.values()];
  }

  async start(id: RunId, key: string | undefined): Promise<WhyNode> {
    const run = await this.#run(id);
    if (key === undefined) {
      if (run.end?.type === "run.succeeded") return this.#node(run, run.end.seq);
      throw new StemmaError("run.not_terminal", `Run ${id} has no output; name one of its steps.`, {
        data: { run: id },
      });
    }
    const step = run.steps.byKey.get(key);
    if (step?.outcome !== undefined) return this.#node(run, step.outcome);
    const message =
      step === undefined
        ? `There is no step ${JSON.stringify(key)} in run ${id}.`
        : `Step ${key} of ${id} has no outcome.`;
    throw new StemmaError("step.not_found", message, { data: { run: id, key } });
  }

  /**
   * Follows everything from there. A value that was reused, given or made by a call comes from there alone; but where such
   * a step is only on the way, what stands before it in its own run may have been used as well. Whether something is left.
   */
  async all(start: WhyNode, limit: number): Promise<boolean> {
    const open: Follow[] = [{ node: start, own: false }];
    const followed = new Set<string>();
    for (let follow = open.shift(); follow !== undefined; follow = open.shift()) {
      const { node, own } = follow;
      for (const from of await this.#behind(node, own)) {
        if (this.#nodes.size >= limit && !this.#nodes.has(`${from.run} ${from.seq}`)) return true;
        const next = this.#node(await this.#run(from.run), from.seq);
        if (!node.from.some(({ id, how }) => id === next.id && how === from.how))
          node.from.push({ id: next.id, how: from.how });
        const isOnWay = from.how === "cause" || from.how === "input";
        for (const kind of isOnWay ? [false, true] : [false]) {
          const name = `${next.id} ${kind}`;
          if (!followed.has(name)) open.push({ node: next, own: kind });
          followed.add(name);
        }
      }
    }
    return false;
  }

  /** What a place comes from directly; with `own` what stands before it in its own run although its value is from elsewhere. */
  async #behind(
    { run: id, seq }: WhyNode,
    own: boolean,
  ): Promise<{ run: RunId; seq: Seq; how: WhyNode["from"][number]["how"] }[]> {
    const run = await this.#run(id);
    if (seq === 0) return own ? [] : this.#behindInput(run);
    const step = run.steps.stepAt[seq];
    const called = step?.run === undefined ? undefined : await this.#run(step.run);
    const isElsewhere = step?.from !== undefined || step?.status === "overridden" || called?.end !== undefined;
    if (own === isElsewhere) {
      return upstreamOf(run.steps, step?.first ?? seq).map((cause) => ({ run: id, seq: cause, how: "cause" as const }));
    }
    if (own) return [];
    if (step?.from !== undefined) return [{ run: step.from.run, seq: step.from.seq, how: "reused" }];
    // What a called run was given leads back to the causes of its call.
    return called?.end === undefined ? [] : [{ run: called.id, seq: called.end.seq, how: "call" }];
  }

  /** A run's input is what it was called with, or what its source had, unless somebody gave another. */
  async #behindInput({ created }: RunOnRecord): Promise<{ run: RunId; seq: Seq; how: "cause" | "input" }[]> {
    const { origin } = created.data;
    const caller = callerOf(origin);
    if (caller !== undefined) {
      const { steps } = await this.#run(caller.run);
      const call = steps.byKey.get(caller.key);
      return upstreamOf(steps, call?.first ?? caller.seq).map((seq) => ({ run: caller.run, seq, how: "input" }));
    }
    if (origin.kind !== "restart" && origin.kind !== "fork") return [];
    const source = await this.#run(origin.run);
    const isSame = JSON.stringify(source.created.data.input) === JSON.stringify(created.data.input);
    return isSame ? [{ run: source.id, seq: 0, how: "input" }] : [];
  }

  #node(run: RunOnRecord, seq: Seq): WhyNode {
    const id = `${run.id} ${seq}`;
    const known = this.#nodes.get(id);
    if (known !== undefined) return known;
    const node: WhyNode = { id, run: run.id, seq, ...placeAt(run, seq), from: [] };
    this.#nodes.set(id, node);
    return node;
  }

  async valueOf({ run, value }: WhyNode): Promise<Json | undefined> {
    if (value === undefined) return undefined;
    const texts = "digest" in value ? await readTexts(this.#store, run, [value.digest]) : new Map<string, string>();
    const text = textOf(value, texts);
    return text === undefined ? undefined : (JSON.parse(text) as Json);
  }

  /** Keeps the places that hold the value, and those on the way to them. Whether there are any but the start. */
  async narrow(start: WhyNode, value: Json): Promise<boolean> {
    if (!tells(value)) return false;
    const kept = new Set<string>();
    for (const node of this.#nodes.values()) {
      const whole = await this.valueOf(node);
      const place = whole === undefined ? undefined : placeOf(whole, value);
      if (place === undefined) continue;
      node.holds = place;
      if (node !== start) kept.add(node.id);
    }
    if (kept.size === 0) return false;
    kept.add(start.id);
    this.#keepWays(kept);
    return true;
  }

  /** A place stays if it holds the value; in the way from one that holds it to the next, what lies between is left out. */
  #keepWays(kept: ReadonlySet<string>): void {
    const ways = new Map<string, WhyNode["from"]>();
    for (const id of kept) ways.set(id, this.#nearest(id, kept));
    for (const [id, way] of ways) ways.set(id, withoutShortcuts(way, ways));
    for (const [id, node] of this.#nodes) {
      const way = ways.get(id);
      if (way === undefined) this.#nodes.delete(id);
      else node.from = way;
    }
  }

  #nearest(id: string, kept: ReadonlySet<string>): WhyNode["from"] {
    const found = new Map<string, WhyNode["from"][number]>();
    const seen = new Set([id]);
    const open = [...(this.#nodes.get(id)?.from ?? [])];
    for (let next = open.shift(); next !== undefined; next = open.shift()) {
      if (seen.has(next.id)) continue;
      seen.add(next.id);
      if (kept.has(next.id)) found.set(next.id, next);
      else for (const further of this.#nodes.get(next.id)?.from ?? []) open.push({ id: further.id, how: next.how });
    }
    return [...found.values()];
  }

  async #run(id: RunId): Promise<RunOnRecord> {
    const known = this.#runs.get(id);
    if (known !== undefined) return known;
    const steps = newSteps();
    const notes = new Map<Seq, Note>();
    let created: EventOf<"run.created"> | undefined;
    let end: EventOf<"run.succeeded"> | undefined;
    for await (const page of pagesOf(this.#store, id, -1, limits.pageEventsMax)) {
      for (const stored of page.events) {
        const event = unseal(stored);
        addToSteps(steps, event);
        if (event.type === "run.created") created = event;
        if (event.type === "run.succeeded") end = event;
        if (outcomeOf[event.type] !== null || event.type === "step.decided") notes.set(event.seq, noteOf(event));
      }
    }
    if (created === undefined) throw new StemmaError("run.not_found", `There is no run ${id} in this store.`);
    const run = { id, created, steps, notes, ...(end === undefined ? {} : { end }) };
    this.#runs.set(id, run);
    for (const oldest of this.#runs.keys()) if (this.#runs.size > runsMax) this.#runs.delete(oldest);
    return run;
  }
}

function noteOf({ type, at, data }: Event): Note {
  const { by, reason } = data as { by?: string; reason?: string };
  return { type, at, ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) };
}

/** Of several ways to one place the longest says most: what another of them leads to anyway is left out. */
function withoutShortcuts(way: WhyNode["from"], ways: ReadonlyMap<string, WhyNode["from"]>): WhyNode["from"] {
  if (way.length < 2 || ways.size > shortcutsMax) return way;
  const reached = new Set<string>();
  const open = way.flatMap(({ id }) => ways.get(id) ?? []);
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (reached.has(next.id)) continue;
    reached.add(next.id);
    open.push(...(ways.get(next.id) ?? []));
  }
  return way.filter(({ id }) => !reached.has(id));
}

/** Places up to which shortcuts are looked for. */
const shortcutsMax = 1000;

type Place = Omit<WhyNode, "id" | "run" | "seq" | "from">;

function placeAt({ created, end, steps, notes }: RunOnRecord, seq: Seq): Place {
  if (seq === 0) {
    const { input } = created.data;
    return { how: "input", status: "created", ...byOf(noteOf(created)), value: input };
  }
  if (seq === end?.seq) return { how: "output", status: "succeeded", at: end.at, value: end.data.output };
  const step = steps.stepAt[seq];
  const note = notes.get(seq);
  if (step === undefined || note === undefined)
    throw new StemmaError("engine.bug", `There is no outcome at seq ${seq}.`);
  const { key, status, output, decided } = step;
  return {
    key,
    how: howOf(step, note.type),
    status,
    ...byOf(decided === undefined ? note : { ...note, ...notes.get(decided) }),
    ...(output === undefined ? {} : { value: output }),
  };
}

function byOf({ at, by, reason }: Note): Pick<WhyNode, "at" | "by" | "reason"> {
  return { at, ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) };
}

function howOf(step: RecordedStep, type: Event["type"]): WhyHow {
  if (step.from !== undefined) return "reused";
  if (type === "step.overridden") return "given";
  if (step.decided !== undefined) return "decided";
  if (step.kind === "call") return "called";
  if (step.kind !== "wait") return "ran";
  return type === "wait.answered" && step.waitsFor !== "timer" ? "answered" : "waited";
}
