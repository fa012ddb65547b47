import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { assess, packagesIn, pick, report, unproven } from "./library.ts";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const modules = here("../../node_modules");

test("what a licence asks is proven by its own words", () => {
  const findings = ["typescript", "zod"].map((name) => assess(modules, name));
  expect(findings.map(({ licence }) => licence)).toEqual(["Apache-2.0", "MIT"]);
  expect(findings[0]?.duties.map(({ duty }) => duty)).toContain("say what was changed");
  expect(findings[1]?.duties.map(({ duty }) => duty)).toEqual(["keep the copyright notice", "expect no warranty"]);
  expect(unproven(modules, findings)).toEqual([]);
  const [made] = findings.slice(1).map((one) => ({ ...one, duties: [{ duty: "pay", quote: "must pay a fee" }] }));
  expect(made && unproven(modules, [made])).toEqual(["zod: pay"]);
  expect(report(findings, "full")).toContain("keep the copyright notice: typescript, zod");
  expect(report(findings, "brief")).toContain("expect no warranty: 2 packages");
});

test("of each licence there is one package before there are two of any; what has no text is left out", () => {
  const folder = mkdtempSync(join(tmpdir(), "stemma-research-"));
  const put = (name: string, license: string, text?: string): void => {
    mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, name, "package.json"), JSON.stringify({ license }));
    if (text !== undefined) writeFileSync(join(folder, name, "LICENSE"), text);
  };
  put("a", "MIT", "x");
  put("b", "MIT", "x");
  put("@c/d", "ISC", "x");
  put("e", "MIT");
  expect(packagesIn(folder)).toEqual(["@c/d", "a", "b"]);
  expect(pick(folder, 2)).toEqual(["@c/d", "a"]);
  rmSync(folder, { recursive: true });
});

test("three nodes, one killed in the middle: nothing on record is done again, not in the restart and not in the fork", () => {
  const out = execFileSync(process.execPath, [here("main.ts")], { encoding: "utf8" });
  expect(out).toMatch(/was ended by SIGKILL; [2-7] of 8 licences are on record/u);
  expect(out).toContain("8 licences were read, at most 3 of them twice");
  expect(out).toContain("failed: What is Apache-2.0");
  expect(out).toContain("Restarted. Entered: research, synthesize 2, verify.");
  expect(out).toContain("0 quotes are not in the texts");
  expect(out).toContain("Forked into a brief one. Entered: research, synthesize 2.");
  expect(out).toMatch(/\d+ runs are one family: \d+ nodes, 1 component/u);
  const [, kept = ""] = /Kept in: (.+)/u.exec(out) ?? [];
  const entered = readFileSync(join(kept, "diary.txt"), "utf8").trim().split("\n");
  const count = (name: string): number => entered.filter((line) => line.startsWith(name)).length;
  expect([count("research"), count("plan"), count("synthesize"), count("verify")]).toEqual([3, 1, 3, 1]);
  rmSync(kept, { recursive: true });
});
