import { describe, expect, test } from "vitest";
import type { EntryOptions } from "./entry-lines.ts";
import { errorLines, quietNormal, treeNodes } from "./entry-lines.ts";
import type { Branch, Child, Entry } from "./run-tree.ts";
import { drawTree } from "./tree.ts";
import { widthOf } from "./width.ts";

const options: EntryOptions = {
  now: 100_000,
  width: Infinity,
  outputs: false,
  all: false,
  held: true,
  open: true,
  quiet: quietNormal,
  texts: new Map(),
};

function entry(name: string, more: Partial<Entry> = {}): Child {
  return {
    entry: { key: name, name, kind: "step", status: "succeeded", firstAt: 0, lastAt: 0, ms: 5, attempt: 1, ...more },
  };
}

function lines(children: Child[], more: Partial<EntryOptions> = {}): string[] {
  const root: Branch = { name: "", path: "", children };
  return drawTree(treeNodes(root, { ...options, ...more }), more.width ?? options.width);
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
    expect(timer).toMatch(/^├─ ◷ nap {2}1m 40s {2}timer {2}fires in 2h {2}\(\d{4}-/);
    expect(prompt).toBe(String.raw`      Publish?\u001b[2J`);
  });

  test("a step that was begun is running only while somebody works on the run", () => {
    const begun = entry("long", { status: "running", firstAt: 90_000, lastAt: 90_000 });
    expect(lines([begun])[0]).toBe("└─ ▶ long  10s  running");
    expect(lines([begun], { held: false })[0]).toBe("└─ ▶ long  begun and not settled");
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
    expect(errorLines(error).map(({ text }) => text)).toEqual(["E\u001b]0;t\u0007: a\nb", "caused by T: \u202e"]);
  });

  test("an attempt says which it is, and when the next one begins", () => {
    const failed = { status: "retrying", attempt: 2, attemptsMax: 5 };
    expect(lines([entry("pay", { ...failed, retryAt: 103_400 })])[0]).toContain("attempt 2/5 failed  again in 3s");
    expect(lines([entry("pay", { ...failed, retryAt: 99_000 })])[0]).toContain("attempt 2/5 failed  again now");
    expect(lines([entry("pay", { attempt: 3 })])[0]).toContain("attempt 3");
    expect(lines([entry("pay")])[0]).not.toContain("attempt");
  });

  test("a branch says how much of it is settled, and whether there may be more", () => {
    const items = [entry("a"), entry("b", { status: "failed" }), entry("c", { status: "running", lastAt: 90_000 })];
    const branch = (more: Partial<Branch>): Child[] => [{ branch: { name: "m", path: "m", children: items, ...more } }];
    expect(lines(branch({}))[0]).toMatch(/─ m .* 2\/3\+ {2}1 failed {2}1 running$/);
    expect(lines(branch({ kind: "map" }))[0]).toMatch(/─ m .* map {2}2\/3 {2}1 failed {2}1 running$/);
    expect(lines(branch({}), { open: false })[0]).toMatch(/ 2\/3 /);
  });

  test("in 40 places every status, time and attempt can be read, and no line is longer", () => {
    const shown = lines(
      [
        entry("a-name-that-is-far-too-long-for-it", { output: { inline: "x".repeat(50) } }),
        entry("retries", { status: "retrying", attempt: 2, attemptsMax: 5, retryAt: 160_000, key: "r" }),
        entry("asks", {
          kind: "wait",
          status: "waiting",
          waitsFor: "approval",
          until: 900_000,
          prompt: "日本語 ".repeat(9),
        }),
      ],
      { width: 40 },
    );
    for (const line of shown) expect(widthOf(line)).toBeLessThanOrEqual(40);
    expect(shown.join(" ").replaceAll(/[\s│]+/g, " ")).toMatch(
      /a-name-.*5ms.*attempt 2\/5 failed again in 1m.*waits for an approval/,
    );
  });
});
