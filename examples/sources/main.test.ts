import { execFileSync } from "node:child_process";
import { globSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const program = fileURLToPath(new URL("main.ts", import.meta.url));
const folder = fileURLToPath(new URL("../../src/core", import.meta.url));

test("a graph whose process was killed goes on in another one, reads no file twice, and has a connected trace", () => {
  const out = execFileSync(process.execPath, [program, folder], { encoding: "utf8" });
  const files = globSync("**/*.ts", { cwd: folder }).length;
  const [, left] = /ended by SIGKILL; it left (\d+) tasks done/u.exec(out) ?? [];
  const [, read, all, tasks] = /it read (\d+) of (\d+) files; (\d+) tasks in all/u.exec(out) ?? [];
  expect(Number(all)).toBe(files);
  expect(Number(tasks)).toBe(files + 6);
  // What was done is the list, what it found to read, and some of the files; all the others were read now.
  expect(Number(left) - 2 + Number(read)).toBe(files);
  expect(Number(left)).toBeGreaterThan(2);
  expect(out).toMatch(/Its trace: \d+ nodes, \d+ edges, 1 component/u);
  expect(out).toContain(`# ${files} source files`);
  const [, kept] = /Store and report: (.+)/u.exec(out) ?? [];
  rmSync(String(kept), { recursive: true });
});
