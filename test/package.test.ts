/** The package as its users get it: packed, unpacked beside its dependencies, imported, type-checked, run. */
import { execFileSync } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "stemma-package-"));
const installed = join(folder, "node_modules", "stemma");
const entries = globSync("src/*.ts", { cwd: root, exclude: ["**/*.test.ts"] }).map((file) => basename(file, ".ts"));
const specifiers = entries.map((entry) => (entry === "index" ? "stemma" : `stemma/${entry}`));

interface Manifest {
  readonly exports: unknown;
  readonly dependencies: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;

beforeAll(() => {
  run(process.execPath, [join(root, "scripts/ready.mjs")]);
  const pack = ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder];
  const tarball = execFileSync("npm", pack, { cwd: root, encoding: "utf8" }).trim();
  mkdirSync(installed, { recursive: true });
  run("tar", ["-xzf", tarball, "-C", installed, "--strip-components=1"]);
  for (const name of [...Object.keys(manifest.dependencies), "@types/node"]) {
    const link = join(folder, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(root, "node_modules", name), link, "junction");
  }
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

test("package.json exports exactly the entry files, each with its types", () => {
  const expected = entries.map((entry) => [
    entry === "index" ? "." : `./${entry}`,
    { types: `./dist/${entry}.d.ts`, default: `./dist/${entry}.js` },
  ]);
  expect(manifest.exports).toEqual(Object.fromEntries(expected));
});

test("the package holds what was built, its sources and its licence, and no tests", () => {
  const files = globSync("**/*", { cwd: installed });
  expect(files).toEqual(expect.arrayContaining(["LICENSE", "dist/index.js", "dist/index.d.ts.map", "src/index.ts"]));
  expect(files.filter((file) => /\.test\.|^test\/|^examples\//u.test(file))).toEqual([]);
});

test("plain JavaScript can import each export, and finds there what the source exports", async () => {
  const list = `console.log(JSON.stringify(await Promise.all(process.argv.slice(2).map(async (name) => Object.keys(await import(name))))));`;
  writeFileSync(join(folder, "import.js"), list);
  const found = JSON.parse(run(process.execPath, ["import.js", ...specifiers])) as string[][];
  const sources = await Promise.all(entries.map(async (entry) => (await import(`../src/${entry}.ts`)) as object));
  expect(found).toEqual(sources.map((source) => Object.keys(source).toSorted()));
  expect(found.every((names) => names.length > 0)).toBe(true);
});

const consumer = `
import { Stemma, workflow } from "stemma";
import { postgres } from "stemma/postgres";
import { sqlite } from "stemma/sqlite";
import { fakeClock, faults, storeConformance } from "stemma/testing";

const greet = workflow({ name: "greet", version: 1 }, async (ctx, input: { who: string }) =>
  ctx.step("greeting", { input: input.who }, (who) => "Hello, " + who + "!"),
);
const elsewhere = postgres({ url: "postgres://127.0.0.1/books", schema: "workflows" });
await elsewhere.close();
const clock = fakeClock();
const store = faults(sqlite(":memory:"));
store.fail("commit.before", "store.busy", (parts) => parts.length === 1);
{
  await using stemma = await new Stemma({ store, workflows: [greet], clock }).start();
  // @ts-expect-error: the input of a run is the input of its workflow
  const refused: Promise<unknown> = Promise.resolve().then(() => stemma.run(greet, { whom: "nobody" })).catch(() => 0);
  const run = await stemma.run(greet, { who: "Ada" }, { delay: "1w" });
  await clock.advance("8d");
  const greeting: string = await run.result();
  console.log(greeting, typeof storeConformance);
  await refused;
}
await store.close();
`;

test.each(["nodenext", "bundler"])(
  "a consumer in TypeScript type-checks under %s, libraries included",
  (resolution) => {
    writeFileSync(join(folder, "consumer.ts"), consumer);
    const compilerOptions = {
      module: resolution === "nodenext" ? "nodenext" : "esnext",
      moduleResolution: resolution,
      target: "es2024",
      lib: ["es2024", "esnext.disposable"],
      types: ["node"],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["consumer.ts"] }));
    expect(run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", folder])).toBe("");
  },
);

test("the consumer's workflow runs", () => {
  writeFileSync(join(folder, "consumer.ts"), consumer);
  expect(run(process.execPath, ["consumer.ts"])).toBe("Hello, Ada! function\n");
});

test("a user of stemma/postgres without pg is told to install it", () => {
  const use = `
    import { postgres } from "stemma/postgres";
    const store = postgres("postgres://127.0.0.1/books");
    await store.list({}).catch((error) => console.log(error.code, error.message));`;
  writeFileSync(join(folder, "no-pg.js"), use);
  expect(run(process.execPath, ["no-pg.js"])).toMatch(/^usage\.invalid .*npm install pg\.\n$/u);
});

/** What a command prints to stdout, run in the folder of the consumer. Throws with both outputs when it fails. */
function run(command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { cwd: folder, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(" ")} failed:\n${stdout}${stderr}`, { cause: error });
  }
}
