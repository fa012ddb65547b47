/**
 * AgentField's wire from end to end: what its SDK was seen to send, sent again by an agent that knows nothing of us, and
 * what it needs of the answers.
 */
import { describe, expect, test } from "vitest";
import { components } from "../../src/index.ts";
import { plane } from "./place.ts";

describe("a whole run", () => {
  test("registers, beats, is called, calls here and elsewhere with the context headers, reports: one connected run", async () => {
    await using at = await plane();
    const beta = await at.agent({
      id: "beta",
      reasoners: { double: ({ input }) => ({ value: (input as { n: number }).n * 2 }) },
    });
    const alpha = await at.agent({
      id: "alpha",
      reasoners: {
        helper: ({ input }) => ({ ok: true, n: (input as { n: number }).n }),
        root: async ({ call }) => {
          const h = await call("alpha.helper", { n: 1 });
          const d = await call("beta.double", { n: 21 });
          return { h, d };
        },
      },
    });
    const root = await at.begin("alpha.root", { topic: "x" }, { "x-session-id": "sess" });
    const ended = await at.ended(root);
    expect(ended).toMatchObject({
      status: "succeeded",
      result: { h: { ok: true, n: 1 }, d: { value: 42 } },
      run_id: root,
    });
    expect(alpha.calls.map(({ name }) => name)).toEqual(["root", "helper"]);
    expect(beta.calls[0]?.headers).toMatchObject({
      "content-type": "application/json",
      "x-run-id": root,
      "x-workflow-id": root,
      "x-parent-execution-id": root,
      "x-session-id": "sess",
    });
    const nodes = await at.graph(root);
    expect(nodes.map(({ reasoner_id: name, parent_execution_id: parent }) => [name, parent])).toEqual([
      ["root", null],
      ["helper", root],
      ["double", root],
    ]);
    expect(components(await at.stemma.trace(root, { family: true }))).toBe(1);
  });
});
