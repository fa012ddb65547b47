import { describe, expect, test } from "vitest";
import type { WireStatus } from "./status.ts";
import { canonicalStatus, isTerminalStatus, rollUp, wireStatusOf, wireStatuses } from "./status.ts";

describe("canonicalStatus", () => {
  test.each([
    ["success successful completed complete done ok", "succeeded"],
    ["error failure errored", "failed"],
    ["canceled cancel", "cancelled"],
    ["pause hold on_hold suspended", "paused"],
    ["timed_out", "timeout"],
    ["wait", "queued"],
    ["awaiting_approval awaiting_human approval_pending", "waiting"],
    ["in_progress processing", "running"],
    ["whatever __proto__ constructor", "unknown"],
  ] satisfies [string, WireStatus][])("%s is %s", (names, status) => {
    for (const name of names.split(" ")) expect(canonicalStatus(name)).toBe(status);
  });

  test("every canonical name is its own, whatever its case, and what is no text is unknown", () => {
    for (const status of wireStatuses) expect(canonicalStatus(` ${status.toUpperCase()} `)).toBe(status);
    for (const none of [undefined, null, 3, {}, ""]) expect(canonicalStatus(none)).toBe("unknown");
  });

  test("four of them are ends", () => {
    expect(wireStatuses.filter(isTerminalStatus)).toEqual(["succeeded", "failed", "cancelled", "timeout"]);
  });
});

describe("wireStatusOf", () => {
  test("a run at rest while its agent works is running; one that a person is asked in, or that is set aside, waits", () => {
    expect(wireStatusOf({ status: "suspended", reason: "waiting" }, false)).toBe("running");
    expect(wireStatusOf({ status: "suspended", reason: "waiting" }, true)).toBe("waiting");
    expect(wireStatusOf({ status: "suspended", reason: "divergence" }, false)).toBe("waiting");
    expect(wireStatusOf({ status: "running" }, true)).toBe("waiting");
    expect(wireStatusOf({ status: "timed_out" }, false)).toBe("timeout");
    for (const status of ["queued", "running", "paused", "succeeded", "failed", "cancelled"] as const) {
      expect(wireStatusOf({ status }, false)).toBe(status);
    }
  });
});

/** The behaviours D5 and D7 of control planes: one table, sixteen cases. */
describe("D5, D6: one roll-up", () => {
  test.each([
    ["", "unknown"],
    ["succeeded", "succeeded"],
    ["succeeded succeeded", "succeeded"],
    ["succeeded cancelled", "cancelled"],
    ["succeeded cancelled timeout", "timeout"],
    ["succeeded cancelled timeout failed", "failed"],
    ["failed running", "running"],
    ["failed waiting", "running"],
    ["failed queued", "running"],
    ["failed pending", "running"],
    ["succeeded unknown", "running"],
    ["succeeded running", "running"],
    ["paused", "paused"],
    ["paused running", "paused"],
    ["paused failed", "paused"],
    ["paused waiting timeout cancelled succeeded", "paused"],
  ])("%s -> %s", (statuses, status) => {
    const all = statuses.split(" ").filter(Boolean) as WireStatus[];
    expect(rollUp(all)).toBe(status);
    expect(rollUp(all.toReversed())).toBe(status);
    expect(rollUp(all, "running")).toBe(status);
  });

  test("D7: a root that caught a failure and succeeded has succeeded; one that failed has failed whatever the others did", () => {
    expect(rollUp(["succeeded", "failed"], "succeeded")).toBe("succeeded");
    expect(rollUp(["failed", "succeeded"], "failed")).toBe("failed");
    expect(rollUp(["cancelled", "failed"], "cancelled")).toBe("cancelled");
  });
});
