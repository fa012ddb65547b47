import { expect, test } from "vitest";
import { Earliest } from "./earliest.ts";
import type { Position } from "./positions.ts";

function place(entry: number, key: string, cut: boolean): Position {
  return { entry, run: `run_${entry}`, seq: 3, cut, key };
}

test("a step that is cut runs, also where the like of it succeeded", () => {
  const [own, like] = [place(0, "x", true), place(0, "x#2", false)];
  const places = new Earliest([own, like]);
  expect(places.next("x")).toBe(own);
  expect(places.next("x#3")).toBe(like);
});

test("a step that was cut before and made anew since is given what it came to then", () => {
  const anew = place(0, "x", false);
  expect(new Earliest([anew, place(1, "x", true)]).next("x")).toBe(anew);
});
