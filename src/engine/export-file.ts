/**
 * The form of an exported family: lines of JSON, in UTF-8, each ended by a line feed.
 *
 *     {"stemma":"family","version":1,"family":"run_…"}                the first line
 *     {"run":{"id":"run_…","queue":"default","priority":0}}           what follows is of this run, up to the next; where it has
 *                                                                     them: idempotencyKey, dueAt (not to begin before)
 *     {"payload":{"digest":"…","text":"…"}}                           a value that is kept apart, before who names it
 *     {"event":{"seq":0,"at":…,"type":"…","causes":"…","data":"…","hash":"…"}}
 *     {"message":{"key":"…","kind":"answer","body":"…"}}              what was sent to the run, and it has not taken in
 *     {"end":{"runs":1,"events":5,"payloads":1,"digest":"…"}}         the last line: counts, SHA-256 of all before it
 *
 * Texts of events and payloads are exactly those that are stored, so their hashes hold on any store. Whoever reads such
 * a file believes nothing of it: this is where its outer form is checked.
 */
import { createHash } from "node:crypto";
import type { StoredEvent } from "../core/chain.ts";
import { StemmaError } from "../core/error.ts";
import type { RunId, Timestamp } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import type { Message, Payload } from "../store/store.ts";
import { checkRunId } from "./id.ts";

export const fileVersion = 1;

export type ExportedRun = { id: RunId; queue: string; priority: number; idempotencyKey?: string; dueAt?: Timestamp };
export type ExportedMessage = Pick<Message, "key" | "kind" | "body">;
export type Counts = { runs: number; events: number; payloads: number };
export type Line =
  | { header: RunId }
  | { run: ExportedRun }
  | { payload: Payload }
  | { event: StoredEvent }
  | { message: ExportedMessage }
  | { end: Counts };

/** What a file is read from; it is opened more than once, because all of it is checked before any of it is believed. */
export type OpenFile = () => AsyncIterable<string | Uint8Array>;

export function headerText(family: RunId): string {
  return `${JSON.stringify({ stemma: "family", version: fileVersion, family })}\n`;
}

export function endText(counts: Counts, digest: string): string {
  return `${JSON.stringify({ end: { ...counts, digest } })}\n`;
}

/** The lines of a file, each of the form above. Throws import.refused, store.newer. */
export async function* linesOf(open: OpenFile, bytesMax: number): AsyncGenerator<Line> {
  const sum = createHash("sha256");
  const counts: Counts = { runs: 0, events: 0, payloads: 0 };
  let ended = false;
  let first = true;
  for await (const text of textLines(open, bytesMax)) {
    if (ended) throw refused("there is something behind its last line");
    const line = first ? headerOf(text) : lineOf(text);
    first = false;
    if ("end" in line) {
      const { digest, ...announced } = line.end as Counts & { digest: string };
      if (JSON.stringify(announced) !== JSON.stringify(counts)) {
        throw refused(`it has ${JSON.stringify(counts)}, and its last line says ${JSON.stringify(announced)}`);
      }
      if (digest !== sum.digest("hex")) throw refused("it is not what was written: its digest differs");
      ended = true;
    } else {
      sum.update(`${text}\n`);
      if ("run" in line) counts.runs += 1;
      if ("event" in line) counts.events += 1;
      if ("payload" in line) counts.payloads += 1;
    }
    yield line;
  }
  if (!ended) throw refused("it ends before its last line: it was cut off");
}

export function refused(why: string): StemmaError {
  return new StemmaError("import.refused", `This is no family that could be taken in: ${why}. Nothing was written.`);
}

async function* textLines(open: OpenFile, bytesMax: number): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let parts: string[] = [];
  let chars = 0;
  let bytes = 0;
  for await (const chunk of open()) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw refused(`it is larger than ${bytesMax} bytes`);
    let text = typeof chunk === "string" ? chunk : decoded(() => decoder.decode(chunk, { stream: true }));
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield parts.join("") + text.slice(0, end);
      text = text.slice(end + 1);
      [parts, chars] = [[], 0];
    }
    parts.push(text);
    chars += text.length;
    if (chars > limits.exportLineCharsMax)
      throw refused(`it has a line of more than ${limits.exportLineCharsMax} characters`);
  }
  const rest = parts.join("") + decoded(() => decoder.decode());
  if (rest !== "") throw refused("it ends in the midst of a line: it was cut off");
}

function decoded(decode: () => string): string {
  try {
    return decode();
  } catch {
    throw refused("it is not UTF-8");
  }
}

/** Whatever stands in a line is looked at by its own names only, and each must be of its type; there are no others. */
type Fields = Readonly<Record<string, "string" | "number">>;
const runFields: Fields = { id: "string", queue: "string", priority: "number" };
/** What a run may have besides. */
const runExtras: Fields = { idempotencyKey: "string", dueAt: "number" };
const payloadFields: Fields = { digest: "string", text: "string" };
const eventFields: Fields = {
  seq: "number",
  at: "number",
  type: "string",
  causes: "string",
  data: "string",
  hash: "string",
};
const messageFields: Fields = { key: "string", kind: "string", body: "string" };
const endFields: Fields = { runs: "number", events: "number", payloads: "number", digest: "string" };
const fieldsOf: Readonly<Record<string, Fields>> = {
  run: runFields,
  payload: payloadFields,
  event: eventFields,
  message: messageFields,
  end: endFields,
};

function headerOf(text: string): Line {
  const header = objectIn(text);
  if (header["stemma"] !== "family") throw refused("its first line is not that of an exported family");
  const { version, family } = header;
  if (!Number.isSafeInteger(version) || Number(version) < 1) throw refused("its first line names no version");
  if (Number(version) > fileVersion) {
    const message = `Expected a file of version ${fileVersion} or older, found ${JSON.stringify(version)}. Upgrade this stemma.`;
    throw new StemmaError("store.newer", message, { data: { expected: fileVersion } });
  }
  if (typeof family !== "string") throw refused("its first line names no family");
  return { header: checkRunId(family) };
}

function lineOf(text: string): Line {
  const line = objectIn(text);
  const [[kind, value] = ["", undefined], ...others] = Object.entries(line);
  const known = Object.hasOwn(fieldsOf, kind) ? fieldsOf[kind] : undefined;
  const fields = known === undefined || kind !== "run" ? known : { ...known, ...extrasIn(value) };
  if (fields === undefined || others.length > 0 || typeof value !== "object" || value === null) {
    throw refused(`it has a line that says nothing known: ${text.slice(0, 60)}`);
  }
  const found = value as Record<string, unknown>;
  const names = Object.keys(found);
  const isWhole = names.length === Object.keys(fields).length;
  if (!isWhole || !names.every((name) => Object.hasOwn(fields, name) && typeof found[name] === fields[name])) {
    throw refused(`it has a line of kind ${kind} with other fields than ${Object.keys(fields).join(", ")}`);
  }
  for (const number of Object.values(found)) {
    if (typeof number === "number" && !Number.isSafeInteger(number)) throw refused("it has a number that is not whole");
  }
  if (kind === "run") checkRunId(found["id"] as string);
  return line as Line;
}

function extrasIn(run: unknown): Fields {
  if (typeof run !== "object" || run === null) return {};
  return Object.fromEntries(Object.entries(runExtras).filter(([name]) => Object.hasOwn(run, name)));
}

function objectIn(text: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw refused(`it has a line that is no JSON object: ${JSON.stringify(text.slice(0, 60))}`);
}
