import { expect, test } from "vitest";
import { drawTree } from "./tree.ts";

test("branches are drawn to the last child and no further, and what stands below a line stays under it", () => {
  const lines = drawTree([
    { line: "a", below: ["a1"], children: [{ line: "b", below: ["b1", "b2"] }, { line: "c" }] },
    { line: "d", below: ["d1"] },
  ]);
  expect(lines).toEqual(["├─ a", "│  │  a1", "│  ├─ b", "│  │     b1", "│  │     b2", "│  └─ c", "└─ d", "      d1"]);
});
