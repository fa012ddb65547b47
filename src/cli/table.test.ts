import { expect, test } from "vitest";
import { flow, table } from "./table.ts";

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

test("in a narrow terminal names are cut first; then each row becomes lines, with all its cells", () => {
  const columns = [{ title: "run" }, { title: "workflow", cut: true }, { title: "steps" }];
  const rows = [[{ text: "run_0123" }, { text: "a-very-long-name@1" }, { text: "3, 1 failed" }]];
  expect(table(columns, rows, 35)[1]).toBe("run_0123  a-very-long…  3, 1 failed");
  expect(table(columns, rows, 24)).toEqual(["run_0123", "  a-very-long-name@1", "  3, 1 failed"]);
  expect(table(columns, rows, 42)[1]).toBe("run_0123  a-very-long-name@1  3, 1 failed");
});

test("cells that flow fill each line, and none is longer than the terminal is wide", () => {
  expect(flow([{ text: "one" }, { text: "" }, { text: "two" }, { text: "three" }], 10)).toEqual([
    "one  two",
    "  three",
  ]);
  expect(flow([{ text: "0123456789abc" }], 6)).toEqual(["01234…"]);
});
