import { expect, test } from "vitest";
import { runGuide } from "./program.ts";

test("the guide of remote nodes is a program that prints what it says", () => {
  const { printed, said } = runGuide("agents.md");
  expect(said).toContain("published");
  expect(printed).toBe(said);
});
