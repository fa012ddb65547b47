import { expect, test } from "vitest";
import { errorOf } from "../../../test/stage.ts";
import { callHeaders, replayContext } from "./headers.ts";

const headers = (given: Record<string, string>): Headers => new Headers(given);

test("an agent calls in the name of its own execution; the id of the new one is not its to say", () => {
  const given = {
    "X-Run-ID": "run_1",
    "X-Execution-ID": "exec_2",
    "X-Parent-Execution-ID": "exec_1",
    "X-Agent-Node-ID": "alpha",
  };
  expect(callHeaders(headers(given))).toEqual({ run: "run_1", parent: "exec_1", node: "alpha" });
});

test("what is empty or blank is not there; the workflow stands in for the run", () => {
  const given = { "x-run-id": " ", "x-workflow-id": "run_1", "x-session-id": "", "x-parent-execution-id": "  " };
  expect(callHeaders(headers(given))).toEqual({ run: "run_1" });
});

test("replay is there with a source; its mode is the one that reuses what succeeded before, unless it says another", () => {
  const source = { "x-agentfield-replay-source-run-id": "run_0" };
  expect(callHeaders(headers(source)).replay).toEqual({ source: "run_0", mode: "succeeded-before" });
  const all = {
    ...source,
    "x-agentfield-replay-before-execution-id": "exec_m",
    "x-agentfield-replay-mode": "all-succeeded",
  };
  const { replay } = callHeaders(headers(all));
  expect(replay).toEqual({ source: "run_0", before: "exec_m", mode: "all-succeeded" });
  expect(callHeaders(headers(replayContext(replay!))).replay).toEqual(replay);
  expect(callHeaders(headers({ "x-agentfield-replay-mode": "none" })).replay).toBeUndefined();
  expect(replayContext({ source: "run_0", mode: "none" })).toEqual({ "x-agentfield-replay-mode": "none" });
});

test("a mode that nobody knows, and an id that can be none, are refused", async () => {
  const refused = async (given: Record<string, string>): Promise<string | undefined> =>
    (await errorOf(Promise.resolve().then(() => callHeaders(headers(given))))).code;
  const source = { "x-agentfield-replay-source-run-id": "run_0" };
  expect(await refused({ ...source, "x-agentfield-replay-mode": "some" })).toBe("usage.invalid");
  expect(await refused({ "x-run-id": "x".repeat(1001) })).toBe("name.invalid");
});
