/** The command line on PostgreSQL: a real server, every kind of command, and no password on any screen. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { answered, typed } from "../../test/command-line.ts";
import { dropSchema, newSchema, postgresUrl, schemasMade, sql } from "../../test/postgres/database.ts";
import { silent, until } from "../../test/stage.ts";
import { Stemma, workflow } from "../index.ts";
import { postgres } from "../postgres.ts";

const secret = "hidden-word";
const folder = mkdtempSync(join(tmpdir(), "stemma-cli-"));
const main = join(import.meta.dirname, "main.ts");
const role = newSchema();
let url: string;

beforeAll(async () => {
  url = await postgresUrl();
  await sql(url, `create role ${role} login superuser password '${secret}'`);
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await dropSchema(url, schemasMade);
  await sql(url, `drop role ${role}`);
});

/** The URL as somebody types it: with a password, and the schema in it. */
function at(schema: string, change: (url: URL) => unknown = () => {}): string {
  const place = new URL(url);
  place.username = role;
  place.password = secret;
  place.searchParams.set("schema", schema);
  change(place);
  return place.href;
}

const asks = workflow({ name: "asks" }, async (ctx, input: number) => {
  const doubled = await ctx.step("once", () => input * 2);
  if (input === 0) throw new Error("no zero");
  return [doubled, await ctx.wait("word")];
});

async function working(schema: string): Promise<Stemma & AsyncDisposable> {
  const stemma = new Stemma({ store: postgres({ url, schema }), workflows: [asks], log: silent }, { lingerMs: 10 });
  return stemma.start();
}

describe("a database of PostgreSQL as --store", () => {
  test("is looked at, steered, repaired and compared by the same commands as a file, and no line has the password", async () => {
    const schema = newSchema();
    const stemma = await working(schema);
    const said: string[] = [];
    const says = async (...words: string[]): Promise<string> => {
      const { status, out, err } = await typed(...words, "--store", at(schema));
      said.push(out, err);
      expect(status, `${words.join(" ")}: ${err}`).toBe(0);
      return out + err;
    };
    const run = await stemma.run(asks, 21);
    await until(async () => (await run.status()) === "suspended");
    expect(await says("runs")).toContain(run.id);
    expect(await says("show", run.id)).toContain("word");
    expect(await says("waits")).toContain("word");
    expect(await says("trace", run.id)).toContain("once");
    expect(await says("resume", run.id, "word", "--value", '"yes"')).toContain("word");
    expect(await run.result()).toEqual([42, "yes"]);
    expect(await says("watch", run.id)).toContain("succeeded");
    const failed = await stemma.run(asks, 0);
    await until(async () => (await failed.status()) === "failed");
    expect(await says("plan", failed.id)).toContain("once");
    await says("restart", failed.id);
    expect(await says("lineage", failed.id)).toContain(failed.id);
    await says("compare", run.id, failed.id);
    const other = await stemma.run(asks, 1);
    await until(async () => (await other.status()) === "suspended");
    await says("signal", other.id, "unheard");
    await says("pause", other.id);
    await says("cancel", other.id);
    await until(async () => (await other.status()) === "cancelled");
    expect(await says("doctor")).toContain(`schema ${schema}`);
    expect(await says("runs", "--limit", "1")).toContain("--store");
    expect(said.join("")).not.toContain(secret);
    await stemma.stop();
    await stemma.store.close();
  });

  test("is worked on: start makes the tables, a worker carries the run out, and STEMMA_STORE names the store too", async () => {
    const schema = newSchema();
    const file = join(folder, "flow.ts");
    const index = pathToFileURL(join(import.meta.dirname, "../index.ts")).href;
    writeFileSync(
      file,
      `import { workflow } from ${JSON.stringify(index)};
export const flow = workflow({ name: "flow" }, (ctx, input) => ctx.step("one", () => input + 1));`,
    );
    const env = { ...process.env, STEMMA_STORE: at(schema), STEMMA_DEBUG: "" };
    const stemma = (...words: string[]) =>
      spawnSync(process.execPath, [main, ...words], { cwd: folder, env, encoding: "utf8" });
    const looked = stemma("runs");
    expect([looked.status, looked.stderr]).toEqual([3, expect.stringContaining("There is no store at postgres ")]);
    expect(await sql(url, `select 1 from pg_namespace where nspname = '${schema}'`)).toEqual([]);
    const worker = spawn(process.execPath, [main, "worker", file], { cwd: folder, env, stdio: "ignore" });
    const closed = once(worker, "close");
    const started = stemma("start", "flow", file, "--input", "41", "--wait");
    worker.kill("SIGTERM");
    await closed;
    expect([started.status, started.stdout]).toEqual([0, expect.stringContaining("42")]);
    expect(started.stdout + started.stderr).not.toContain(secret);
    expect(stemma("runs").stdout).toContain("succeeded");
  });
});

describe("a database that cannot be used", () => {
  test("because nobody listens there is said so, without the password", async () => {
    const store = at("x", (place) => ((place.hostname = "127.0.0.1"), (place.port = "1")));
    const { status, value } = await answered("runs", "--store", store);
    expect(status).toBe(4);
    expect(value).toMatchObject({ code: "store.unavailable" });
    const { err } = await typed("show", "run_x", "--store", store);
    expect(JSON.stringify(value) + err).not.toContain(secret);
  });

  test("because its URL makes no sense is refused, without the password", async () => {
    for (const store of [`postgres://u:${secret}@`, `postgres://u:${secret}@h:x/d`, `mysql://u:${secret}@h/d`]) {
      const { status, err } = await typed("runs", "--store", store);
      expect(status, store).toBe(2);
      expect(err).not.toContain(secret);
    }
  });

  test("because pg is not installed says what to install", async () => {
    const without = join(folder, "without-pg.mjs");
    writeFileSync(
      without,
      `import { registerHooks } from "node:module";
registerHooks({ resolve(specifier, context, next) {
  if (specifier === "pg") throw Object.assign(new Error("Cannot find package 'pg'"), { code: "ERR_MODULE_NOT_FOUND" });
  return next(specifier, context);
} });`,
    );
    const { status, stderr } = spawnSync(
      process.execPath,
      ["--import", pathToFileURL(without).href, main, "runs", "--store", at("x")],
      { encoding: "utf8", env: { ...process.env, STEMMA_DEBUG: "" } },
    );
    expect([status, stderr]).toEqual([2, expect.stringContaining("npm install pg")]);
    expect(stderr).not.toContain(secret);
  });
});
