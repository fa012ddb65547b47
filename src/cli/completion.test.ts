/** Completion as shells do it: the printed script is sourced, and asked what may be typed. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { until } from "../../test/stage.ts";
import { Stemma, workflow } from "../index.ts";
import { sqlite } from "../sqlite.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const main = join(import.meta.dirname, "main.ts");
const index = pathToFileURL(join(import.meta.dirname, "../index.ts")).href;
const folder = mkdtempSync(join(tmpdir(), "stemma-completion-"));
const ids: string[] = [];

function run(command: string, words: readonly string[]): { status: number | null; out: string } {
  const env = { ...process.env, STEMMA_STORE: "", PATH: `${folder}:${process.env["PATH"] ?? ""}` };
  const { status, stdout } = spawnSync(command, words, { cwd: folder, env, encoding: "utf8" });
  return { status, out: stdout.trimEnd() };
}

const commands = (): string[] =>
  [...run("stemma", ["--help"]).out.matchAll(/^ {2}([a-z]+)[ [].*$/gm)].map(([, name]) => name ?? "");

beforeAll(() => {
  writeFileSync(join(folder, "stemma"), `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
  chmodSync(join(folder, "stemma"), 0o755);
  const code = `import { workflow } from ${JSON.stringify(index)};\nexport const demo = workflow({ name: "demo" }, async () => 1);\n`;
  writeFileSync(join(folder, "demo file.ts"), code);
  for (let i = 0; i < 2; i += 1) ids.unshift(run("stemma", ["start", "demo", "demo file.ts"]).out);
  for (const shell of ["bash", "zsh", "fish"])
    writeFileSync(join(folder, shell), run("stemma", ["completion", shell]).out);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What bash offers for the last of these words, which is the one that is being typed. */
function offered(...words: string[]): string[] {
  const script = `source ./bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _stemma "$1" "\${COMP_WORDS[COMP_CWORD]}" ""; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { out } = run("bash", ["-c", script, "bash", ...words]);
  return out === "" ? [] : out.split("\n");
}

describe("completion in bash", () => {
  test("the first word is a command, and there is none that is not offered", () => {
    expect(commands().length).toBeGreaterThan(8);
    expect(offered("stemma", "")).toEqual(expect.arrayContaining([...commands(), "--version"]));
    expect(offered("stemma", "s")).toEqual(["start", "serve", "show", "signal"]);
  });

  test("options are those of the command, also behind its arguments", () => {
    expect(offered("stemma", "show", "--")).toEqual(["--outputs", "--all", "--store", "--json", "--server", "--help"]);
    expect(offered("stemma", "trace", "run_x", "--f")).toEqual(["--format", "--family"]);
  });

  test("values of an option are its choices, also behind an equals sign, and several where it takes several", () => {
    expect(offered("stemma", "trace", "--format", "")).toEqual(["json", "mermaid", "dot"]);
    expect(offered("stemma", "trace", "--format", "=", "d")).toEqual(["dot"]);
    expect(offered("stemma", "runs", "--status", "failed", "q")).toEqual(["queued"]);
    expect(offered("stemma", "completion", "")).toEqual(["bash", "zsh", "fish"]);
  });

  test("runs are asked of the store that is named, newest first", () => {
    expect(offered("stemma", "show", "")).toEqual(ids);
    expect(offered("stemma", "watch", "--store", "stemma.db", ids[0] ?? "")).toEqual([ids[0]]);
    expect(offered("stemma", "show", "--store", "=", "other.db", "run_")).toEqual([]);
    expect(existsSync(join(folder, "other.db"))).toBe(false);
  });

  test("waits are those that are open in the run that is named", async () => {
    const [first, other] = await waiting("waits.db");
    const words = ["stemma", "resume", "--store", "waits.db"];
    expect(offered(...words, first, "")).toEqual(["a.1", "b/c"]);
    expect(offered(...words, other, "")).toEqual([]);
    expect(offered(...words, "$(touch pwned)", "")).toEqual([]);
    expect(existsSync(join(folder, "pwned"))).toBe(false);
  });

  test("files are offered whole, whatever is in their names", () => {
    expect(offered("stemma", "worker", "de")).toEqual(["demo file.ts"]);
    expect(offered("stemma", "show", "--store", "stemma.d")).toContain("stemma.db");
  });

  test("nothing that is typed is evaluated", () => {
    for (const typed of ["$(touch pwned)", "`touch pwned`", "; touch pwned", "*"]) {
      offered("stemma", "show", "--store", typed, "run_");
      offered("stemma", typed, "");
      offered("stemma", "show", typed);
    }
    expect(existsSync(join(folder, "pwned"))).toBe(false);
  });
});

/** A store with two runs of which the first waits for `a.1` and `b/c`, and the other for nothing. */
async function waiting(path: string): Promise<readonly [string, string]> {
  await using store = sqlite(join(folder, path));
  const gate = workflow({ name: "gate" }, async (ctx) =>
    Promise.all([ctx.wait("a.1"), ctx.scope("b", () => ctx.wait("c")), ctx.wait("$(touch pwned)")]),
  );
  const stemma = await new Stemma({ store, workflows: [gate] }).start();
  const [first, other] = [await stemma.run(gate, undefined), await stemma.run(gate, undefined)];
  await until(async () => (await stemma.waits()).waits.length === 6);
  for (const key of ["a.1", "b/c"]) await stemma.resume(other.id, key, 1);
  await stemma.stop();
  return [first.id, other.id];
}

/** What a shell offers as the key of a wait of this run. */
const offeredBy: Record<string, (run: string) => string[]> = {
  // Asked for itself: the shell's own machinery, which calls this one, needs a terminal.
  zsh: (id) => {
    const script = `compdef() { }; compadd() { print -l -- $keys }; source ./zsh; local -A opt_args; opt_args=(--store zsh.db); line=("$1"); _stemma_program=stemma; _stemma_waits`;
    return run("zsh", ["-f", "-c", `f() { ${script} }; f "$1"`, "zsh", id]).out.split("\n");
  },
  fish: (id) =>
    run("fish", ["--no-config", "-c", `source ./fish; complete -C "stemma resume --store fish.db $argv "`, id])
      .out.split("\n")
      .filter((line) => !line.startsWith("run_")),
};

describe.each(["zsh", "fish"])("completion in %s", (shell) => {
  const missing = spawnSync(shell, ["--version"]).status !== 0;

  test("the script names every command and every option with a choice", () => {
    const { out } = run("cat", [shell]);
    for (const command of commands()) expect(out).toMatch(new RegExp(`\\b${command}\\b`));
    expect(out).toContain("json mermaid dot");
    for (const what of ["runs", "waits"]) expect(out).toMatch(new RegExp(`_stemma_${what}[ )']`));
  });

  test.skipIf(missing)("the shell reads it without complaint", () => {
    expect(run(shell, ["-n", shell]).status).toBe(0);
  });

  test.skipIf(missing)("waits are those that are open in the run that is named", async () => {
    const [first, other] = await waiting(`${shell}.db`);
    const offers = (id: string): string[] => offeredBy[shell]?.(id).filter((line) => line !== "") ?? [];
    expect(offers(first)).toEqual(["a.1", "b/c"]);
    expect(offers(other)).toEqual([]);
    expect(offers("$(touch pwned)")).toEqual([]);
    expect(existsSync(join(folder, "pwned"))).toBe(false);
  });
});

test("a script is asked for by name of a shell, and is one JSON value with --json", () => {
  const { out } = run("stemma", ["completion", "bash", "--json"]);
  const { script } = JSON.parse(out) as { script: string };
  expect(script.trimEnd()).toBe(run("cat", ["bash"]).out);
});
