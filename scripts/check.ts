/**
 * Everything that a change has to pass besides the tests: types, lint, format, dead code, and the package as its users
 * will get it. All of it runs, whatever fails, so that one run tells everything there is to mend.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { styleText } from "node:util";

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "stemma-check-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));

const tarball = pack();
const failed = [
  "tsc --noEmit",
  "oxlint --type-aware --deny-warnings",
  "oxfmt --check",
  "knip",
  "knip --production",
  `publint ${tarball} --strict`,
  `attw ${tarball} --profile esm-only`,
].filter((command) => !passes(command));

if (failed.length > 0) {
  console.error(styleText("red", `\nfailed:\n${failed.map((command) => `  ${command}`).join("\n")}`));
  process.exitCode = 1;
}

/** Makes the package in a temporary folder. What it is made from was just built. */
function pack(): string {
  const args = ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder];
  return join(folder, execFileSync("npm", args, { cwd: root, encoding: "utf8" }).trim());
}

function passes(command: string): boolean {
  console.log(styleText("bold", `\n> ${command}`));
  const [tool = "", ...args] = command.split(" ");
  const { status, error } = spawnSync(tool, args, { cwd: root, stdio: "inherit" });
  if (error !== undefined) console.error(`${tool} could not be started: ${error.message}`);
  return status === 0;
}
