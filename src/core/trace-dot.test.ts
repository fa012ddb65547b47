import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Trace } from "./trace.ts";
import { toDot } from "./trace-dot.ts";
import { anyText } from "../../test/any-text.ts";

const step = (n: number, key: string, status = "succeeded", run = "run_a"): Trace["nodes"][number] => {
  return { id: `wf_step|${run}|${n}`, kind: "step", run, n, key, status };
};

/** What a label shows: the text of a quoted string of the DOT language, with its escapes and entities read. */
function shown(quoted: string): string {
  return quoted
    .replace(/\\(.)/gsu, (_, character: string) => (character === "n" ? "\n" : character))
    .replaceAll("&amp;", "&");
}

/** A quoted string in which nothing can be taken for an end, an entity, or an escape but `\\`, `\"` and `\n`. */
const string = String.raw`"(?:[^"\\&\p{Cc}]|\\[\\"n]|&amp;)*"`;
const attributes = String.raw`\[(?: ?[a-z]+=(?:[a-z]+|${string}))+\]`;
const statement = new RegExp(
  [
    String.raw`^digraph trace \{$`,
    String.raw`^  (?:graph|node|edge) \[(?: ?[a-z]+=(?:\d+|${string}))+\];$`,
    String.raw`^  subgraph cluster_\d+ \{$`,
    String.raw`^    (?:label|color)=${string};$`,
    String.raw`^ {2,4}n\d+ ${attributes};$`,
    String.raw`^  n\d+ -> n\d+(?: ${attributes})?;$`,
    String.raw`^(?:  )?\}$`,
  ].join("|"),
  "u",
);

describe("toDot", () => {
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
    expect(toDot({ nodes, edges }).split("\n").slice(4)).toEqual([
      String.raw`  n0 [label="run_a\nfailed" shape=box style="rounded,filled" fillcolor="#fde8e8" color="#b3261e" fontcolor="#5c0f0a"];`,
      String.raw`  n1 [label="0 load\nsucceeded" shape=box style="filled" fillcolor="#e6f4ea" color="#1e7d34" fontcolor="#0b3d17"];`,
      String.raw`  n2 [label="0 checkpoint\nstored" shape=cylinder style="filled" fillcolor="#ffffff" color="#9a9a9a" fontcolor="#404040"];`,
      String.raw`  n3 [label="end\nfailed" shape=box style="rounded,filled" fillcolor="#fde8e8" color="#b3261e" fontcolor="#5c0f0a"];`,
      "  n0 -> n1;",
      "  n1 -> n2 [style=dotted];",
      "  n1 -> n3;",
      "}",
      "",
    ]);
  });

  test("each run of a family stands in its own frame, and edges go between frames", () => {
    const text = toDot({
      nodes: [step(0, "x", "succeeded", "run_a"), step(0, "x", "reused", "run_b")],
      edges: [{ id: "e", kind: "reused_from", from: "wf_step|run_a|0", to: "wf_step|run_b|0" }],
    });
    expect(text).toMatch(/ {2}subgraph cluster_0 \{\n {4}label="run_a";\n.*\n {4}n0 \[.*\n {2}\}\n/);
    expect(text).toMatch(/ {2}subgraph cluster_1 \{\n {4}label="run_b";\n.*\n {4}n1 \[.*\n {2}\}\n/);
    expect(text).toContain(`  n0 -> n1 [style=dotted label="reused from"];\n`);
  });

  test("no key, status or run can break out of its label, and the label shows it as it is", () => {
    const hostile = fc.oneof(
      anyText,
      fc.constantFrom(
        '"]; n9 [label="',
        "\\",
        String.raw`\"`,
        String.raw`\N\G\l`,
        "&quot;&#34;&amp;",
        "<b>x</b>",
        "a\nb",
        "\u0000",
        "\u202e",
        "/* */ // #",
      ),
    );
    const plain = /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]*$/u;
    fc.assert(
      fc.property(hostile, hostile, hostile, (key, status, run) => {
        const lines = toDot({ nodes: [step(0, key, status, run), step(0, "x", "failed", "run_b")], edges: [] })
          .trimEnd()
          .split("\n");
        for (const line of lines) expect(line).toMatch(statement);
        const [label = ""] = new RegExp(`(?<=label=)${string}(?= shape)`, "u").exec(lines.join("\n")) ?? [];
        if (plain.test(key + status)) expect(shown(label.slice(1, -1))).toBe(`0 ${key}\n${status}`);
      }),
    );
  });

  test("an edge to a node that is not in the trace is drawn, not dropped", () => {
    const edges: Trace["edges"] = [{ id: "e", kind: "child_run", from: "wf_step|run_x|0", to: "wf_step|run_a|0" }];
    const text = toDot({ nodes: [step(0, "x")], edges });
    expect(text).toContain('n1 [label="wf_step|run_x|0" shape=box');
    expect(text).toContain(`n1 -> n0 [style=bold label="child run"];`);
  });
});
