import { expect, test } from "vitest";
import { runGuide } from "./program.ts";

test("the guide of task graphs is a program that prints what it says", () => {
  const { printed, said } = runGuide("task-graphs.md");
  expect(said).not.toBe("");
  expect(inOneOrder(printed)).toEqual(inOneOrder(said));
});

/** What runs side by side ends in the order in which it does: on a slow machine in another one. */
function inOneOrder(text: string): string[][] {
  return text.split("\n").map((line) => line.split(", ").toSorted());
}
