import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { Progress } from "./progress.ts";
import { answerCommand, nextCommands, summaryLines } from "./show.ts";
import { table } from "./table.ts";
import { traceTree } from "./tree.ts";
import type { TraceText } from "./tree.ts";

function plain(lines: string[]): string[] {
  return lines.map(stripVTControlCharacters);
}

function step(n: number, key: string, status = "succeeded"): TraceText["nodes"][number] {
  return { id: `wf_step|run_x|${n}`, kind: "step", n, key, status };
}

function edge(from: string, to: string): TraceText["edges"][number] {
  return { kind: "wf_next_step_exec", from, to };
}

describe("the trace as a tree", () => {
  const run = { id: "wf_run|run_x", kind: "run", status: "succeeded" };

  test("steps stand under their scopes, in the order in which they were asked for, with their causes", () => {
    const nodes = [run, step(0, "list"), step(2, "classify/b", "failed"), step(1, "classify/a"), step(3, "report")];
    const edges = [
      edge(nodes[0]!.id, nodes[1]!.id),
      edge(nodes[1]!.id, nodes[3]!.id),
      edge(nodes[1]!.id, nodes[2]!.id),
      edge(nodes[3]!.id, nodes[4]!.id),
      edge(nodes[2]!.id, nodes[4]!.id),
    ];
    expect(plain(traceTree({ nodes, edges }))).toEqual([
      "run_x succeeded",
      "├─ list succeeded",
      "├─ classify  2 steps: 1 succeeded, 1 failed",
      "│  ├─ a succeeded  ← list",
      "│  └─ b failed  ← list",
      "└─ report succeeded  ← classify/a, classify/b",
    ]);
  });

  test("a question and its answer are one step, caused by what led to the question", () => {
    const nodes = [run, step(0, "list"), step(1, "approval", "waiting"), { ...step(1, "approval"), id: "answer" }];
    const edges = [edge(nodes[1]!.id, nodes[2]!.id), edge(nodes[2]!.id, "answer")];
    expect(plain(traceTree({ nodes, edges }))).toEqual([
      "run_x succeeded",
      "├─ list succeeded",
      "└─ approval succeeded  ← list",
    ]);
  });

  test("a long list is folded, and the fold says what it hides", () => {
    const nodes = [run, ...Array.from({ length: 20 }, (_, n) => step(n, `map/${n}`, n === 9 ? "failed" : "succeeded"))];
    const lines = plain(traceTree({ nodes, edges: [] }));
    expect(lines.slice(-2)).toEqual(["   ├─ … 15 steps: 14 succeeded, 1 failed", "   └─ 19 succeeded"]);
    expect(lines).toHaveLength(8);
  });
});

describe("the table", () => {
  test("columns are aligned, numbers to the right", () => {
    expect(
      plain(
        table(
          ["Licence", "n"],
          [
            ["MIT", 100],
            ["Apache-2.0", 7],
          ],
        ),
      ),
    ).toEqual(["  Licence     n", "  MIT         100", "  Apache-2.0    7"]);
  });
});

describe("progress", () => {
  test("without a terminal a line is printed once per tenth, and nothing is drawn over", () => {
    let text = "";
    const progress = new Progress({ write: (more) => (text += more) });
    for (let done = 0; done <= 40; done++) progress.bar(done, 40, "charged");
    for (let done = 0; done <= 40; done++) progress.bar(done, 40, "again");
    expect(text.split("\n").filter(Boolean)).toHaveLength(10);
    expect(text).not.toContain("\u001B");
    expect(text).toContain("  40/40 charged\n");
  });

  test("on a terminal a line wipes the bar before it", () => {
    let text = "";
    const progress = new Progress({ isTTY: true, write: (more) => (text += more) });
    progress.bar(1, 2, "charged");
    progress.line("crash");
    expect(text.endsWith("\r\u001B[2Kcrash\n")).toBe(true);
  });
});

describe("the end of the demonstration", () => {
  test("commands name the run and the store, quoted for a shell", () => {
    expect(nextCommands("run_x", { file: `${process.cwd()}/.stemma/a b/it's.db` }, [])[0]).toBe(
      String.raw`  npx stemma show run_x --store '.stemma/a b/it'\''s.db'`,
    );
  });

  test("so does the command that answers the question of a run", () => {
    expect(answerCommand("run_x", "approval", { approve: true }, { file: `${process.cwd()}/s.db` })).toBe(
      `  npx stemma resume run_x approval --value '{"approve":true}' --by you --store s.db`,
    );
  });

  test("of a run in a database it is calls, without its password, and only where the database is still there", () => {
    const place = { url: "postgres://me:secret@h/d", schema: "s_1", lasts: true };
    const lines = [
      ...nextCommands("run_x", place, []),
      answerCommand("run_x", "approval", { approve: true }, { ...place, lasts: false }),
    ];
    expect(lines).toEqual([
      '  new Stemma({ store: postgres({ url, schema: "s_1" }) }).trace("run_x")',
      '  await stemma.resume("run_x", "approval", {"approve":true}, { by: "you" })',
    ]);
    expect(nextCommands("run_x", { ...place, lasts: false }, [])).toEqual([]);
  });

  test("no more than five flagged packages are named, and the rest are counted", () => {
    const flag = { package: "p@1", path: "p", declared: null, licence: "unknown" };
    const documentation = { withoutReadme: 0, withoutInstall: 0, withoutExample: 0, words: 0 };
    const unknown = Array.from({ length: 7 }, () => flag);
    const lines = plain(
      summaryLines({ packages: 7, byLicence: [], unknown, conflicting: [], withoutText: [], documentation }),
    );
    expect(lines.filter((line) => line.includes("p@1: declared nothing"))).toHaveLength(5);
    expect(lines).toContain("    and 2 more in the report");
  });
});
