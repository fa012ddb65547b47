import { describe, expect, test } from "vitest";

import { seal, unseal } from "../core/chain.ts";
import type { Draft, Event, Seq } from "../core/event.ts";
import { causesOf } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import { reduce } from "../core/reduce.ts";
import type { Emitted, Message, NewRun, RunRow } from "../store/store.ts";
import { Appender } from "./appender.ts";
import { sha256 } from "./hash.ts";

const started: Draft = { type: "run.started", data: { worker: "w", epoch: 1, fingerprint: "f" }, causes: [0] };
const step = (key: string, causes: readonly Seq[] = [1]): Draft => ({
  type: "step.succeeded",
  data: { key, output: { inline: key } },
  causes,
});

/** A run of one event, and its clock. */
function bench(): { row: RunRow; first: Event; appender: Appender; at(ms: number): void } {
  const data = {
    workflow: "w",
    version: 1,
    input: { inline: 1 },
    origin: { kind: "new" as const },
    family: "R",
    seed: "s",
  };
  const placed = { seq: 0, at: 100, type: "run.created" as const, causes: [], data };
  const { hash } = seal(sha256, "0".repeat(64), placed);
  const first: Event = { ...placed, hash };
  const state = reduce(undefined, first);
  const row = {
    id: "R",
    state,
    epoch: 4,
    hash,
    dueAt: null,
    queue: "default",
    priority: 0,
    inbox: 2,
    inboxDone: 1,
    claims: 1,
    offered: true,
  };
  let now = 100;
  return { row, first, appender: new Appender(row, 100, () => now), at: (ms) => void (now = ms) };
}

describe("an event has", () => {
  test("its place at once: seq, time, and a hash that covers all before it", () => {
    const { first, appender, at } = bench();
    at(150);
    const events = [first, appender.append(started), appender.append(step("a")), appender.append(step("b", [2]))];
    expect(events.map(({ seq, at: time }) => [seq, time])).toEqual([
      [0, 100],
      [1, 150],
      [2, 150],
      [3, 150],
    ]);
    for (const [i, event] of events.slice(1).entries()) {
      expect(seal(sha256, events[i]?.hash ?? "", event).hash).toBe(event.hash);
    }
    expect(appender.state).toMatchObject({ status: "running", seq: 3, steps: { succeeded: 2 } });
  });

  test("never an earlier time than the one before it, whatever the clock says", () => {
    const { appender, at } = bench();
    const times = [120, 90, 130, 10].map((now) => {
      at(now);
      return appender.append({ type: "run.set", data: { tags: [] }, causes: [0] }).at;
    });
    expect(times).toEqual([120, 120, 130, 130]);
  });
});

describe("a batch", () => {
  test("is everything since the last one, and names what it expects of the store", () => {
    const { row, appender } = bench();
    expect(appender.waiting).toBe(false);
    const payload = { digest: sha256("x"), text: "x" };
    const events = [appender.append(started), appender.append(step("a"), { payloads: [payload], reuse: "key" })];
    expect(appender.waiting).toBe(true);
    const { commit, events: taken } = appender.take();
    expect(taken).toEqual(events);
    expect(commit.events.map(unseal)).toEqual(events);
    expect(commit).toMatchObject({
      run: "R",
      epoch: row.epoch,
      seq: 1,
      payloads: [payload],
      reuse: [{ seq: 2, key: "key" }],
      inbox: row.inboxDone,
      state: appender.state,
    });
    expect(commit).not.toHaveProperty("release");
    expect(appender.waiting).toBe(false);
  });

  test("goes on behind the one before, once that is committed; an empty one may give the run back", () => {
    const { appender } = bench();
    appender.append(started);
    const first = appender.take();
    appender.append(step("a"));
    appender.settled(first);
    const second = appender.take();
    expect(second.commit.seq).toBe(2);
    expect(second.commit.payloads).toEqual([]);
    appender.settled(second);
    const last = appender.take({ dueAt: null });
    appender.settled(last);
    expect(last.commit).toMatchObject({ seq: 3, events: [], release: { dueAt: null } });
  });
});

describe("what goes to the store with events", () => {
  const run: NewRun = { id: "C", events: [], payloads: [], state: bench().row.state };
  const message: Message = { run: "P", key: "k", kind: "child.ended", body: "{}" };
  const value: Emitted = { stream: "s", step: "x", attempt: 1, text: "1" };

  test("goes once, and not at all when they are rolled back", () => {
    const { appender } = bench();
    appender.append(started, { create: [run], send: [message] });
    appender.emit(value);
    const first = appender.take();
    expect(first.commit).toMatchObject({ create: [run], send: [message], emit: [value] });
    appender.settled(first);
    appender.append(step("a"), { create: [run], send: [message], payloads: [{ digest: "d", text: "1" }], reuse: "r" });
    appender.emit(value);
    appender.rollBack();
    expect(appender.take().commit).toMatchObject({
      seq: 2,
      events: [],
      create: [],
      send: [],
      emit: [],
      payloads: [],
      reuse: [],
    });
  });

  test("a value of a stream waits for a flush by itself", () => {
    const { appender } = bench();
    appender.emit(value);
    expect(appender.waiting).toBe(true);
    const batch = appender.take();
    expect(batch.commit).toMatchObject({ seq: 1, events: [], emit: [value] });
    appender.settled(batch);
    expect(appender.waiting).toBe(false);
    expect(appender.append(started).seq).toBe(1);
  });

  test("the messages that were taken in are counted with the events, and counted back with them", () => {
    const { appender } = bench();
    expect(appender.inbox).toBe(1);
    appender.append(started);
    appender.inbox = 2;
    const batch = appender.take();
    expect(batch.commit.inbox).toBe(2);
    appender.inbox = 3;
    appender.settled(batch);
    appender.rollBack();
    expect(appender.inbox).toBe(2);
  });
});

describe("what is rolled back", () => {
  test("is as if it had never been: the same events come out again", () => {
    const { appender } = bench();
    appender.append(started);
    appender.settled(appender.take());
    const before = appender.state;
    const lost = [appender.append(step("a")), appender.append(step("b"))];
    appender.rollBack();
    expect(appender.state).toEqual(before);
    expect(appender.waiting).toBe(false);
    expect([appender.append(step("a")), appender.append(step("b"))]).toEqual(lost);
  });

  test("also when it had been taken and the store refused it", () => {
    const { appender } = bench();
    appender.append(started);
    appender.take();
    appender.append(step("a"));
    appender.rollBack();
    expect(appender.append(started).seq).toBe(1);
  });

  test("is not referred to any more", () => {
    const { appender } = bench();
    const causes = [0, 1, 2, 3];
    for (const draft of [started, step("a"), step("b")]) appender.append(draft);
    appender.settled(appender.take());
    appender.append(step("c", causes));
    appender.rollBack();
    expect(appender.append(step("d", causes)).causes).toEqual(causes);
  });
});

describe("causes", () => {
  /** Three steps to be caused by, committed. */
  function withSteps(): { appender: Appender; events: Event[]; append(draft: Draft): Event } {
    const { first, appender } = bench();
    const events = [first];
    const append = (draft: Draft): Event => {
      events.push(appender.append(draft));
      return events.at(-1) as Event;
    };
    for (const draft of [started, step("a"), step("b"), step("c")]) append(draft);
    return { appender, events, append };
  }

  test("are written out once for each set that several asks share, and mean the same", () => {
    const { events, append } = withSteps();
    const [shared, few] = [
      [1, 2, 3, 4],
      [2, 3, 4],
    ];
    const all = [shared, shared, [...shared], shared, few, few].map((causes, i) => append(step(`x${i}`, causes)));
    expect(all.map((event) => event.causes)).toEqual([shared, { same: 5 }, shared, { same: 5 }, few, few]);
    const meant = all.map((event) => causesOf(event, (seq) => events[seq]));
    expect(meant).toEqual([shared, shared, shared, shared, few, few]);
  });

  test("may refer to where a recalled ask has them, if they are the same", () => {
    const { appender, append } = withSteps();
    const [same, other, few] = [
      [1, 2, 3, 4],
      [1, 2, 3, 0],
      [1, 2],
    ];
    const recorded = { causes: [1, 2, 3, 4], spelledAt: 2 };
    for (const causes of [same, other, few]) appender.spelledAt(causes, recorded);
    appender.spelledAt(few, { causes: few, spelledAt: 2 });
    expect([same, other, few].map((causes, i) => append(step(`x${i}`, causes)).causes)).toEqual([
      { same: 2 },
      other,
      few,
    ]);
  });

  test("of an event that was refused are not referred to: its place is taken by another", () => {
    const { events, append } = withSteps();
    const shared = [1, 2, 3, 4];
    const bad = { ...step("x", shared), data: { key: "x", output: { inline: 1n } } } as unknown as Draft;
    expect(() => append(bad)).toThrow(expect.objectContaining({ code: "json.not_serializable" }));
    append(step("y", [2]));
    const event = append(step("z", shared));
    expect(causesOf(event, (seq) => events[seq])).toEqual(shared);
  });
});

test("of the values of a stream that wait, the latest are kept, and no stream pushes out another", () => {
  const { appender } = bench();
  const value = (stream: string, text: string): Emitted => ({ stream, step: "", attempt: 1, text });
  const { streamValuesMax: max } = limits;
  appender.emit(value("quiet", "1"));
  for (let i = 0; i < 5 * max; i += 1) appender.emit(value("loud", `${i}`));
  const { emit = [] } = appender.take().commit;
  expect(emit.length).toBeLessThanOrEqual(2 * max + 2);
  expect(emit[0]).toEqual(value("quiet", "1"));
  expect(emit.slice(-max).map(({ text }) => text)).toEqual(Array.from({ length: max }, (_, i) => `${4 * max + i}`));
});

describe("an event is refused, and leaves everything as it was,", () => {
  test("when it has no cause, or one that is not earlier", () => {
    const { appender } = bench();
    for (const causes of [[], [1], [7]]) {
      expect(() => appender.append({ ...started, causes })).toThrow(expect.objectContaining({ code: "event.invalid" }));
    }
    expect(appender.waiting).toBe(false);
    expect(appender.append(started).seq).toBe(1);
  });

  test("when the run takes none of its kind", () => {
    const { appender } = bench();
    const ended: Draft = { type: "run.succeeded", data: { output: { inline: 1 } }, causes: [0] };
    expect(() => appender.append(ended)).toThrow(expect.objectContaining({ code: "run.transition" }));
    appender.append(started);
    appender.append(ended);
    expect(() => appender.append(started)).toThrow(expect.objectContaining({ code: "run.transition" }));
    expect(appender.take().events).toHaveLength(2);
  });

  test("when the history is full; but a run can still end", () => {
    const { row } = bench();
    const full = { ...row, state: { ...row.state, status: "running" as const, seq: limits.historyEventsMax - 1 } };
    const appender = new Appender(full, 100, () => 100);
    const tags: Draft = { type: "run.set", data: { tags: [] }, causes: [1] };
    const patched: Draft = { type: "run.patched", data: { name: "p" }, causes: [1] };
    for (const draft of [step("x"), tags, patched]) {
      expect(() => appender.append(draft)).toThrow(expect.objectContaining({ code: "limit.exceeded" }));
    }
    const closing: Draft[] = [
      { type: "cancel.requested", data: {}, causes: [1] },
      { type: "wait.withdrawn", data: { key: "w", reason: "run ended" }, causes: [1] },
      { type: "step.cancelled", data: { key: "s", reason: "run ended" }, causes: [1] },
      { type: "run.failed", data: { error: { name: "Error", message: "full" }, frontier: [] }, causes: [1] },
    ];
    for (const [i, draft] of closing.entries()) expect(appender.append(draft).seq).toBe(limits.historyEventsMax + i);
  });
});
