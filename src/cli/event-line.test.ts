import fc from "fast-check";
import { expect, test } from "vitest";
import type { Event } from "../core/event.ts";
import { eventLine } from "./event-line.ts";
import { anyCharacter, anyText } from "../../test/any-text.ts";

const event = (type: string, data: object): Event =>
  ({ seq: 7, at: Date.UTC(2026, 10, 21, 4, 51, 17, 123), type, causes: [0], hash: "ab", data }) as unknown as Event;

test("a line is time, seq, type, key, and facts by name", () => {
  expect(
    eventLine(
      event("step.succeeded", { key: "s/charge#2", output: { inline: { ok: true } }, ms: 12, attempt: 2, reuse: "ff" }),
    ),
  ).toBe(`2026-11-21T04:51:17.123Z 7 step.succeeded s/charge#2 attempt=2 ms=12 output={"ok":true}`);
  expect(eventLine(event("step.succeeded", { key: "big", output: { digest: "d", bytes: 5002 } }))).toContain(
    ` big output="5.0 kB"`,
  );
  const error = { name: "Error", code: "E1", message: "no way" };
  const retryAt = Date.UTC(2026, 0, 1);
  expect(eventLine(event("step.attempt_failed", { key: "pay", attempt: 1, attempts: 5, error, retryAt }))).toBe(
    `2026-11-21T04:51:17.123Z 7 step.attempt_failed pay attempt=1 attempts=5 error="Error [E1]: no way" retryAt=2026-01-01T00:00:00.000Z`,
  );
  expect(eventLine(event("run.created", { workflow: "w", input: { inline: 1 }, seed: "s" }))).toMatch(
    / run\.created input=1 workflow=w$/,
  );
  expect(eventLine(event("run.succeeded", { output: { undefined: true } }))).toMatch(/ run\.succeeded$/);
});

test("whatever an event holds, its line is one line and steers no terminal", () => {
  const hostile = fc.oneof(anyText, fc.constantFrom("\u001b[2J", "a\nb", "\u009b2J", "\u202e"));
  fc.assert(
    fc.property(hostile, hostile, fc.jsonValue({ stringUnit: anyCharacter }), (key, message, value) => {
      const data = {
        key,
        error: { name: key, message, code: message },
        output: { inline: value },
        by: message,
        detail: value,
      };
      const line = eventLine(event("step.failed", { ...data, [key]: message }));
      expect(line).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u202a-\u202e]/u);
    }),
  );
});
