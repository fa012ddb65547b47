/**
 * Makes a fresh clone ready: installs the dependencies when they are not those of the lock file, and builds when the
 * build is not that of the sources. `npm start`, `npm test` and `npm run check` begin with it, so that none of them
 * needs to be preceded by anything. Plain JavaScript without dependencies: an older Node than the one that Stemma
 * needs can run it, for the right one comes with the dependencies.
 *
 * Two digests, kept in node_modules, say what is there. Each is removed before the work it stands for begins and
 * written after it is done: interrupted work is begun again. All output goes to stderr; stdout is left to what follows.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

// oxlint-disable-next-line unicorn/prefer-import-meta-properties -- a Node before 20.11 does not have them.
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, "node_modules");
const stamps = join(modules, ".stemma");
const installed = join(stamps, "installed");
const built = join(stamps, "built");
const runtime = join(modules, ".bin", "node");

try {
  ensure(installed, digest(["package-lock.json"]), () => existsSync(runtime), install);
  const sources = sourceFiles();
  const inputs = ["package-lock.json", "tsconfig.json", "tsconfig.build.json", ...sources];
  ensure(built, digest(inputs), () => sources.every(isBuilt), build);
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

/**
 * Does the work unless its stamp holds this digest and its outcome is still there.
 * @param {string} stamp
 * @param {string} wanted
 * @param {() => boolean} isThere
 * @param {() => void} work
 */
function ensure(stamp, wanted, isThere, work) {
  const found = existsSync(stamp) ? readFileSync(stamp, "utf8") : "";
  if (found === wanted && isThere()) return;
  rmSync(stamp, { force: true });
  work();
  mkdirSync(stamps, { recursive: true });
  writeFileSync(stamp, wanted);
}

function install() {
  say("installing the dependencies (npm ci), about ten seconds ...");
  // npm must not be run by the Node that it is about to replace: it looks for another one, outside of node_modules.
  const own = join(modules, ".bin");
  const path = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== own);
  const env = { ...process.env, PATH: path.join(delimiter) };
  const done = run("npm", ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"], env);
  if (!done) throw new Error("`npm ci` failed; what it said is above. Without a network it cannot work.");
  if (run(runtime, ["--eval", "process.exit(Number.parseInt(process.versions.node) < 24 ? 1 : 0)"])) return;
  throw new Error(
    "`npm ci` left no Node 24 in node_modules/.bin. Its install script was probably not allowed to run: " +
      "set `npm config set ignore-scripts false` and try again.",
  );
}

function build() {
  say("building ...");
  // All of it, so that nothing stays whose source is gone.
  rmSync(join(root, "dist"), { recursive: true, force: true });
  const compiler = join(modules, "typescript", "bin", "tsc");
  if (run(runtime, [compiler, "-p", join(root, "tsconfig.build.json")])) return;
  throw new Error("The build failed: the sources have the type errors above.");
}

/**
 * Runs a command to its end, with everything that it prints on stderr.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 */
function run(command, args, env = process.env) {
  const { status, error } = spawnSync(command, args, { cwd: root, env, stdio: ["ignore", 2, 2] });
  if (error !== undefined) say(`${command}: ${error.message}`);
  return status === 0;
}

/**
 * One digest of files, by name and content: neither order of writing nor times of modification matter to it.
 * @param {readonly string[]} files relative to the root
 */
function digest(files) {
  const hash = createHash("sha256");
  for (const file of files) {
    const content = readFileSync(join(root, file));
    hash.update(`${file}\n${content.length}\n`).update(content);
  }
  return hash.digest("hex");
}

/** What the build is made from: the TypeScript below src, without the tests, in a fixed order. */
function sourceFiles() {
  return readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
    .map((file) => `src/${file.split(sep).join("/")}`)
    .sort();
}

/** @param {string} source */
function isBuilt(source) {
  return existsSync(join(root, source.replace(/^src\//u, "dist/").replace(/\.ts$/u, ".js")));
}

/** @param {string} text */
function say(text) {
  process.stderr.write(`stemma: ${text}\n`);
}
