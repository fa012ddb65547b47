/**
 * Errors on their way into the journal and out of it. Whatever a step throws, even something that is no error at all,
 * becomes a plain record; what the body catches is made from the record, live and after a crash alike.
 */
import type { ErrorRecord } from "../core/event.ts";
import type { Json } from "../core/json.ts";
import { decode, encode } from "../core/json.ts";

const messageCharsMax = 10_000;
const causesMax = 8;

/**
 * What a body catches when a step failed: `name`, `message`, `code` and `data` of what the step threw, as they were
 * recorded, and its `cause` as another StepError.
 *
 * @example
 * try { await ctx.step("charge", charge); } catch (error) { if (error instanceof StepError && error.code === "CARD") … }
 */
export class StepError extends Error {
  override readonly name: string;
  readonly code: string | undefined;
  readonly data: Json | undefined;
  /** Key of the step that failed. */
  readonly step: string | undefined;

  constructor(record: ErrorRecord, step?: string) {
    super(record.message, record.cause === undefined ? undefined : { cause: new StepError(record.cause) });
    this.name = record.name;
    this.code = record.code;
    this.data = record.data;
    this.step = step;
  }
}

/** Makes a record of anything that can be thrown. Never throws itself, however hostile the value is. */
export function toRecord(thrown: unknown, depth = 0): ErrorRecord {
  try {
    // Errors of another realm (a vm context, as test runners use) are errors too, but not instances of our class.
    return thrown instanceof Error || Error.isError(thrown) ? fromError(thrown, depth) : fromOther(thrown);
  } catch {
    return { name: "Error", message: "something was thrown that cannot be looked at", code: "step.failed" };
  }
}

function fromError(error: Error, depth: number): ErrorRecord {
  const record: ErrorRecord = { name: text(error.name, "Error"), message: text(error.message, "") };
  const { code, data, cause } = error as { code?: unknown; data?: unknown; cause?: unknown };
  if (typeof code === "string" || typeof code === "number") record.code = text(String(code), "");
  const kept = data === undefined ? undefined : json(data);
  if (kept !== undefined) record.data = kept;
  if (cause !== undefined && cause !== null && depth < causesMax) record.cause = toRecord(cause, depth + 1);
  return record;
}

function fromOther(thrown: unknown): ErrorRecord {
  const kind = thrown === null ? "null" : typeof thrown;
  const data = json(thrown);
  const record: ErrorRecord = {
    name: "Error",
    message: text(`expected an Error to be thrown, got ${kind}: ${describe(thrown, data)}`, kind),
    code: "step.threw_non_error",
  };
  if (data !== undefined) record.data = data;
  return record;
}

function describe(thrown: unknown, data: Json | undefined): string {
  if (data !== undefined) return JSON.stringify(data).slice(0, 200);
  try {
    return String(thrown).slice(0, 200);
  } catch {
    return "a value that cannot be shown";
  }
}

/** The value as JSON, or nothing where it cannot be one: an error's extra data is not worth a second error. */
function json(value: unknown): Json | undefined {
  try {
    const encoded = encode(value);
    return encoded === undefined || encoded.length > messageCharsMax ? undefined : decode(encoded);
  } catch {
    return undefined;
  }
}

/** Bounded text without lone surrogates, which JSON text could not carry. */
function text(value: unknown, otherwise: string): string {
  return typeof value === "string" ? value.slice(0, messageCharsMax).toWellFormed() : otherwise;
}
