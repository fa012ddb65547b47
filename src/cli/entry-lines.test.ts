import { describe, expect, test } from "vitest";
import type { EntryOptions } from "./entry-lines.ts";
import { errorLines, treeNodes } from "./entry-lines.ts";
import type { Branch, Child, Entry } from "./run-tree.ts";
import { drawTree } from "./tree.ts";

const options: EntryOptions = { now: 100_000, outputs: false, all: false, held: true, texts: new Map() };

function entry(name: string, more: Partial<Entry> = {}): Child {
  return {
    entry: { key: name, name, kind: "step", status: "succeeded", firstAt: 0, lastAt: 0, ms: 5, attempt: 1, ...more },
  };
}

function lines(children: Child[], more: Partial<EntryOptions> = {}): string[] {
  const root: Branch = { name: "", path: "", children };
  return drawTree(treeNodes(root, { ...options, ...more }));
}

describe("treeNodes", () => {
  test("many quiet siblings are folded and counted; what went wrong or is open is always shown", () => {
    const many = Array.from({ length: 30 }, (_, i) => entry(`s${i}`));
    many.push(entry("bad", { status: "failed" }), entry("nap", { kind: "wait", status: "waiting", waitsFor: "timer" }));
    const shown = lines(many);
    expect(shown).toHaveLength(11);
    expect(shown[8]).toContain("✖ bad");
    expect(shown[9]).toContain("◷ nap");
    expect(shown[10]).toBe("└─ … 22 succeeded more (--all shows them)");
    expect(lines(many, { all: true })).toHaveLength(32);
  });

  test("a waiting timer says when it fires, and a wait what it asks", () => {
    const [timer, , prompt] = lines([
      entry("nap", { kind: "wait", status: "waiting", waitsFor: "timer", until: 7_300_000 }),
      entry("ok", { kind: "wait", status: "waiting", waitsFor: "approval", prompt: "Publish?\u001b[2J" }),
    ]);
    expect(timer).toMatch(/^├─ ◷ nap {2}timer {2}fires in 2h \(\d{4}-/);
    expect(prompt).toBe(String.raw`      Publish?\u001b[2J`);
  });

  test("a step that was begun is running only while somebody works on the run", () => {
    const begun = entry("long", { status: "running", firstAt: 90_000 });
    expect(lines([begun])[0]).toContain("running  for 10s");
    expect(lines([begun], { held: false })[0]).toContain("begun and not settled");
  });

  test("outputs are short, large ones a size, and whole where they were loaded and asked for", () => {
    const large = entry("big", { output: { digest: "d", bytes: 5002 } });
    expect(lines([entry("a", { output: { inline: "x".repeat(100) } })])[0]).toMatch(/→ "x{58}…$/);
    expect(lines([large])[0]).toContain("→ 5.0 kB of JSON");
    expect(lines([large], { outputs: true, texts: new Map([["d", '{"a":"\u009b"}']]) }).slice(1)).toEqual([
      "      {",
      String.raw`        "a": "\u009b"`,
      "      }",
    ]);
    expect(lines([large], { outputs: true })[1]).toContain("not in the store any more");
  });

  test("neither a key nor an error can put a control character or a second line on the terminal", () => {
    const error = { name: "E\u001b]0;t\u0007", message: "a\nb", cause: { name: "T", message: "\u202e" } };
    for (const line of lines([entry("x\u001b[31m\n", { status: "failed", error })]))
      expect(line).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(errorLines(error)).toEqual([String.raw`E\u001b]0;t\u0007: a\nb`, String.raw`caused by T: \u202e`]);
  });
});
