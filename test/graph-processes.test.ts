/**
 * Runs in memory need no lease: who resumes a checkpoint begins a run of its own, with what it saves as children of that
 * checkpoint. So processes may resume one at once, on one folder, and delete what is theirs. (Of a durable run, one has
 * it: `behaviours/graph-changes`.)
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { fileCheckpoints } from "../src/graph.ts";
import { folder } from "./behaviours/graph.ts";
import { counting } from "./graph-processes/worker.ts";

test("three processes that resume one checkpoint at once each have their own run behind it, and every checkpoint is whole", async () => {
  using at = folder();
  const checkpointStorage = fileCheckpoints(at.path);
  await counting().run(1, { checkpointStorage });
  const before = await checkpointStorage.listCheckpoints({ workflowName: "counting" });
  const from = before[2]?.checkpointId ?? "";
  const worker = fileURLToPath(new URL("graph-processes/worker.ts", import.meta.url));
  const resuming = Array.from({ length: 3 }, async () => {
    const args = [worker, "--folder", at.path, "--from", from, "--times", "5"];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const [said, [code]] = await Promise.all([text(child.stdout), once(child, "close")]);
    return [said, code];
  });
  expect(await Promise.all(resuming)).toEqual(Array.from({ length: 3 }, () => ["5\n".repeat(5), 0]));
  const ids = await checkpointStorage.listCheckpointIds({ workflowName: "counting" });
  const after = await Promise.all(ids.map((id) => checkpointStorage.load(id)));
  expect(after.slice(0, before.length)).toEqual(before);
  const runs = Map.groupBy(after.slice(before.length), ({ runId }) => runId);
  expect(runs.size, "each keeps what it saved the last time").toBe(3);
  for (const [first, ...rest] of runs.values()) {
    expect(first).toMatchObject({ previousCheckpointId: from, continues: { kind: "resume", checkpoint: from } });
    expect([first, ...rest].map((one) => one?.iterationCount)).toEqual([3, 4, 5]);
    for (const [n, { previousCheckpointId }] of rest.entries())
      expect(previousCheckpointId).toBe([first, ...rest][n]?.checkpointId);
  }
});
