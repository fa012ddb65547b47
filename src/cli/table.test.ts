import { expect, test } from "vitest";
import { table, widthOf } from "./table.ts";

test("columns are aligned whatever stands in them: wide characters, accents, controls", () => {
  const lines = table(
    [{ title: "name" }, { title: "n", align: "right" }, { title: "note" }],
    [
      [{ text: "日本" }, { text: "1" }, { text: "x" }],
      [{ text: "e\u0301t\u00e9" }, { text: "1000" }, { text: "y" }],
      [{ text: "\u001b[2J" }, { text: "22" }],
    ],
  );
  expect(lines).toEqual([
    "name          n  note",
    "日本          1  x",
    "e\u0301t\u00e9        1000  y",
    "\\u001b[2J    22  ",
  ]);
});

test("a table without rows is its head", () => {
  expect(table([{ title: "a" }, { title: "b" }], [])).toEqual(["a  b"]);
});

test("width counts places, not code units", () => {
  expect(["abc", "日本", "👩", "e\u0301", ""].map(widthOf)).toEqual([3, 4, 2, 1, 0]);
});
