import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Trace } from "./trace.ts";
import { toMermaid } from "./trace-mermaid.ts";
import { anyText } from "../../test/any-text.ts";

const step = (n: number, key: string, status = "succeeded", run = "run_a"): Trace["nodes"][number] => {
  return { id: `wf_step|${run}|${n}`, kind: "step", run, n, key, status };
};

describe("toMermaid", () => {
  test("draws nodes by kind and status, and edges by kind", () => {
    const nodes: Trace["nodes"] = [
      { id: "wf_run|run_a", kind: "run", run: "run_a", status: "failed" },
      step(0, "load"),
      { id: "wf_ckpt|run_a|0", kind: "checkpoint", run: "run_a", n: 0, status: "stored" },
      { id: "wf_failed|run_a", kind: "terminal", run: "run_a", status: "failed" },
    ];
    const edges: Trace["edges"] = [
      { id: "e0", kind: "wf_next_step_exec", from: "wf_run|run_a", to: "wf_step|run_a|0" },
      { id: "e1", kind: "persist_checkpoint", from: "wf_step|run_a|0", to: "wf_ckpt|run_a|0" },
      { id: "e2", kind: "terminal", from: "wf_step|run_a|0", to: "wf_failed|run_a" },
    ];
    expect(toMermaid({ nodes, edges }).split("\n").slice(0, 8)).toEqual([
      "flowchart TD",
      '  n0(["run_a<br/>failed"]):::bad',
      '  n1["0 load<br/>succeeded"]:::good',
      '  n2[("0 checkpoint<br/>stored")]:::record',
      '  n3(["end<br/>failed"]):::bad',
      "  n0 --> n1",
      "  n1 -.-> n2",
      "  n1 --> n3",
    ]);
  });

  test("each run of a family stands in its own frame, and edges go between frames", () => {
    const text = toMermaid({
      nodes: [step(0, "x", "succeeded", "run_a"), step(0, "x", "reused", "run_b")],
      edges: [{ id: "e", kind: "reused_from", from: "wf_step|run_a|0", to: "wf_step|run_b|0" }],
    });
    expect(text).toContain('  subgraph r0["run_a"]\n    n0["0 x<br/>succeeded"]:::good\n  end\n');
    expect(text).toContain('  subgraph r1["run_b"]\n    n1["0 x<br/>reused"]:::reused\n  end\n');
    expect(text).toContain("  n0 -.->|reused from| n1\n");
  });

  test("no key and no status can break out of its node, or be taken for a style", () => {
    const hostile = fc.oneof(
      anyText,
      fc.constantFrom(
        '"]:::x --> n9["',
        "style a:#35;",
        "classDef x fill:#f00;",
        "`md`",
        "<b>",
        "%%{init}%%",
        "a\nb",
        "\u202e",
      ),
    );
    fc.assert(
      fc.property(hostile, hostile, (key, status) => {
        const lines = toMermaid({ nodes: [step(0, key, status)], edges: [] })
          .trimEnd()
          .split("\n");
        expect(lines[0]).toBe("flowchart TD");
        expect(lines[1]).toMatch(
          /^ {2}n0\["0 (?:[\p{L}\p{M}\p{N} _./,@-]|#\d+;)*<br\/>(?:[\p{L}\p{M}\p{N} _./,@-]|#\d+;)*"\]:::\w+$/u,
        );
        expect(lines.slice(2).every((line) => /^ {2}classDef \w+ [\w:#,]+$/.test(line))).toBe(true);
      }),
    );
  });

  test("an edge to a node that is not in the trace is drawn, not dropped", () => {
    const edges: Trace["edges"] = [{ id: "e", kind: "child_run", from: "wf_step|run_x|0", to: "wf_step|run_a|0" }];
    const text = toMermaid({ nodes: [step(0, "x")], edges });
    expect(text).toContain('n1["wf_step#124;run_x#124;0"]:::other');
    expect(text).toContain("n1 ==>|child run| n0");
  });
});
