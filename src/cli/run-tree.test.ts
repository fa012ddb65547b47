import { describe, expect, test } from "vitest";
import type { Event, EventData, EventType } from "../core/event.ts";
import type { Branch } from "./run-tree.ts";
import { addEvent, entriesOf, gatherRepeats, newTree, treeOf } from "./run-tree.ts";

/** A history from (type, data, causes); each event 10 ms after the one before. */
function history(...steps: [EventType, object, number[]?][]): Event[] {
  const created = {
    workflow: "w",
    version: 1,
    input: { undefined: true },
    origin: { kind: "new" },
    family: "run_f",
    seed: "",
  };
  const all: [EventType, object, number[]?][] = [["run.created", created, []], ...steps];
  return all.map(
    ([type, data, causes = [0]], seq) =>
      ({ seq, at: seq * 10, type, data: data as EventData[EventType], causes, hash: "" }) as Event,
  );
}

function runTree(events: readonly Event[]): Branch {
  const growing = newTree();
  for (const event of events) addEvent(growing, event);
  return treeOf(growing);
}

const output = { inline: 1 };
const done = (key: string): [EventType, object] => ["step.succeeded", { key, output }];

/** `a(b c)`: names of entries, branches with their kind. */
function shape(branch: Branch): string {
  return branch.children
    .map(({ entry, branch: inner }) => entry?.name ?? `${inner?.name}:${inner?.kind ?? "-"}(${shape(inner as Branch)})`)
    .join(" ");
}

describe("treeOf", () => {
  test("the keys of steps make the branches, in the order in which the history first mentions them", () => {
    expect(shape(runTree(history(done("b"), done("s/x"), done("a"), done("s/t/y"), done("s/z#2"))))).toBe(
      "b s:-(x t:-(y) z#2) a",
    );
  });

  test("a signal that was kept is the answer of a wait for a signal, though that was never open", () => {
    const [news] = entriesOf(
      runTree(
        history(
          ["signal.received", { name: "news", payload: output }],
          ["wait.answered", { key: "news", value: output, signal: 1 }, [0, 1]],
        ),
      ),
    );
    expect(news).toMatchObject({ kind: "wait", status: "answered", waitsFor: "signal" });
  });

  test("items of a map without keys of their own become its branch when it is closed, and no step beside it does", () => {
    const closed = history(done("size"), done("size#2"), done("size#3"), [
      "scope.closed",
      { scope: "size", kind: "map" },
      [2, 3],
    ]);
    expect(shape(runTree(closed))).toBe("size size:map(size#2 size#3)");
    expect(shape(runTree(closed.slice(0, 4)))).toBe("size size#2 size#3");
  });

  test("before a map is closed its items can be gathered by their name, and nothing is lost", () => {
    const open = runTree(history(done("a"), done("size"), done("size#2"), done("b"), done("size#3"), done("s/a")));
    expect(shape(gatherRepeats(open, 3))).toBe("a size:-(size size#2 size#3) b s:-(a)");
    expect(shape(gatherRepeats(open, 4))).toBe(shape(open));
  });

  test("a closing says what its branches were, also where scopes stand within them", () => {
    const events = history(
      done("s/left/load"),
      done("s/right/in/load"),
      ["scope.closed", { scope: "s/right/in", kind: "scope" }, [2]],
      ["scope.closed", { scope: "s/all", kind: "all" }, [1, 3]],
      ["scope.closed", { scope: "s", kind: "scope" }, [4]],
    );
    expect(shape(runTree(events))).toBe("s:scope(left:all(load) right:all(in:scope(load)))");
  });

  test("an entry is what its last event says, with what the earlier ones told of it", () => {
    const error = { name: "Error", message: "no" };
    const [step, wait, child, reused] = entriesOf(
      runTree(
        history(
          ["step.started", { key: "pay", attempt: 1, effect: "once", given: { inline: "x" } }],
          ["step.attempt_failed", { key: "pay", attempt: 1, error }],
          ["step.succeeded", { key: "pay", output, attempt: 2, ms: 7 }],
          ["wait.opened", { key: "nap", kind: "timer", until: 99 }],
          ["wait.answered", { key: "nap", value: { undefined: true } }],
          ["child.started", { key: "call", run: "run_c" }],
          ["child.ended", { key: "call", run: "run_c", status: "failed", error }],
          [
            "step.reused",
            {
              key: "old",
              output,
              from: { run: "run_s", key: "k", seq: 3 },
              origin: { run: "run_s", key: "k", seq: 3 },
            },
          ],
        ),
      ),
    );
    expect(step).toMatchObject({
      kind: "step",
      status: "succeeded",
      attempt: 2,
      ms: 7,
      effect: "once",
      given: { inline: "x" },
      firstAt: 10,
      lastAt: 30,
    });
    expect(step).not.toHaveProperty("error");
    expect(wait).toMatchObject({
      kind: "wait",
      status: "answered",
      waitsFor: "timer",
      until: 99,
      firstAt: 40,
      lastAt: 50,
    });
    expect(child).toMatchObject({ kind: "child", status: "failed", error, from: { run: "run_c" } });
    expect(reused).toMatchObject({ status: "reused", from: { run: "run_s", key: "k" } });
  });

  test("a step that is tried again says when, until it is", () => {
    const error = { name: "Error", message: "no" };
    const failed: [EventType, object] = [
      "step.attempt_failed",
      { key: "a", attempt: 1, attempts: 5, error, retryAt: 99 },
    ];
    const [waiting] = entriesOf(runTree(history(failed)));
    expect(waiting).toMatchObject({ status: "retrying", attempt: 1, attemptsMax: 5, retryAt: 99 });
    const [again] = entriesOf(runTree(history(failed, ["step.started", { key: "a", attempt: 2 }])));
    expect(again).toMatchObject({ status: "running", attempt: 2, attemptsMax: 5 });
    expect(again).not.toHaveProperty("retryAt");
  });

  test("a run of which nothing is known but its creation has an empty tree", () => {
    expect(runTree(history())).toEqual({ name: "", path: "", children: [] });
  });
});
