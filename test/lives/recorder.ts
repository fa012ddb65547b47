/**
 * Watches a store from outside of the engine: what was accepted, by whom, and what therefore must never happen again.
 * It stands below the faults, so it also sees what a dying process was never told.
 */
import { causesOf, outcomeOf } from "../../src/core/event.ts";
import type { Event, StepRef } from "../../src/core/event.ts";
import { idempotencyKey, identityOf } from "../../src/core/identity.ts";
import { unseal } from "../../src/core/chain.ts";
import { sha256 } from "../../src/engine/hash.ts";
import { calledLine } from "../../src/engine/line.ts";
import type { Line } from "../../src/engine/line.ts";
import type { Claimed, Commit, CommitResult, Message, Sent, Store } from "../../src/store/store.ts";
import { around } from "../../src/testing/around.ts";

export type Recorder = {
  readonly wrong: string[];
  /** Messages that the store accepted from outside of runs. */
  readonly accepted: Message[];
  readonly commits: number;
  /** The function of a step is entered. */
  entered(run: string, key: string, once: boolean): void;
  /** How many checkpoints a run has. */
  checkpoints(run: string): number;
  /** Whether a run is another one, or was called by it, or by one that was. */
  isOf(run: string, ancestor: string): boolean;
};

/** The store with eyes. */
export function recorded<S extends Store>(store: S): { store: S; recorder: Recorder } {
  const wrong: string[] = [];
  const accepted: Message[] = [];
  const epochs = new Map<string, number>();
  const parents = new Map<string, string>();
  const checkpoints = new Map<string, number>();
  const refs = new Map<string, StepRef>();
  const lines = new Map<string, Line>();
  const settled = new Set<string>();
  const onceEntered = new Set<string>();
  let commits = 0;

  const take = (run: string, event: Event): void => {
    const { type, data } = event;
    if (type === "checkpoint") checkpoints.set(run, (checkpoints.get(run) ?? 0) + 1);
    if (type === "child.started") parents.set(data.run, run);
    if (!("key" in data)) return;
    const place = `${run} ${data.key}`;
    if (!refs.has(place)) refs.set(place, data);
    const where = lines.get(run) ?? { line: run, calls: [], callKeys: [] };
    const { line, calls } = where;
    const ref = refs.get(place) ?? data;
    const identity = identityOf(ref);
    if (type === "child.started") lines.set(data.run, calledLine(where, { identity, ref }, 0));
    const key = idempotencyKey(sha256, line, calls, identity);
    if (type === "step.attempt_failed" || (type === "step.decided" && data.decision === "run")) onceEntered.delete(key);
    if (outcomeOf[type] === null) return;
    if (settled.has(key)) wrong.push(`${place} has two outcomes on record`);
    settled.add(key);
  };

  const pass = async (call: {
    method: string;
    args: readonly unknown[];
    make(): Promise<unknown>;
  }): Promise<unknown> => {
    // Only what was known before the call was made counts: two calls may be under way at once.
    const known = call.method === "commit" ? new Map(epochs) : epochs;
    const answer = await call.make();
    if (call.method === "claim") for (const row of (answer as Claimed).runs) epochs.set(row.id, row.epoch);
    if (call.method === "send") {
      const messages = call.args[0] as Message[];
      for (const [i, sent] of (answer as Sent[]).entries()) if (sent.accepted) accepted.push(messages[i] as Message);
    }
    if (call.method !== "commit") return answer;
    commits += 1;
    const parts = call.args[0] as Commit[];
    for (const [i, result] of (answer as CommitResult[]).entries()) {
      const part = parts[i];
      if (part === undefined || !result.ok) continue;
      if (part.epoch < (known.get(part.run) ?? 0)) wrong.push(`${part.run}: a stale worker has appended`);
      for (const event of part.events) take(part.run, unseal(event));
    }
    return answer;
  };

  const recorder: Recorder = {
    wrong,
    accepted,
    get commits() {
      return commits;
    },
    entered(run, key, once) {
      if (settled.has(key)) wrong.push(`a step of ${run} was entered again although its outcome is on record`);
      if (!once) return;
      if (onceEntered.has(key)) wrong.push(`a once step of ${run} was entered twice without a decision`);
      onceEntered.add(key);
    },
    checkpoints: (run) => checkpoints.get(run) ?? 0,
    isOf(run, ancestor) {
      for (let at: string | undefined = run; at !== undefined; at = parents.get(at)) if (at === ancestor) return true;
      return false;
    },
  };
  return { store: around(store, pass, {}), recorder };
}

/** Events whose causes are not what they must be: what settles a wait or a call comes from that wait or call alone. */
export function strayCauses(events: readonly Event[]): string[] {
  const found: string[] = [];
  const opened = new Map<string, number>();
  for (const event of events) {
    const { type, seq, data } = event;
    if (!("key" in data)) continue;
    const begun = opened.get(data.key);
    if (/^wait\.(answered|failed|expired|withdrawn)$/u.test(type) || type === "child.ended") {
      const causes = causesOf(event, (at) => events[at]);
      const signal = "signal" in data ? data.signal : undefined;
      const stray = causes.filter((cause) => cause !== begun && cause !== signal);
      // A wait that a kept signal answers at once was never opened: it comes from what it was asked behind.
      if (begun === undefined ? signal === undefined : stray.length > 0 || causes.length === 0)
        found.push(
          `${type} ${data.key} at seq ${seq} is caused by ${causes.join(", ")}, not by ${begun ?? "its wait"}`,
        );
    }
    const first = type === "wait.refused" && begun === undefined;
    if (type === "wait.opened" || type === "child.started" || first) opened.set(data.key, seq);
  }
  return found;
}
