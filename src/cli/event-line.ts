/**
 * An event as one line of text that stays as it is: for logs and for grep. Time (ISO 8601, UTC), seq, type, key, and
 * then the facts as `name=value` in alphabetical order. Values with spaces or anything odd are JSON strings.
 */
import type { Event } from "../core/event.ts";
import { jsonText, shorten, visible } from "./terminal.ts";
import { bytesText } from "./look.ts";

const charsMax = 120;

/** What tells nothing to somebody who reads a line: digests, places, and what only the engine needs. */
const unsaid: ReadonlySet<string> = new Set(["after", "fingerprint", "input", "key", "n", "reuse", "schema", "seed"]);
const times: ReadonlySet<string> = new Set(["until", "retryAt"]);

/**
 * The line of an event.
 *
 * @example eventLine(event); // "2026-11-21T04:51:17.123Z 7 step.succeeded charge ms=12 output={\"ok\":true}"
 */
export function eventLine({ at, seq, type, data }: Event): string {
  const facts = data as Record<string, unknown>;
  const key = typeof facts["key"] === "string" ? facts["key"] : undefined;
  const input = type === "run.created" ? [["input", facts["input"]] as const] : [];
  const said = [...Object.entries(facts).filter(([name]) => !unsaid.has(name)), ...input]
    .map(([name, value]) => [name, factText(name, value)] as const)
    .filter(([, text]) => text !== "")
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, text]) => `${visible(name)}=${text}`);
  return [isoText(at), String(seq), type, ...(key === undefined ? [] : [wordText(key)]), ...said].join(" ");
}

function isoText(at: unknown): string {
  const date = new Date(at as number);
  return Number.isNaN(date.getTime()) ? "unknown" : date.toISOString();
}

function factText(name: string, value: unknown): string {
  if (value === undefined || value === null) return "";
  if (times.has(name)) return isoText(value);
  if (typeof value === "string") return wordText(value);
  if (typeof value !== "object") return jsonText(value);
  return objectText(value as Record<string, unknown>);
}

/** Values as they are recorded, errors, and whatever else a field may hold. */
function objectText(value: Record<string, unknown>): string {
  if (Object.hasOwn(value, "undefined")) return "";
  if (Object.hasOwn(value, "inline")) return shorten(jsonText(value["inline"]), charsMax);
  const { digest, bytes, name, message, code } = value;
  if (typeof digest === "string" && typeof bytes === "number") return wordText(bytesText(bytes));
  if (typeof name === "string" && typeof message === "string") {
    const codeText = typeof code === "string" ? ` [${code}]` : "";
    return wordText(`${name}${codeText}: ${message}`);
  }
  return shorten(jsonText(value), charsMax);
}

function wordText(text: string): string {
  const short = shorten(text, charsMax);
  return /^[\w./@:#+-]+$/.test(short) ? short : jsonText(short);
}
