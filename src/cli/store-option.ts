/** Which store a command works on, and the options that every command has. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { Stats } from "node:fs";
import type { Command } from "commander";
import { StemmaError } from "../core/error.ts";
import { sqlite } from "../sqlite.ts";
import type { SqliteStore } from "../sqlite.ts";

export type CommonOptions = { json?: boolean; store?: string; server?: string };

/** Adds what every command takes. `json` says what `--json` does. */
export function withCommonOptions(
  command: Command,
  json: string = "print exactly one JSON value to standard output",
): Command {
  return command
    .option("--store <path>", "file of the store (default: $STEMMA_STORE, else stemma.db in this folder)")
    .option("--json", json);
}

/**
 * Opens the store. `look` is for commands that only look: they never make a file.
 *
 * @throws StemmaError `usage.invalid` for what cannot be a store, `store.not_found` for a file that is not there
 */
export function openStore(options: CommonOptions, use: "look" | "work"): SqliteStore {
  const path = options.store ?? (process.env["STEMMA_STORE"] || "stemma.db");
  if (path === "" || path === ":memory:" || /^[a-z][a-z0-9+.-]+:\/\//i.test(path) || path.startsWith("file:")) {
    const found = JSON.stringify(withoutPassword(path));
    throw new StemmaError(
      "usage.invalid",
      `Expected --store to be the path of a file, got ${found}. Give a file such as stemma.db.`,
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
  return url.replace(/\/\/[^/@]*@/, "//…@");
}
