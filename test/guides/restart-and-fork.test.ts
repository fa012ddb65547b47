/**
 * The guide to restart and fork is what it says: its programs run, its commands do what is shown behind them, and its
 * pictures are those of the runs that it tells of. Ids and times are of one afternoon, so they are left out.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { Stemma } from "../../src/index.ts";
import type { RunHandle, Workflow } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";
import { typed } from "../command-line.ts";
import { silent, until } from "../stage.ts";

const guide = readFileSync(new URL("../../docs/guide/restart-and-fork.md", import.meta.url), "utf8");
const blocks = [...guide.matchAll(/^```(?<kind>\w+)\n(?<text>.*?)^```$/gmsu)].map(({ groups }) => ({
  kind: groups?.["kind"] ?? "",
  text: groups?.["text"] ?? "",
}));

/** The one block of a kind in which this stands. */
function block(kind: string, marker: string): string {
  const found = blocks.filter((one) => one.kind === kind && one.text.includes(marker));
  expect([marker, found.length]).toEqual([marker, 1]);
  return found[0]?.text ?? "";
}

/** How the runs of the guide begin, in the order in which they are made. */
const named = ["run_01m7yxvx", "run_01m7yxw6", "run_01m7yxwc", "run_01m7yxwm"];

/** A line with letters for runs and without times, and without the width of columns. */
function plain(line: string, runs: readonly string[]): string {
  const letters = [...named, ...runs].map((id, i) => [id, "ABCD"[i % named.length] ?? ""] as const);
  const lettered = line.replace(/run_[0-9a-z]+/gu, (id) => letters.find(([known]) => id.startsWith(known))?.[1] ?? id);
  return lettered
    .replace(/\d+m \d+s|\d+(?:\.\d+)?m?s\b/gu, "T")
    .replace(/T to T/gu, "T")
    .replace(/T ago|\bnow\b/gu, "")
    .replace(/\btime T|\bT\b/gu, "")
    .replace(/\s+/gu, " ")
    .trim();
}

/** Each line of the guide is in what was printed, in that order; where it has `…`, as far as that. */
function expectShown(wanted: string, printed: string, runs: readonly string[]): void {
  const lines = printed.split("\n").map((line) => plain(line, runs));
  let at = 0;
  for (const line of wanted.trimEnd().split("\n")) {
    const text = plain(line, runs).replace(/…$/u, "").trim();
    const found = lines.findIndex((one, i) => i >= at && (line.endsWith("…") ? one.startsWith(text) : one === text));
    expect([text, found >= 0, found >= 0 ? "" : lines.slice(at).join("\n")]).toEqual([text, true, ""]);
    at = found + 1;
  }
}

test("what the guide says of restart and fork happens", { timeout: 60_000 }, async () => {
  await using open = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "stemma-guide-"));
  open.defer(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "stemma.db");
  const library = pathToFileURL(join(import.meta.dirname, "../../src/index.ts")).href;
  const first = block("ts", "// digest.ts").replace(`"stemma"`, JSON.stringify(library));
  const mended = first.replace("{ topics, tone }: Input", `{ topics, tone = "plain" }: Input`).replace("tone!", "tone");
  expect(mended).not.toBe(first);
  const load = async (name: string, code: string): Promise<Workflow> => {
    writeFileSync(join(folder, name), code);
    return ((await import(/* @vite-ignore */ join(folder, name))) as { digest: Workflow }).digest;
  };
  const codes = [await load("broken.ts", first), await load("digest.ts", mended)] as const;
  const work = async (code: Workflow): Promise<Stemma> => {
    const store = open.adopt(sqlite(path), (opened) => opened.close());
    return open.use(await new Stemma({ store, workflows: [code], log: silent }, { lingerMs: 10 }).start());
  };

  const runs: string[] = [];
  /** A command as the guide has it, with the runs of this test. */
  const type = async (line: string): Promise<string> => {
    const words = line.replace(/\s+#.*$/u, "").match(/'[^']*'|"[^"]*"|\S+/gu) ?? [];
    const given = words.slice(2).map((word) => {
      const run = named.findIndex((id) => word.startsWith(id));
      if (run >= 0) return runs[run] ?? word;
      if (word.endsWith("digest.ts")) return join(folder, word);
      return /^['"]/u.test(word) ? word.slice(1, -1) : word;
    });
    const { status, out, err } = await typed(...given, "--store", path);
    expect([line, status, status === 0 ? "" : err]).toEqual([line, 0, ""]);
    return out;
  };
  const commands = (kind: string, marker: string): string[] =>
    block(kind, marker)
      .split("\n")
      .filter((line) => line.startsWith("npx stemma") && !line.includes(" worker "));
  const only = (marker: string): string => commands("sh", marker)[0] ?? "";
  const make = async (stemma: Stemma, line: string): Promise<RunHandle> => {
    const run = await stemma.get((await type(line)).trim());
    runs.push(run.id);
    return run;
  };

  // ---- The example
  const before = await work(codes[0]);
  const failed = await make(before, only("npx stemma start"));
  await ended(failed);
  await before.stop();
  expectShown(block("text", "draft    0ms  failed"), await type(`npx stemma show ${named[0]}`), runs);
  const pictures = blocks.filter(({ kind }) => kind === "mermaid").map(({ text }) => text);
  expectShown(pictures[0] ?? "", await type(`npx stemma trace ${named[0]} --format mermaid`), runs);

  // ---- The plan, then the restart
  expectShown(block("text", "failed, and ended the run"), await type(only("npx stemma plan run_01m7yxvx")), runs);
  const stemma = await work(codes[1]);
  const again = await make(stemma, only("npx stemma restart"));
  await ended(again);
  expectShown(block("text", "map  2/2  2 reused"), await type(`npx stemma show ${named[1]}`), runs);
  const [family] = /`(stemma trace [^`]* --family [^`]*)`/u.exec(guide)?.slice(1) ?? [];
  expectShown(pictures[1] ?? "", await type(`npx ${family}`), runs);

  // ---- A plan with the code
  const [dryRun = ""] = commands("sh", "digest.ts --dry-run");
  expectShown(block("text", "1 reuse, 1 run, 3 depends, 1 decide"), await type(dryRun), runs);

  // ---- Forks, and what must not happen twice
  const [set = "", ...others] = commands("sh", "npx stemma fork run_01m7yxw6 --set");
  for (const line of others) if (!line.includes("--checkpoint")) await type(`${line.split("  #")[0]} --dry-run`);
  const fork = await make(stemma, `${set.split("  #")[0]} --tag trial`);
  await until(async () => (await fork.status()) === "suspended");
  await until(async () => (await stemma.row(fork.id)).state.reason === "in_doubt");
  expectShown(block("text", "suspended (in doubt)"), await type(`npx stemma show ${named[2]}`), runs);
  const [decide = "", allowed = ""] = commands("sh", "npx stemma decide");
  await type(decide);
  await ended(fork);
  await ended(await make(stemma, allowed));

  // ---- What came of it
  expectShown(block("text", "They differ from"), await type(only("npx stemma compare")), runs);
  expectShown(block("text", "← this run"), await type(only("npx stemma lineage")), runs);

  // ---- From a program
  const snippets = [block("ts", "stemma.plan(failed.id)"), block("ts", "stemma.fork(run.id, { patch")];
  const source = `export default async (stemma, failed, run) => {\n${snippets.join("\n")}\nreturn [totals, again]; };`;
  writeFileSync(join(folder, "snippets.mjs"), source);
  const { default: call } = (await import(/* @vite-ignore */ join(folder, "snippets.mjs"))) as {
    default(...given: unknown[]): Promise<[{ reuse: number }, RunHandle]>;
  };
  const said = console.log;
  const lines: unknown[] = [];
  console.log = (...words: unknown[]): void => void lines.push(...words);
  const [totals, restarted] = await call(stemma, failed, again).finally(() => (console.log = said));
  expect(totals.reuse).toBe(2);
  expect(lines).toEqual([await restarted.result()]);
});

async function ended(handle: RunHandle): Promise<void> {
  await handle.result().catch(() => undefined);
}
