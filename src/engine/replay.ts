/**
 * Recorded histories under the code of today: the body is given what is on record, as in a recall, and what it would
 * begin beyond that is noted and not begun. So it is known before a deploy which runs the code no longer fits, where, and
 * why. Nothing is written, and no function of a step, no `reconcile` and no compensation is entered; what a body does
 * itself between its steps, it does.
 */
import { unseal } from "../core/chain.ts";
import type { Event, EventOf, RunId, Seq, Value } from "../core/event.ts";
import { compensationScope } from "../core/identity.ts";
import { firstDifference } from "../core/json.ts";
import type { Json } from "../core/json.ts";
import { limits } from "../core/limits.ts";
import type { RunState } from "../core/reduce.ts";
import { reduce } from "../core/reduce.ts";
import type { RunRow, Store } from "../store/store.ts";
import { Activation } from "./activation.ts";
import type { Ask } from "./ask.ts";
import type { Log, Workflow } from "./body.ts";
import { systemClock } from "./clock.ts";
import { Committer } from "./committer.ts";
import { delivery } from "./delivery.ts";
import { toRecord } from "./failure.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { pagesOf, readTexts } from "./history-pages.ts";
import { load } from "./load.ts";
import { readTree } from "./state.ts";
import { Untouched } from "./untouched.ts";
import { fromValue, textOf, toValue } from "./value.ts";

/**
 * `diverges`: it asks for something else than is recorded, or not for all of it. `asks for more`: the run had ended here.
 * `ends otherwise`: with another output or error. `state differs`: a checkpoint has another state. `unreadable`: the
 * history cannot be read.
 */
export type ReplayKind = "diverges" | "asks for more" | "ends otherwise" | "state differs" | "unreadable";

export type ReplayFinding = {
  run: RunId;
  /** The event that the code does not fit. */
  seq: Seq;
  kind: ReplayKind;
  /** The step that is recorded, or that is asked for in its place. */
  key?: string;
  /** Where input, output or state differ. */
  path?: string;
  message: string;
};

export type ReplayOptions = {
  /** How long a body may do nothing that the engine sees (plain I/O between steps), in milliseconds. Default 1000. */
  graceMs?: number;
};

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** Where the segments of a history end: before each checkpoint but the first event, and at the end. */
type Cut = { head: Seq; state: RunState; hash: string; next: Event | undefined };

/** Replays one run, segment by segment; gives what does not fit. */
export async function replayRun(
  store: Store,
  run: RunId,
  workflow: Workflow,
  options: ReplayOptions = {},
): Promise<ReplayFinding[]> {
  const findings: ReplayFinding[] = [];
  try {
    for await (const cut of cutsOf(store, run)) findings.push(...(await replayCut(store, run, workflow, cut, options)));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    findings.push({ run, seq: 0, kind: "unreadable", message });
  }
  return findings;
}

/** What happened behind these was asked for from outside: the body had no part in it. */
const outside: ReadonlySet<string> = new Set(["cancel.requested", "run.cancelled", "run.timed_out"]);

/** Making up for what was done begins with this; the body had ended before it, though its end is recorded behind it. */
function undoes({ type, data }: Event): boolean {
  return type === "step.started" && data.key.startsWith(`${compensationScope}/`);
}

async function* cutsOf(store: Store, run: RunId): AsyncGenerator<Cut> {
  let state: RunState | undefined;
  let hash = "";
  let ended: Cut | undefined;
  for await (const page of pagesOf(store, run, -1, limits.pageEventsMax)) {
    for (const stored of page.events) {
      const event = unseal(stored);
      const isEnd = event.type === "run.succeeded" || event.type === "run.failed";
      if (ended !== undefined) {
        if (isEnd) ended.next = event;
        continue;
      }
      if (state !== undefined && (isEnd || event.type === "checkpoint")) {
        yield { head: event.seq - 1, state, hash, next: event };
        if (isEnd) return;
      } else if (state !== undefined && (outside.has(event.type) || undoes(event))) {
        ended = { head: event.seq - 1, state, hash, next: undefined };
        if (undoes(event)) continue;
        yield ended;
        return;
      }
      state = reduce(state, event);
      hash = stored.hash;
    }
  }
  if (ended !== undefined) yield ended;
  else if (state !== undefined) yield { head: state.seq, state, hash, next: undefined };
}

type Ended = { ok: true; value: unknown } | { ok: false; error: unknown };

async function replayCut(
  store: Store,
  run: RunId,
  workflow: Workflow,
  cut: Cut,
  { graceMs = 1000 }: ReplayOptions,
): Promise<ReplayFinding[]> {
  const past = new Past(store, run, cut);
  const missed: Ask[] = [];
  let ended: Ended | undefined;
  const loaded = await load(past.store, past.row, () => past.lastAt, systemClock.turn, { dataflow: workflow.dataflow });
  past.lastAt = loaded.lastAt;
  const watched = watchedBody(workflow, (end) => (ended = end));
  const activation = new Activation(past.row, watched, loaded, {
    store: past.store,
    clock: systemClock,
    committer: new Committer(past.store, systemClock, silent),
    delivery,
    log: silent,
    worker: "replay",
    fingerprint: fingerprintOf(workflow),
    // It waits for nothing: where the body asks for nothing new, it is over.
    lingerMs: 2 ** 31 - 1,
    recallGraceMs: graceMs,
    abortGraceMs: 0,
    poisonAfter: Infinity,
    missed: (ask) => void missed.push(ask),
    hold: () => undefined,
    sent() {},
    look() {},
    cancelUnheld: () => Promise.resolve(),
  });
  const over = activation.over.then(() => {});
  activation.start();
  await Promise.race([over, past.settled, quiet(past, () => missed.length, graceMs)]);
  activation.drop();
  return past.findings(missed, ended);
}

function watchedBody(workflow: Workflow, onEnd: (end: Ended) => void): Workflow {
  return {
    ...workflow,
    body(operations, info) {
      const running = workflow.body(operations, info);
      running.done.then(
        (value) => onEnd({ ok: true, value }),
        (error: unknown) => onEnd({ ok: false, error }),
      );
      return running;
    },
  };
}

const lookMs = 10;
/** A body that has come to what is not recorded is not waited for any longer than this. */
const missedMs = 50;

/** Resolves when nothing has happened for a while. */
async function quiet(past: Past, missed: () => number, graceMs: number): Promise<void> {
  let [seen, quietMs] = [-1, 0];
  // Recall says after the grace that a body has stalled; only then is it sure that a body which is quiet fits.
  while (quietMs < (missed() > 0 ? missedMs : graceMs + 20 * lookMs) && !past.isSettled) {
    await new Promise((resolve) => setTimeout(resolve, lookMs));
    const now = past.activity + missed();
    quietMs = now === seen ? quietMs + lookMs : 0;
    seen = now;
  }
}

/** The store as it was when the history went up to an event, and to which nothing is written. */
class Past {
  readonly store: Store;
  readonly row: RunRow;
  lastAt: number;
  isSettled = false;
  /** Resolves when it is known whether the body fits. */
  readonly settled: Promise<void>;
  readonly #seen: Untouched;
  readonly #run: RunId;
  readonly #cut: Cut;

  constructor(under: Store, run: RunId, cut: Cut) {
    this.#run = run;
    this.#cut = cut;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.settled = promise;
    const { state, hash, head } = cut;
    this.lastAt = state.createdAt;
    this.#seen = new Untouched(under, {
      id: run,
      state,
      hash,
      by: "replay",
      async events(page) {
        const found = await under.history(run, page);
        const events = found?.events.filter(({ seq }) => seq <= head);
        return events === undefined ? undefined : { events, more: (events.at(-1)?.seq ?? page.after) < head };
      },
      onCommit: (committed) => {
        if (!committed.some(({ type }) => type === "checkpoint" || type === "run.suspended")) return;
        this.isSettled = true;
        resolve();
      },
    });
    this.store = this.#seen.store;
    this.row = this.#seen.row;
  }

  /** Rises whenever something happens. */
  get activity(): number {
    return this.#seen.activity;
  }

  async findings(missed: readonly Ask[], ended: Ended | undefined): Promise<ReplayFinding[]> {
    const suspended = this.#seen.committed.find((event) => event.type === "run.suspended");
    if (suspended?.type === "run.suspended") return [await this.#divergence(suspended)];
    const { next, head } = this.#cut;
    if (next === undefined) return [];
    if (next.type === "checkpoint") return this.#checkpoint(next, missed, ended);
    const first = missed.find(({ withdrawn }) => withdrawn === undefined);
    if (ended === undefined) {
      const key = first?.ref.key;
      const what = key === undefined ? "does not end" : `asks for ${key}`;
      const message = `it ${what} where the run had ended (${next.type})`;
      return [this.#finding(head + 1, "asks for more", message, key)];
    }
    return this.#end(next as EventOf<"run.succeeded"> | EventOf<"run.failed">, ended);
  }

  async #divergence({ data }: EventOf<"run.suspended">): Promise<ReplayFinding> {
    const detail = (data.detail ?? {}) as Detail;
    if (data.reason !== "divergence") {
      return this.#finding(this.#cut.head, "unreadable", detail.message ?? `it is set aside: ${data.reason}`);
    }
    const { recorded = [], asked = [], differences = [], ended = false } = detail;
    const [key] = recorded;
    const difference = differences.find((one) => one.key === key);
    const instead = ended ? "it ends" : asked.length === 0 ? "it asks for nothing" : `it asks for ${asked.join(", ")}`;
    const where = difference === undefined ? "" : `; ${difference.why ?? `its input differs at ${difference.path}`}`;
    const message = `${key ?? "what is recorded"} is recorded, and ${instead}${where}`;
    return this.#finding(await this.#seqOf(key), "diverges", message, key, difference?.path);
  }

  async #seqOf(key: string | undefined): Promise<Seq> {
    for await (const page of pagesOf(this.store, this.#run, -1, limits.pageEventsMax)) {
      for (const stored of page.events) {
        const { data } = unseal(stored);
        if ("key" in data && data.key === key) return stored.seq;
      }
    }
    return this.#cut.head;
  }

  async #checkpoint(
    recorded: EventOf<"checkpoint">,
    missed: readonly Ask[],
    ended: Ended | undefined,
  ): Promise<ReplayFinding[]> {
    const written = this.#seen.committed.find((event) => event.type === "checkpoint");
    if (written?.type !== "checkpoint") {
      const key = missed[0]?.ref.key;
      const instead =
        ended !== undefined ? "it ends" : key === undefined ? "it asks for nothing" : `it asks for ${key}`;
      return [this.#finding(recorded.seq, "diverges", `a checkpoint is recorded, and ${instead}`, key)];
    }
    const [was, is] = [await this.#stateOf(recorded), await this.#stateOf(written)];
    const path = firstDifference(was, is);
    if (path === undefined) return [];
    return [
      this.#finding(recorded.seq, "state differs", `the state of the checkpoint differs at ${path}`, undefined, path),
    ];
  }

  async #stateOf({ data }: EventOf<"checkpoint">): Promise<Json | undefined> {
    if ("tree" in data.state) return JSON.parse((await readTree(this.store, this.#run, data.state)).text) as Json;
    return this.#valueOf(data.state);
  }

  async #valueOf(value: Value): Promise<Json | undefined> {
    const texts =
      "digest" in value ? await readTexts(this.store, this.#run, [value.digest]) : new Map<string, string>();
    return textOf(value, texts) === undefined ? undefined : (fromValue(value, texts) as Json);
  }

  async #end(recorded: EventOf<"run.succeeded"> | EventOf<"run.failed">, ended: Ended): Promise<ReplayFinding[]> {
    const { seq } = recorded;
    const otherwise = (message: string, path?: string): ReplayFinding[] => [
      this.#finding(seq, "ends otherwise", message, undefined, path),
    ];
    if (recorded.type === "run.failed") {
      const was = recorded.data.error;
      if (ended.ok) return otherwise(`it succeeds where the run had failed with ${was.name}: ${was.message}`);
      const is = toRecord(ended.error);
      if (is.name === was.name && is.message === was.message) return [];
      return otherwise(`it fails with ${is.name}: ${is.message}, and had failed with ${was.name}: ${was.message}`);
    }
    if (!ended.ok) {
      const is = toRecord(ended.error);
      return otherwise(`it fails with ${is.name}: ${is.message}, and had succeeded`);
    }
    const { value, payload } = toValue(ended.value, "output of the run");
    if (payload !== undefined) this.#seen.texts.set(payload.digest, payload.text);
    const path = firstDifference(await this.#valueOf(recorded.data.output), await this.#valueOf(value));
    return path === undefined ? [] : otherwise(`its output differs at ${path}`, path);
  }

  #finding(seq: Seq, kind: ReplayKind, message: string, key?: string, path?: string): ReplayFinding {
    const where = { ...(key === undefined ? {} : { key }), ...(path === undefined ? {} : { path }) };
    return { run: this.#run, seq, kind, ...where, message };
  }
}

/** What is on record of a divergence, as `describeDivergence` writes it. */
type Detail = {
  recorded?: string[];
  asked?: string[];
  ended?: boolean;
  differences?: { key: string; path: string; why?: string }[];
  message?: string;
};
