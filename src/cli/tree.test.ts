import { expect, test } from "vitest";
import type { TreeNode } from "./tree.ts";
import { drawTree } from "./tree.ts";
import { widthOf } from "./width.ts";

const node = (name: string, more: Partial<TreeNode> = {}): TreeNode => ({ line: { name: { text: name } }, ...more });

test("branches are drawn to the last child and no further, and what stands below a line stays under it", () => {
  const below = (...texts: string[]): { text: string }[] => texts.map((text) => ({ text }));
  const nodes = [
    node("a", { below: below("a1"), children: [node("b", { below: below("b1", "b2") }), node("c")] }),
    node("d", { below: below("d1") }),
  ];
  expect(drawTree(nodes, Infinity)).toEqual([
    "├─ a",
    "│  │  a1",
    "│  ├─ b",
    "│  │     b1",
    "│  │     b2",
    "│  └─ c",
    "└─ d",
    "      d1",
  ]);
});

const settled = [
  node("s", { children: [{ line: { mark: { text: "✔" }, name: { text: "load" }, time: "12ms" } }] }),
  {
    line: {
      mark: { text: "✖" },
      name: { text: "charge the customer's card" },
      time: "1m 20s",
      facts: [{ text: "failed" }, { text: "attempt 5/5" }],
      extra: "x".repeat(200),
    },
  },
];

test("times stand in one column, whatever the depth and length of names", () => {
  const lines = drawTree(settled, Infinity);
  expect(lines).toEqual([
    "├─ s",
    "│  └─ ✔ load                       12ms",
    `└─ ✖ charge the customer's card  1m 20s  failed  attempt 5/5  → ${"x".repeat(200)}`,
  ]);
});

test("in a narrow terminal the name is cut and the extra left out; no fact is, and no line is too long", () => {
  for (const width of [30, 40, 60, 80]) {
    const lines = drawTree(settled, width);
    for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(width);
    expect(lines.join("\n")).toMatch(/1m 20s[^]*failed[^]*attempt 5\/5/);
  }
  expect(drawTree(settled, 40).at(-2)).toContain("charge t…  1m 20s");
});

test("what stands below a line is wrapped; brief it is cut to one line, and whole it keeps its form", () => {
  const text = "one two three four five six";
  const below = (form?: "brief" | "whole"): TreeNode[] => [node("a", { below: [{ text, ...(form && { form }) }] })];
  expect(drawTree(below(), 20)).toEqual(["└─ a", "      one two three", "      four five six"]);
  expect(drawTree(below("brief"), 20)).toEqual(["└─ a", "      one two three…"]);
  expect(drawTree(below("whole"), 20)).toEqual(["└─ a", `      ${text}`]);
});
