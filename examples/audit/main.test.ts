import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Figures } from "./figures.ts";
import { Ledger } from "./ledger.ts";
import { listPackages } from "./packages.ts";

const installed = fileURLToPath(new URL("../../node_modules", import.meta.url));
const program = fileURLToPath(new URL("main.ts", import.meta.url));
const longMs = 120_000;

let parent: string;
let folder: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "stemma-audit-"));
  folder = join(parent, "kept");
});
afterEach(() => rmSync(parent, { recursive: true }));

/** The demonstration as a process; `seen` settles when its standard error has shown a match. */
function demonstrate(...args: string[]): Demonstration {
  const child = spawn(process.execPath, [program, "--once", "--json", "--keep", folder, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let shown = "";
  child.stderr.setEncoding("utf8").on("data", (more: string) => (shown += more));
  const out = text(child.stdout);
  const ended = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  return {
    end: async () => ({ code: (await ended)[0], stdout: await out, stderr: shown }),
    seen: async (pattern) => {
      await expect.poll(() => shown, { timeout: longMs }).toMatch(pattern);
    },
    processes: () => [...shown.matchAll(/process (\d+)/g)].map(([, pid]) => Number(pid)),
    signal: (name) => child.kill(name),
  };
}

type Demonstration = {
  end(): Promise<{ code: number | null; stdout: string; stderr: string }>;
  seen(pattern: RegExp): Promise<void>;
  processes(): number[];
  signal(name: NodeJS.Signals): boolean;
};

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe("npm start", () => {
  test(
    "a worker killed in the middle of real work costs nothing twice and loses nothing",
    { timeout: longMs },
    async () => {
      const { code, stdout, stderr } = await demonstrate().end();
      expect(stderr).not.toContain("failed");
      expect(code).toBe(0);
      const found = JSON.parse(stdout) as Figures;
      const packages = (await listPackages(installed)).length;
      expect(packages).toBeGreaterThan(100);
      expect(found).toEqual({
        packages,
        charged: packages,
        chargedTwice: 0,
        requests: expect.any(Number),
        repeated: expect.any(Number),
        chargedBeforeCrash: expect.any(Number),
        crashes: 1,
        run: expect.stringMatching(/^run_[0-9a-z]{26}$/i),
        status: "succeeded",
        connected: true,
        components: 1,
        approved: true,
        publications: 1,
      });
      expect(stderr).toMatch(/npx stemma resume run_\w+ approval --value '\{"approve":true\}' --by \S+ --store /);
      expect(stdout.trim()).not.toContain("\n");
      expect(found.repeated).toBeLessThanOrEqual(8);
      expect(found.chargedBeforeCrash / found.charged).toBeGreaterThan(0.2);
      expect(found.chargedBeforeCrash / found.charged).toBeLessThan(0.8);

      const ledger = new Ledger(join(folder, "ledger.db"));
      const { requests, charges, charged, repeated, publications } = ledger.figures();
      ledger.close();
      expect({ requests, charges, charged, repeated, publications }).toEqual({
        publications: 1,
        requests: found.requests,
        charges: packages,
        charged: packages,
        repeated: found.repeated,
      });
      const report = JSON.parse(readFileSync(join(folder, "report/report.json"), "utf8")) as { packages: unknown[] };
      expect(report.packages).toHaveLength(packages);
      expect(readdirSync(join(folder, "report")).toSorted()).toEqual(["report.json", "report.md"]);
    },
  );

  test.each(["SIGTERM", "SIGINT", "SIGKILL"] as const)(
    "%s in the middle leaves no process behind",
    { timeout: longMs },
    async (signal) => {
      const run = demonstrate();
      await run.seen(/takes over/);
      expect(new Set(run.processes()).size).toBe(3);
      run.signal(signal);
      await run.end();
      await expect.poll(() => run.processes().filter(lives), { timeout: 20_000 }).toEqual([]);
    },
  );
});

describe("a refusal is exit code 1, with a sentence, nothing on stdout and nothing started", () => {
  test("for a folder that holds something already", async () => {
    rmSync(parent, { recursive: true });
    parent = folder = mkdtempSync(join(tmpdir(), "stemma-audit-"));
    writeFileSync(join(folder, "ledger.db"), "old");
    const { code, stdout, stderr } = await demonstrate().end();
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/expected a new or empty folder/);
  });

  test("for a directory without enough packages", async () => {
    const { code, stdout, stderr } = await demonstrate("--dir", parent).end();
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/expected at least 20 packages in .*, found 0/);
    expect(existsSync(join(folder, "ledger.db"))).toBe(false);
  });
});
