/** The command line as people use it: a real SQLite file, and real processes wherever the process itself matters. */
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { typed } from "../../test/command-line.ts";
import { stage, until } from "../../test/stage.ts";
import { workflow } from "../index.ts";
import type { Workflow } from "../index.ts";
import { sqlite } from "../sqlite.ts";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

const main = join(import.meta.dirname, "main.ts");
const index = pathToFileURL(join(import.meta.dirname, "../index.ts")).href;
const folder = mkdtempSync(join(tmpdir(), "stemma-cli-"));
const environment = { ...process.env, STEMMA_STORE: "", STEMMA_DEBUG: "", NO_COLOR: "", FORCE_COLOR: undefined };
const workers: ChildProcess[] = [];

const code = `
import { workflow } from ${JSON.stringify(index)};
console.log("a module that talks");
export const demo = workflow({ name: "demo", version: 3 }, async (ctx, input) => {
  await ctx.map("size", [1, 2, 3], (n) => n * 2);
  await ctx.scope("inner", () => ctx.step("evil", () => "\\u001b[2J"));
  if (input?.fail) await ctx.step("boom", () => { throw new Error("no \\u001b[31m\\nway"); });
  if (input?.slow) await ctx.step("slow", () => new Promise((resolve) => setTimeout(resolve, 1500)));
  if (input?.hang) await ctx.step("hang", () => new Promise(() => {}));
  return { sum: 12, text: "x".repeat(2000) };
});
export default demo;
setInterval(() => {}, 1000);
`;

type Ended = { status: number | null; out: string; err: string };

function stemma(
  words: readonly string[],
  more: { input?: string | Uint8Array; env?: Record<string, string> } = {},
): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...words], {
    cwd: folder,
    env: { ...environment, ...more.env },
    ...(more.input === undefined ? {} : { input: more.input }),
    encoding: "utf8",
  });
  return { status, out: stdout, err: stderr };
}

/** The same without a process: for what the program says and does, where the process around it does not matter. */
async function inside(words: readonly string[], more: { env?: Record<string, string> } = {}): Promise<Ended> {
  Object.assign(process.env, more.env);
  try {
    return await typed(...words);
  } finally {
    process.env["STEMMA_STORE"] = "";
  }
}

/** Ids of so many new runs, in the order in which they were started. */
async function started(count: number): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) ids.push((await inside(["start", "demo", "demo.ts"])).out.trim());
  return ids;
}

/** A worker on demo.ts that works, as its log says. */
async function worker(...words: string[]): Promise<{ child: ChildProcess; ended: Promise<Ended> }> {
  const child = spawn(process.execPath, [main, "worker", "demo.ts", ...words], { cwd: folder, env: environment });
  workers.push(child);
  const { promise: working, resolve } = Promise.withResolvers<void>();
  const told = { out: "", err: "" };
  child.stdout.on("data", (chunk: Buffer) => (told.out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => {
    told.err += chunk.toString();
    if (told.err.includes("works on demo@3")) resolve();
  });
  const ended = new Promise<Ended>((resolveEnded) => {
    child.on("close", (status) => {
      resolve();
      resolveEnded({ status, ...told });
    });
  });
  await working;
  return { child, ended };
}

const parsed = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;
const errorOf = (err: string): unknown =>
  (parsed(err.trim().split("\n").at(-1) ?? "")["error"] as { code: string }).code;

const home = process.cwd();

beforeAll(() => {
  process.chdir(folder);
  process.env["STEMMA_STORE"] = "";
  writeFileSync(join(folder, "demo.ts"), code);
  writeFileSync(join(folder, "none.ts"), "export const a = 1;\n");
  writeFileSync(join(folder, "broken.ts"), "throw new Error('not today');\n");
  writeFileSync(join(folder, "garbage.db"), "garbage ".repeat(1000));
});
afterEach(() => {
  for (const child of workers.splice(0)) if (child.exitCode === null) child.kill("SIGKILL");
  for (const end of ["", "-wal", "-shm"]) rmSync(join(folder, `stemma.db${end}`), { force: true });
});
afterAll(() => {
  process.chdir(home);
  rmSync(folder, { recursive: true, force: true });
});

describe("stemma", () => {
  test("start --wait follows a run to its end: its output is the answer, its failure is exit code 1", async () => {
    const { child, ended } = await worker();
    const good = stemma(["start", "demo", "demo.ts", "--wait", "--json", "--tag", "a", "--tag", "b"]);
    expect(good).toMatchObject({ status: 0 });
    expect(parsed(good.out)).toMatchObject({ status: "succeeded", output: { sum: 12 } });
    const bad = stemma(["start", "demo", "demo.ts", "--wait", "--input", '{"fail":true}']);
    expect(bad.status).toBe(1);
    expect(bad.out).toMatch(/^run_[0-9a-z]{26}\n$/);
    expect(bad.err).toContain(String.raw`failed at boom: no \u001b[31m\nway`);
    const badAsJson = stemma(["start", "demo", "demo.ts", "--wait", "--json", "--input", "-"], {
      input: '{"fail":true}',
    });
    expect([badAsJson.status, parsed(badAsJson.out)["status"], errorOf(badAsJson.err)]).toEqual([
      1,
      "failed",
      "run.failed",
    ]);

    const shown = await inside(["show", bad.out.trim()]);
    expect(shown.status).toBe(0);
    expect(shown.out).toContain("demo@3  ✖ failed");
    expect(shown.out).toMatch(/├─ size +\d+ms {2}map {2}3\/3/);
    expect(shown.out).toContain("ended by boom");
    expect(shown.out.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
    const tagged = parsed((await inside(["runs", "--tag", "b", "--json"])).out)["runs"] as Record<string, unknown>[];
    expect(tagged.map(({ id }) => id)).toEqual([parsed(good.out)["run"]]);

    child.kill("SIGTERM");
    expect((await ended).status).toBe(0);
  });

  test("a worker drains at the first signal and says on standard output nothing but its answer", async () => {
    const { child, ended } = await worker("--json");
    child.kill("SIGINT");
    const { status, out, err } = await ended;
    expect([status, parsed(out)["offers"], parsed(out)["stoppedBy"]]).toEqual([0, ["demo@3"], "SIGINT"]);
    expect(err).toContain("a module that talks");
  });

  test("a worker that still waits for a step ends at the second signal, and the run is there to be taken up", async () => {
    const { child, ended } = await worker();
    const id = (await inside(["start", "demo", "demo.ts", "--input", '{"hang":true}'])).out.trim();
    await until(async () => (await inside(["show", id])).out.includes("▶ hang"));
    child.kill("SIGTERM");
    child.kill("SIGINT");
    const { status, err } = await ended;
    expect([130, 143]).toContain(status);
    expect(err).not.toContain("stopped; every run was given back");
    expect((await inside(["runs", "--status", "running"])).out).toContain(id);
  });

  test("starting again with the same key gives the run that is there, with other input it is refused", async () => {
    const words = ["start", "demo", "demo.ts", "--key", "k", "--input"];
    const first = await inside([...words, '{"n":1}']);
    expect(first.status).toBe(0);
    expect((await inside([...words, '{"n":1}'])).out).toBe(first.out);
    expect(await inside([...words, '{"n":2}'])).toMatchObject({ status: 4, out: "" });
  });

  test("runs are listed newest first, page by page, by what the hint says to type", async () => {
    const ids = await started(3);
    const first = await inside(["runs", "--limit", "2", "--workflow", "demo"]);
    const listed = (text: string): string[] => text.match(/run_[0-9a-z]{26}/g) ?? [];
    expect(listed(first.out)).toEqual([ids[2], ids[1]]);
    const hint = /More: stemma (.*)/.exec(first.err)?.[1]?.split(" ") ?? [];
    const second = await inside(hint);
    expect(listed(second.out)).toEqual([ids[0]]);
    expect(second.err).not.toContain("More");
    expect(await inside(["runs", "--status", "failed", "paused"])).toMatchObject({ status: 0, out: "" });
  });

  test("a run is found by any part of its id that no other run has, and where several fit they are listed", async () => {
    const [a = "", b = ""] = await started(2);
    const told = Array.from(a).findIndex((character, i) => character !== b[i]) + 1;
    for (const part of [a.slice(0, told), a.slice(4, told), a.slice(-10), a.slice(4)]) {
      expect((await inside(["show", part])).out).toContain(a);
    }
    const ambiguous = await inside(["show", a.slice(0, 8), "--json"]);
    expect([ambiguous.status, errorOf(ambiguous.err)]).toEqual([2, "run.invalid_id"]);
    for (const id of [a, b]) expect(ambiguous.err).toContain(`${id} (demo@3, queued, created `);
    // With run_ in front it is the beginning.
    expect((await inside(["show", `run_${a.slice(-10)}`])).status).toBe(3);
    const short = await inside(["show", a.slice(0, 7)]);
    expect([short.status, short.out]).toEqual([2, ""]);
    expect((await inside(["show", "run_zzzzzzzzz"])).status).toBe(3);
  });

  test("a trace is one JSON value, or a flowchart", async () => {
    const id = (await inside(["start", "demo", "demo.ts"])).out.trim();
    expect(parsed((await inside(["trace", id, "--json"])).out)["nodes"]).toEqual([
      { id: `wf_run|${id}`, kind: "run", run: id, status: "queued" },
    ]);
    expect((await inside(["trace", id, "--format", "mermaid", "--family"])).out).toMatch(
      /^flowchart TD\n {2}n0\(\["run_/,
    );
    expect((await inside(["trace", id, "--format", "dot"])).out).toMatch(
      /^digraph trace \{\n[^]*n0 \[label="run_[^]*\n\}\n$/,
    );
    for (const format of ["mermaid", "dot"])
      expect((await inside(["trace", id, "--format", format, "--json"])).status).toBe(2);
  });

  test("a queued run says that it needs a worker, and a delayed one when it is due", async () => {
    const now = (await inside(["start", "demo", "demo.ts"])).out.trim();
    const later = (await inside(["start", "demo", "demo.ts", "--delay", "2d"])).out.trim();
    expect((await inside(["show", now])).out).toContain("no worker offers demo@3: start a worker with that version");
    expect((await inside(["runs"])).err).toContain("No worker offers demo@3");
    expect((await inside(["show", later])).out).toContain("It is due in");
    expect((await inside(["runs"])).out).toContain("due in 2d");
  });

  test("commands that look make no file, and say what to do", async () => {
    const run = "run_00000000";
    for (const words of [["runs"], ["show", run], ["trace", run], ["watch", run], ["doctor"]]) {
      const { status, out, err } = await inside(words);
      expect([status, out]).toEqual([3, ""]);
      expect(err).toMatch(/^error store\.not_found: There is no store at .*--store/);
    }
    expect(existsSync(join(folder, "stemma.db"))).toBe(false);
    await inside(["start", "demo", "demo.ts", "--store", "other.db"]);
    expect((await inside(["runs"], { env: { STEMMA_STORE: "other.db" } })).out).toContain("demo@3");
  });

  test.each([
    [2, "usage.invalid", ["nonsense"]],
    [2, "usage.invalid", ["runs", "--nonsense"]],
    [2, "usage.invalid", ["runs", "--status", "odd"]],
    [2, "usage.invalid", ["runs", "--limit", "0"]],
    [2, "usage.invalid", ["runs", "--store", "."]],
    [2, "usage.invalid", ["runs", "--store", ":memory:"]],
    [4, "store.corrupt", ["runs", "--store", "garbage.db"]],
    [4, "store.not_writable", ["start", "demo", "demo.ts", "--store", "no/folder.db"]],
    [2, "usage.invalid", ["completion", "tcsh"]],
    [2, "usage.invalid", ["watch"]],
    [4, "store.corrupt", ["watch", "run_00000000", "--store", "garbage.db"]],
    [2, "usage.invalid", ["worker"]],
    [2, "usage.invalid", ["worker", "demo.ts", "--lease", "1ms"]],
    [2, "duration.invalid", ["worker", "demo.ts", "--lease", "soon"]],
    [2, "usage.invalid", ["start", "demo", "missing.ts"]],
    [2, "usage.invalid", ["start", "demo", "none.ts"]],
    [2, "usage.invalid", ["start", "demo", "broken.ts"]],
    [3, "workflow.not_found", ["start", "demo"]],
    [3, "workflow.not_found", ["start", "nobody", "demo.ts"]],
    [2, "json.invalid", ["start", "demo", "demo.ts", "--input", "{bad"]],
    [2, "json.invalid", ["start", "demo", "demo.ts", "--input", "12345678901234567890"]],
    [2, "usage.invalid", ["start", "demo", "demo.ts", "--input", "@missing.json"]],
    [2, "payload.too_large", ["start", "demo", "demo.ts", "--input", "@/dev/zero"]],
    [2, "run.invalid_id", ["start", "demo", "demo.ts", "--id", "run_mine"]],
    [2, "name.invalid", ["start", "demo", "demo.ts", "--tag", "a/b"]],
  ])("bad usage ends with exit code %i and %s, one line and no stack: %j", async (status, code_, words) => {
    const asText = await inside(words);
    expect([asText.status, asText.out]).toEqual([status, ""]);
    expect(asText.err.trim().split("\n").at(-1)).toMatch(new RegExp(`^error ${code_}: .+`));
    expect(asText.err).not.toMatch(/\n\s+at /);
    const asJson = await inside([...words, "--json"]);
    expect([asJson.status, asJson.out, errorOf(asJson.err)]).toEqual([status, "", code_]);
  });

  test("the exit code of a process is the one that is meant", () => {
    expect(stemma(["nonsense"])).toMatchObject({ status: 2, out: "" });
    expect(stemma(["runs", "--store", "missing.db"])).toMatchObject({ status: 3, out: "" });
    expect(stemma(["runs", "--store", "garbage.db"])).toMatchObject({ status: 4, out: "" });
  });

  test("what was mistyped is told with what was meant, and with where to look", async () => {
    expect((await inside(["shwo"])).err).toBe(
      "error usage.invalid: Unknown command 'shwo'. Did you mean show? stemma --help shows what there is.\n",
    );
    expect((await inside(["runs", "--jsno"])).err).toMatch(
      /Unknown option '--jsno'\. Did you mean --json\? stemma runs --help /,
    );
  });

  test("bytes that are no UTF-8 are refused as input", () => {
    const { status, err } = stemma(["start", "demo", "demo.ts", "--input", "-", "--json"], {
      input: new Uint8Array([0x22, 0xff, 0x22]),
    });
    expect([status, errorOf(err)]).toEqual([2, "json.invalid"]);
  });

  test("STEMMA_DEBUG shows where an error comes from, with nothing that steers a terminal", () => {
    const { err } = stemma(["start", "demo", "broken.ts"], { env: { STEMMA_DEBUG: "1" } });
    expect(err).toMatch(/\n\s+at .*broken\.ts/);
  });

  test("watch writes a line for each event, ends when the run ends, and its exit code is how", async () => {
    const { child, ended } = await worker();
    const bad = (await inside(["start", "demo", "demo.ts", "--input", '{"fail":true}'])).out.trim();
    const watched = stemma(["watch", bad]);
    const lines = watched.out.trimEnd().split("\n");
    expect([watched.status, watched.err]).toEqual([1, ""]);
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z 0 run\.created .*input=\{"fail":true\}/);
    expect(lines.map((line) => line.split(" ")[1])).toEqual(lines.map((_, seq) => String(seq)));
    expect(lines.at(-1)).toMatch(/ run\.failed error="Error: no \\u001b\[31m\\nway" frontier=\["boom"\]$/);

    const good = (await inside(["start", "demo", "demo.ts"])).out.trim();
    const json = stemma(["watch", good.slice(-12), "--json"]);
    expect([json.status, json.err]).toEqual([0, ""]);
    const events = json.out.trimEnd().split("\n").map(parsed);
    expect(events.map(({ run, seq }) => [run, seq])).toEqual(events.map((_, seq) => [good, seq]));
    expect(events.at(-1)).toMatchObject({ type: "run.succeeded" });
    expect(stemma(["watch", good]).out.trimEnd().split("\n")).toHaveLength(events.length);
    child.kill("SIGTERM");
    await ended;
  });

  test("watch gives events as they come, and a signal ends it while the run goes on", async () => {
    await worker();
    const id = (await inside(["start", "demo", "demo.ts", "--input", '{"hang":true}'])).out.trim();
    const child = spawn(process.execPath, [main, "watch", id], { cwd: folder, env: environment });
    workers.push(child);
    let out = "";
    const exit = new Promise((resolve) => child.on("close", resolve));
    await new Promise<void>((resolve) => {
      child.stdout.on("data", (chunk: Buffer) => {
        out += chunk.toString();
        if (out.includes("step.started hang")) resolve();
      });
    });
    child.kill("SIGINT");
    expect(await exit).toBe(130);
    expect((await inside(["show", id, "--json"])).out).toContain('"status":"running"');
  });

  test.skipIf(spawnSync("script", ["--version"]).status !== 0)(
    "in a terminal watch draws a tree over itself, ends with the run as show shows it, and gives the cursor back",
    async () => {
      const { child, ended } = await worker();
      const id = (await inside(["start", "demo", "demo.ts", "--input", '{"slow":true}'])).out.trim();
      const command = `stty cols 40 rows 12; ${process.execPath} ${main} watch ${id}`;
      const { status, stdout } = spawnSync("script", ["-qec", command, "/dev/null"], {
        cwd: folder,
        env: { ...environment, TERM: "xterm" },
        encoding: "utf8",
      });
      child.kill("SIGTERM");
      await ended;
      expect(status).toBe(0);
      const text = stripVTControlCharacters(stdout).replaceAll("\r", "");
      expect(text).toContain(id);
      expect(text).toContain("✔ evil");
      expect(text).toContain("2.0 kB of JSON");
      expect(text.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
      for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(40);
      const [frames, hidden, shown] = ["[?2026h", "[?25l", "[?25h"].map((code_) =>
        stdout.lastIndexOf(`\u001b${code_}`),
      );
      expect(frames).toBeGreaterThan(0);
      expect(shown).toBeGreaterThan(hidden ?? 0);
    },
  );

  test("doctor finds nothing wrong with a store that is well, and ends with 1 when something is", async () => {
    await inside(["start", "demo", "demo.ts", "--delay", "1h"]);
    const well = await inside(["doctor"]);
    expect([well.status, well.err]).toEqual([0, ""]);
    expect(well.out).toMatch(/^ok {7}synchronous {2}full/m);
    expect(well.out).toMatch(/^ok {7}runs {9}1 queued$/m);
    const answer = parsed((await inside(["doctor", "--json"])).out);
    expect(answer["ok"]).toBe(true);
    const findings = answer["findings"] as { check: string; level: string }[];
    expect(findings.map(({ check }) => check)).toEqual(expect.arrayContaining(["store", "schema", "leases", "recall"]));
    await inside(["start", "demo", "demo.ts"]);
    const standing = await inside(["doctor"]);
    expect(standing.status).toBe(1);
    expect(standing.out).toMatch(
      /^problem {2}offers {7}no worker offers demo@3: 2 runs, 1 of them due .*\n +→ Start a worker/m,
    );
    const garbage = await inside(["doctor", "--store", "garbage.db"]);
    expect(garbage.status).toBe(1);
    expect(garbage.out).toMatch(/^problem {2}store .*restore a backup/m);
    expect(parsed((await inside(["doctor", "--store", "garbage.db", "--json"])).out)["ok"]).toBe(false);
  });

  test("doctor names the runs that were set aside, with the remedy", async () => {
    const demo = (name: string): Workflow<undefined> =>
      workflow({ name: "demo", version: 3 }, (ctx) => ctx.step(name, () => 1).then(() => ctx.wait("ever")));
    await using store = sqlite(join(folder, "stemma.db"));
    const first = await stage([demo("one")], { store });
    const { id } = await first.stemma.run(demo("one"), undefined);
    await until(async () => (await inside(["show", id])).out.includes("(waiting)"));
    await first.stemma.stop();
    // A body that asks for nothing more is waited for before it is said not to fit; ten seconds, where nobody says else.
    await using second = await stage([demo("two")], { store }, { recallGraceMs: 20 });
    await second.stemma.resume(id, "ever", 1);
    await until(async () => (await inside(["show", id])).out.includes("(divergence)"));
    const { status, out } = await inside(["doctor"]);
    expect(status).toBe(1);
    expect(out).toMatch(
      new RegExp(`^problem {2}aside {8}1 run set aside, divergence \\(${id}\\)\n +→ Run a worker with the code`, "m"),
    );
  });

  test("colours are not written into a pipe unless somebody asks for them", () => {
    stemma(["start", "demo", "demo.ts"]);
    expect(stemma(["runs"]).out).not.toContain("\u001b");
    expect(stemma(["runs"], { env: { FORCE_COLOR: "1" } }).out).toContain("\u001b[1mstatus");
  });

  test("a reader that goes away ends a command quietly", async () => {
    const id = stemma(["start", "demo", "demo.ts", "--input", "-"], { input: `"${"x".repeat(900_000)}"` }).out.trim();
    const child = spawn(process.execPath, [main, "show", id, "--outputs"], { cwd: folder, env: environment });
    child.stdout.destroy();
    let err = "";
    child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
    const status = await new Promise((resolve) => child.on("close", resolve));
    expect([status, err]).toEqual([0, ""]);
  });
});
