import { expect, test } from "vitest";
import { runGuide } from "./program.ts";

test("the guide of message graphs is a program that prints what it says", () => {
  const { printed, said } = runGuide("message-graphs.md");
  expect(said).not.toBe("");
  expect(printed).toBe(said);
});
