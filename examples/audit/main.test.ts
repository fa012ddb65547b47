import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { client } from "../../src/client.ts";
import { dropSchema, postgresUrl, sql } from "../../test/postgres/database.ts";
import { Stemma, workflow } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";
import { replay } from "../../src/testing.ts";
import { audit } from "./audit.ts";
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
  return begin("--once", ...args);
}

function begin(...args: string[]): Demonstration {
  const child = spawn(process.execPath, [program, "--json", "--keep", folder, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own, so that all of it can be sent a signal, as a terminal does.
    detached: true,
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
    url: () => /server +(http:\S+),/.exec(shown)?.[1] ?? "",
    server: () => /postgres .* in (\/.*)/.exec(shown)?.[1] ?? "",
    signal: (name) => child.kill(name),
    signalAll: (name) => process.kill(-(child.pid ?? 0), name),
  };
}

type Demonstration = {
  end(): Promise<{ code: number | null; stdout: string; stderr: string }>;
  seen(pattern: RegExp): Promise<void>;
  processes(): number[];
  /** Address of the server that stays. */
  url(): string;
  /** Folder of the PostgreSQL server that was started for it. */
  server(): string;
  signal(name: NodeJS.Signals): boolean;
  signalAll(name: NodeJS.Signals): boolean;
};

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** What is true of every story that went well. */
function expectGood(found: Figures, packages: number): void {
  expect(packages).toBeGreaterThan(100);
  expect(found).toEqual({
    store: expect.any(String),
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
    restartRequests: 0,
    forkPlanned: expect.any(Number),
    forkRequests: found.forkPlanned,
  });
  expect(found.forkPlanned).toBeGreaterThan(0);
  expect(found.forkPlanned).toBeLessThan(packages / 2);
  expect(found.repeated).toBeLessThanOrEqual(8);
  expect(found.chargedBeforeCrash / found.charged).toBeGreaterThan(0.2);
  expect(found.chargedBeforeCrash / found.charged).toBeLessThan(0.8);
}

/** What the processes recorded, crash, restart and fork among it, fits the audit as it is now; other code is told where. */
async function expectReplayable(path: string): Promise<void> {
  await using store = sqlite(path);
  expect(await new Stemma({ store }).verify()).toMatchObject({ ok: true, flaws: [] });
  const replayed = await replay({ store }, audit, { graceMs: 3000 });
  expect(replayed.findings).toEqual([]);
  expect(replayed.runs).toBeGreaterThan(1);
  const renamed = workflow({ name: "audit", version: 1 }, (ctx, { dir }: { dir: string }) =>
    ctx.step("list all", { input: dir }, () => []),
  );
  const { findings } = await replay({ store, limit: 1 }, renamed, { graceMs: 300 });
  expect(findings).toMatchObject([{ kind: "diverges", key: "list" }]);
}

describe("npm start", () => {
  test(
    "a worker killed in the middle of real work costs nothing twice and loses nothing",
    { timeout: longMs },
    async () => {
      const { code, stdout, stderr } = await demonstrate().end();
      expect(stderr).not.toContain("the audit failed");
      expect(code).toBe(0);
      const found = JSON.parse(stdout) as Figures;
      const packages = (await listPackages(installed)).length;
      expectGood(found, packages);
      expect(found.store).toBe(`sqlite ${join(folder, "stemma.db")}`);
      expect(stderr).toMatch(/npx stemma resume run_\w+ approval --value '\{"approve":true\}' --by \S+ --store /);
      expect(stdout.trim()).not.toContain("\n");

      const ledger = new Ledger(join(folder, "ledger.db"));
      const { requests, charges, charged, repeated, publications } = ledger.figures();
      ledger.close();
      // What was paid for the fork is all that was paid behind the first run.
      expect({ charges, charged, repeated, publications }).toEqual({
        publications: 1,
        charges: packages + found.forkRequests,
        charged: packages + found.forkRequests,
        repeated: found.repeated,
      });
      expect(requests).toBeGreaterThanOrEqual(found.requests + found.forkRequests);
      for (const title of ["Plan of the fork", "Bill", "side by side"]) expect(stderr).toContain(title);
      const report = JSON.parse(readFileSync(join(folder, "report/report.json"), "utf8")) as { packages: unknown[] };
      expect(report.packages).toHaveLength(packages);
      expect(readdirSync(join(folder, "report")).toSorted()).toEqual(["report.json", "report.md"]);
      await expectReplayable(join(folder, "stemma.db"));
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

describe("npm start without --once", () => {
  test(
    "leaves a server and a worker that go on with what was begun, and ends with everything when it is told to",
    { timeout: longMs },
    async () => {
      const story = begin("--port", "0");
      await story.seen(/server +http:/);
      const stemma = client({ url: story.url() });
      const { runs } = await stemma.list({ workflow: "audit" });
      expect(runs.map(({ state }) => state.status).toSorted()).toEqual(["failed", "succeeded", "succeeded"]);
      const [newest] = runs;
      const again = await stemma.restart(newest?.id ?? "", { reason: "to see that a worker is there" });
      await expect.poll(async () => (await stemma.lineage(again.id)).runs.length, { timeout: longMs }).toBe(4);
      for await (const event of again.events()) if (event.type === "wait.opened") break;
      const processes = story.processes();
      story.signal("SIGTERM");
      const { code, stderr } = await story.end();
      expect(code).toBe(143);
      expect(stderr).not.toContain("the audit failed");
      expect(processes.length).toBeGreaterThan(2);
      expect(processes.filter(lives)).toEqual([]);
    },
  );
});

describe("npm start on PostgreSQL", () => {
  test(
    "starts a server of its own, works on it as on a file, and leaves nothing of it",
    { timeout: longMs },
    async () => {
      const run = demonstrate("--store", "postgres");
      const { code, stdout, stderr } = await run.end();
      expect(stderr).not.toContain("the audit failed");
      expect(code).toBe(0);
      const found = JSON.parse(stdout) as Figures;
      expectGood(found, (await listPackages(installed)).length);
      expect(found.store).toMatch(/^postgres 127\.0\.0\.1:\d+\/postgres schema stemma_audit_[0-9a-f]{8}$/);
      expect(stderr).toContain(`store         ${found.store}\n`);
      expect(stderr).toContain(`await stemma.resume("${found.run}", "approval", {"approve":true}, { by: "you" })`);
      expect(readdirSync(folder).toSorted()).toEqual(["ledger.db", "report", "report-of-the-fork"]);
      expect(run.server()).toMatch(/stemma-postgres-\w+$/);
      expect(existsSync(run.server())).toBe(false);
      expect(new Set(run.processes()).size).toBe(6);
      expect(run.processes().filter(lives)).toEqual([]);
    },
  );

  test(
    "works on the server of a URL, in a new schema that stays, and shows no password",
    { timeout: longMs },
    async () => {
      const url = await postgresUrl();
      const { code, stdout, stderr } = await demonstrate("--store", url).end();
      expect(stderr).not.toContain("the audit failed");
      expect(code).toBe(0);
      const found = JSON.parse(stdout) as Figures;
      const schema = found.store.split(" ").at(-1) ?? "";
      try {
        expectGood(found, (await listPackages(installed)).length);
        const runs = (await sql(url, `select id, status from ${schema}.runs order by created_at`)) as { id: string }[];
        expect(runs.map((run) => Object.values(run)[1])).toEqual(["failed", "succeeded", "succeeded"]);
        expect(runs[1]?.id).toBe(found.run);
        expect(stderr).toContain(`schema: "${schema}"`);
        expect(stderr + stdout).not.toContain(new URL(url).password);
      } finally {
        await dropSchema(url, [schema]);
      }
    },
  );

  test.each(["SIGKILL", "Ctrl-C"] as const)(
    "%s in the middle leaves neither a process nor the server's folder behind",
    { timeout: longMs },
    async (end) => {
      const run = demonstrate("--store", "postgres");
      await run.seen(/takes over/);
      expect(new Set(run.processes()).size).toBe(5);
      expect(existsSync(run.server())).toBe(true);
      if (end === "Ctrl-C") run.signalAll("SIGINT");
      else run.signal(end);
      await run.end();
      await expect.poll(() => run.processes().filter(lives), { timeout: 20_000 }).toEqual([]);
      expect(existsSync(run.server())).toBe(false);
    },
  );
});

describe("a wrong option is exit code 2, with a sentence, nothing on stdout and nothing started", () => {
  test.each([
    [["--store", "file.db"], /usage\.invalid: Expected --store to be .*, got "file\.db"\.\n/],
    [["--store", "mysql://me:secret@127.0.0.1/d"], /usage\.invalid: Expected --store to be .*, got something else\.\n/],
    [["--store", "postgres://me:secret@127.0.0.1:99999/d"], /usage\.invalid: Expected a URL such as postgres:/],
    [["--store"], /usage\.invalid: Option '--store <value>' argument missing\. npm start -- --help shows/],
    [["--bogus"], /usage\.invalid: Unknown option '--bogus'/],
  ])("%j", async (args, sentence) => {
    const { code, stdout, stderr } = await demonstrate(...args).end();
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(sentence);
    expect(stderr).not.toContain("secret");
    expect(existsSync(folder)).toBe(false);
  });
});

test("a server that is not there is exit code 4, with a sentence, before anything is paid for", async () => {
  const { code, stdout, stderr } = await demonstrate("--store", "postgres://me:secret@127.0.0.1:1/d").end();
  expect([code, stdout]).toEqual([4, ""]);
  expect(stderr).toMatch(/store\.unavailable: .*nothing listens there/);
  expect(stderr).not.toContain("secret");
  expect(existsSync(join(folder, "ledger.db"))).toBe(false);
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
