/** Which store a command works on, and the options that every command has. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { Stats } from "node:fs";
import type { Command } from "commander";
import { StemmaError } from "../core/error.ts";
import { sqlite } from "../sqlite.ts";
import type { Store } from "../store/store.ts";

export type CommonOptions = { json?: boolean; store?: string; server?: string };

/** Adds what every command takes. `json` says what `--json` does. */
export function withCommonOptions(
  command: Command,
  json: string = "print exactly one JSON value to standard output",
): Command {
  return command
    .option(
      "--store <path>",
      "file of the store, or postgres://…[?schema=name] (default: $STEMMA_STORE, else stemma.db in this folder)",
    )
    .option("--json", json);
}

/**
 * Opens the store: a file, or a database of PostgreSQL, which is connected to with the first question. `look` is for
 * commands that only look: they never make a file, or tables.
 *
 * @throws StemmaError `usage.invalid` for what cannot be a store, and where only a server is named; `store.not_found` for a file that is not there
 */
export async function openStore(options: CommonOptions, use: "look" | "work"): Promise<Store & AsyncDisposable> {
  const named = options.store ?? (process.env["STEMMA_STORE"] || undefined);
  if (named === undefined && process.env["STEMMA_SERVER"]) throw onServerOnly();
  const path = named ?? "stemma.db";
  if (isDatabase(path)) return openDatabase(path, use);
  if (path === "" || path === ":memory:" || /^[a-z][a-z0-9+.-]+:\/\//i.test(path) || path.startsWith("file:")) {
    const found = JSON.stringify(withoutPassword(path));
    throw new StemmaError(
      "usage.invalid",
      `Expected --store to be the path of a file or a postgres:// URL, got ${found}. Give a file such as stemma.db.`,
    );
  }
  const stats = statsOf(path);
  if (stats?.isDirectory() === true) {
    throw new StemmaError(
      "usage.invalid",
      `Expected --store to be a file, found a folder at ${resolve(path)}. Give a file in it.`,
      {
        data: { path: resolve(path) },
      },
    );
  }
  if (use === "look" && (stats === undefined || (stats.isFile() && stats.size === 0))) throw missing(resolve(path));
  return sqlite(path);
}

function isDatabase(store: string): boolean {
  return /^postgres(?:ql)?:\/\//i.test(store);
}

/** The schema is named in the URL, as `?schema=name`; the rest of it is for pg, which is loaded with the first question. */
async function openDatabase(given: string, use: "look" | "work"): Promise<Store & AsyncDisposable> {
  const { postgres } = await import("../postgres.ts");
  // What is no URL is refused there, in words that do not repeat it.
  const url = URL.canParse(given) ? new URL(given) : undefined;
  const schema = url?.searchParams.get("schema");
  url?.searchParams.delete("schema");
  const place = { url: url?.href ?? given, ...(typeof schema === "string" ? { schema } : {}) };
  return postgres({ ...place, create: use === "work" });
}

/**
 * A store as it may be shown to people, and typed again: that of a URL is without its password, which is nobody's
 * business on a screen; $PGPASSWORD or a password file has it.
 */
export function shownStore(store: string): string {
  if (!/^[a-z][a-z0-9+.-]+:\/\//i.test(store)) return store;
  if (!isDatabase(store) || !URL.canParse(store)) return withoutPassword(store);
  const url = new URL(store);
  url.password = "";
  const secrets = [...url.searchParams.keys()].filter((name) => /password/i.test(name));
  for (const name of secrets) url.searchParams.delete(name);
  return url.href;
}

/** Whoever has named a server does not mean whatever file happens to be in this folder. */
function onServerOnly(): StemmaError {
  return new StemmaError(
    "usage.invalid",
    "This command works on a store, and $STEMMA_SERVER names a server, which is not asked for it. Name the store with --store.",
  );
}

function missing(path: string): StemmaError {
  const advice = "Name another with --store or STEMMA_STORE, or make one: stemma start <workflow> <file>.";
  return new StemmaError("store.not_found", `There is no store at ${path}. ${advice}`, { data: { path } });
}

/** Undefined where there is nothing. What cannot be looked at is left to the store, which says why. */
function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new StemmaError(
      "store.not_writable",
      `The store at ${resolve(path)} cannot be looked at (${code ?? String(error)}).`,
      {
        data: { path: resolve(path) },
        cause: error,
      },
    );
  }
}

function withoutPassword(url: string): string {
  return url.replace(/\/\/.*@/s, "//…@");
}
