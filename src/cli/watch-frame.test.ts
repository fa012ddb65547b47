import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Event, EventData, EventType } from "../core/event.ts";
import { reduceAll } from "../core/reduce.ts";
import type { RunRow } from "../store/store.ts";
import type { ShownRun } from "./shown-run.ts";
import { runOf } from "./shown-run.ts";
import { frameLines } from "./watch-frame.ts";
import { widthOf } from "./width.ts";
import { anyCharacter } from "../../test/any-text.ts";

const created = {
  workflow: "w",
  version: 1,
  input: { undefined: true },
  origin: { kind: "new" },
  family: "f",
  seed: "",
};
const started: [EventType, object] = ["run.started", { worker: "w_1", epoch: 1, fingerprint: "" }];
const done = (key: string): [EventType, object] => ["step.succeeded", { key, output: { inline: 1 }, ms: 5 }];

/** A run that a worker holds, as its events say it is; each event 10 ms after the one before. */
function run(steps: readonly [EventType, object][], more: object = {}): ShownRun {
  const events = [["run.created", created] as const, ...steps].map(
    ([type, data], seq) =>
      ({
        seq,
        at: seq * 10,
        type,
        data: data as EventData[EventType],
        causes: seq === 0 ? [] : [0],
        hash: "",
      }) as Event,
  );
  const row = {
    id: `run_${"0".repeat(26)}`,
    state: reduceAll(events),
    worker: "w_1",
    dueAt: null,
    offered: true,
    ...more,
  };
  return runOf(row as unknown as RunRow, events);
}

const size = { width: 80, height: 20 };

describe("frameLines", () => {
  test("a map that goes on is one line: how many of those on record are settled, and what is not well", () => {
    const items = Array.from({ length: 40 }, (_, i) => done(i === 0 ? "size" : `size#${i + 1}`));
    const failed: [EventType, object] = ["step.failed", { key: "size#41", error: { name: "E", message: "no" } }];
    const running: [EventType, object] = ["step.started", { key: "size#42", attempt: 1 }];
    const lines = frameLines(run([started, ...items, failed, running]), size, 5000);
    expect(lines.join("\n")).toMatch(/─ size +\S+ +41\/42\+ {2}1 failed {2}1 running/);
    expect(lines.join("\n")).toContain("✖ size#41");
    expect(lines.join("\n")).toContain("… 36 succeeded more");
    expect(lines[1]).toBe("  40 done  1 running  1 failed  for 4s");
  });

  test("an attempt that failed says which it was and when the next one begins", () => {
    const error = { name: "Error", message: "no" };
    const retry: [EventType, object] = [
      "step.attempt_failed",
      { key: "pay", attempt: 2, attempts: 5, error, retryAt: 8000 },
    ];
    expect(frameLines(run([started, retry]), size, 5000).join("\n")).toContain("attempt 2/5 failed  again in 3s");
  });

  test("an open run that no worker has code for says so, and what to do", () => {
    const lines = frameLines(run([], { worker: undefined, offered: false }), { ...size, width: 200 }, 0).join("\n");
    expect(lines).toContain("no worker offers w@1");
    expect(lines).toMatch(/start a worker with that version, or restart/);
    expect(frameLines(run([], { worker: undefined, offered: true }), size, 0).join("\n")).not.toContain(
      "no worker offers",
    );
    expect(frameLines(run([started], { offered: false }), size, 0).join("\n")).not.toContain("no worker offers");
  });

  test("whatever a run holds, a frame fits the terminal and steers nothing in it", () => {
    const name = fc.oneof(
      fc.string({ unit: anyCharacter, maxLength: 30 }),
      fc.constantFrom("\u001b[2J", "日本語の名前", "a\nb", "x".repeat(90)),
    );
    const key = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
    const type = fc.constantFrom<EventType>("step.started", "step.succeeded", "step.failed", "wait.opened");
    const height = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(type, key), { maxLength: 60 }),
        fc.integer({ min: 40, max: 120 }),
        height,
        (all, width, rows) => {
          const error = { name: "E", message: "no\u001b[2J ".repeat(9) };
          const steps = all.map(([of, k]): [EventType, object] => [
            of,
            { key: k, attempt: 1, error, output: { inline: k }, kind: "approval", prompt: k },
          ]);
          const lines = frameLines(run([started, ...steps]), { width, height: rows }, 90_000);
          expect(lines.length).toBeLessThanOrEqual(rows);
          for (const line of lines) {
            expect(line).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u);
            expect(widthOf(line)).toBeLessThanOrEqual(width);
          }
        },
      ),
    );
  });
});
