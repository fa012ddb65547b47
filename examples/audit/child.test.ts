import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startChild } from "./child.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stemma-child-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function program(source: string): URL {
  const file = join(folder, "program.mjs");
  writeFileSync(file, source);
  return pathToFileURL(file);
}

const ready =
  "console.log(JSON.stringify({ pid: process.pid, args: process.argv.slice(2) })); setInterval(() => {}, 1000);";

test("a child is started when it says so, and its line is given", async () => {
  const child = await startChild(program(ready), ["--store", "x"]);
  expect(child.ready).toEqual({ pid: child.pid, args: ["--store", "x"] });
  expect(await child.stop()).toEqual({ code: null, signal: "SIGTERM" });
});

test("a killed child ends by SIGKILL, also if it does not listen, and stopping it again does nothing", async () => {
  const child = await startChild(program(`process.on("SIGTERM", () => {}); ${ready}`), []);
  expect(await child.kill()).toEqual({ code: null, signal: "SIGKILL" });
  expect(await child.stop()).toEqual({ code: null, signal: "SIGKILL" });
});

test("a child that ends before it is ready is an error with what it wrote", async () => {
  await expect(startChild(program('console.error("no such store"); process.exit(3);'), [])).rejects.toThrow(
    /ended with 3:\nno such store/,
  );
});

test("what a child writes is never in its way", async () => {
  const source = `
    console.log("{}");
    for (let n = 0; n < 5000; n++) { console.log("x".repeat(100)); console.error("y".repeat(100)); }`;
  const child = await startChild(program(source), []);
  expect(await child.exit).toEqual({ code: 0, signal: null });
  expect(child.complaints()).toMatch(/^[y\n]{4000}$/);
});
