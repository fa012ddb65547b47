/**
 * From errors of PostgreSQL and of the network to codes of ours. Messages name the server and a plain text of our own,
 * never what the server said: that may hold a value. The original error is the cause.
 */
import type { ErrorCode } from "../../core/error.ts";
import { isStemmaError, StemmaError } from "../../core/error.ts";

type Meaning = { code: ErrorCode; what: string; advice: string };

const unavailable = (what: string): Meaning => ({
  code: "store.unavailable",
  what,
  advice: "It is connected to anew with the next call; look at the server if this goes on.",
});
const busy = (what: string): Meaning => ({ code: "store.busy", what, advice: "Try again." });
const refused = (what: string, advice: string): Meaning => ({ code: "store.not_writable", what, advice });
const bug: Meaning = { code: "engine.bug", what: "it refused a statement", advice: "Please report it." };

const readOnly = refused("it is read-only", "Give the address of the primary server.");
const foreign: Meaning = {
  code: "store.corrupt",
  what: "its tables are not those of stemma",
  advice: "Choose another schema, or restore a backup.",
};
const full: Meaning = {
  code: "store.full",
  what: "its disk is full",
  advice: "Free some space there; nothing of this call was kept.",
};
const tooLarge: Meaning = {
  code: "payload.too_large",
  what: "a value is larger than it can hold",
  advice: "Store large files elsewhere and record where they are.",
};
const badText: Meaning = {
  code: "usage.invalid",
  what: "a text holds the character NUL, which it cannot keep",
  advice: "Leave that character out of names and keys.",
};

const spoilt: Meaning = {
  code: "usage.invalid",
  what: "the transaction that was given had failed before",
  advice: "Roll it back, and begin anew.",
};

/** By SQLSTATE, or by the class of it (https://www.postgresql.org/docs/current/errcodes-appendix.html). */
const meanings: Readonly<Record<string, Meaning>> = {
  "08": unavailable("the connection was lost"),
  "21": bug,
  "22021": badText,
  "22P05": badText,
  "25006": readOnly,
  "25P02": spoilt,
  "25P03": unavailable("a transaction took too long"),
  "25P04": unavailable("a transaction took too long"),
  "28": refused("it did not let us in", "Look at user, password and pg_hba.conf."),
  "3D000": { code: "store.not_found", what: "there is no such database", advice: "Make it, or name another." },
  "3F000": foreign,
  "40": busy("others were in the way too often"),
  "40003": unavailable("the connection was lost"),
  "42501": refused("a right is missing", "The user must own the schema, or be allowed to make it."),
  "42703": foreign,
  "42P01": foreign,
  "42P07": foreign,
  "53": busy("it has no resources left"),
  "53100": full,
  "53300": busy("it has too many connections"),
  "54": tooLarge,
  "55P03": busy("a lock was not to be had"),
  "57014": busy("a statement was cancelled"),
  "57P": unavailable("it is starting or shutting down"),
  "58": unavailable("it has an error of its system"),
  XX001: { code: "store.corrupt", what: "its data is damaged", advice: "Restore a backup." },
  XX002: { code: "store.corrupt", what: "an index is damaged", advice: "Reindex, or restore a backup." },
  XX: unavailable("it has an internal error"),
};

/** The SQLSTATE of an error that the server raised; undefined for every other error. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || !("severity" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** Whether the same statement may go through the next time because others are done by then. */
export function isPassing(error: unknown): boolean {
  // 23503: a payload went with its last user while this statement gave it another one.
  return ["40001", "40P01", "55P03", "23503"].includes(sqlState(error) ?? "") || isNameLost(error);
}

/** Whether the name of a prepared statement is not there, or there already, as behind a pooler. Nothing was done. */
export function isNameLost(error: unknown): boolean {
  return ["26000", "42P05"].includes(sqlState(error) ?? "");
}

/** Whether a server refused a write because it takes none. */
export function isReadOnly(error: unknown): boolean {
  return sqlState(error) === "25006";
}

/** Whether a network, a server that goes down, or a time limit ended the connection. */
export function isConnectionLost(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return /^(?:08|57P|40003|25P03|25P04)/.test(state);
  return error instanceof Error && !isOurs(error);
}

/** Errors that code of this process has thrown, not the server or the network. */
function isOurs(error: Error): boolean {
  return [TypeError, RangeError, SyntaxError].some((kind) => error instanceof kind) || isStemmaError(error);
}

/**
 * The error to throw for `error`, which happened while the server called `name` was used. With `known`, a server that
 * could be written to before is expected to be so again. `sent`: a write was on its way, so nobody knows its outcome.
 */
export function failureOf(
  error: unknown,
  name: string,
  { known = false, sent = false }: { known?: boolean; sent?: boolean } = {},
): unknown {
  if (!(error instanceof Error) || isOurs(error)) return error;
  const state = sqlState(error);
  const usual = meaningOf(state, error);
  // What it let us do before it is expected to let us do again: a failover, a secret or a right that is being changed.
  const meaning = known && usual.code === "store.not_writable" ? unavailable(`for now ${usual.what}`) : usual;
  const unknown = sent && isConnectionLost(error);
  const data = { ...(state === undefined ? {} : { sqlState: state }), ...(unknown ? { outcome: "unknown" } : {}) };
  const code = state === undefined ? "" : ` (${state})`;
  return new StemmaError(
    meaning.code,
    `PostgreSQL could not be used (${name}): ${meaning.what}${code}. ${meaning.advice}`,
    {
      data,
      cause: error,
    },
  );
}

/** Whether nobody can tell if what failed with this error was done. */
export function isUnknown(error: unknown): boolean {
  return isStemmaError(error) && error.data["outcome"] === "unknown";
}

function meaningOf(state: string | undefined, error: Error): Meaning {
  if (state === undefined) return unavailable(networkText(error));
  return meanings[state] ?? meanings[state.slice(0, 3)] ?? meanings[state.slice(0, 2)] ?? bug;
}

const network: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ECONNRESET: "the connection was lost",
  EPIPE: "the connection was lost",
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "the name of its host could not be looked up",
  ETIMEDOUT: "it does not answer",
  EHOSTUNREACH: "its host cannot be reached",
  ENOENT: "there is no such socket",
};

function networkText(error: Error): string {
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const known = network[code];
  if (known !== undefined) return known;
  return /timeout/i.test(error.message) ? "it does not answer" : "the connection was lost";
}
