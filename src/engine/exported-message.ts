/** Whether what a file says was sent to a run can have been sent: whoever takes it in later trusts it. */
import type { Json } from "../core/json.ts";
import { parse } from "../core/json.ts";
import { limits } from "../core/limits.ts";
import { checkId } from "../core/name.ts";
import type { ExportedMessage } from "./export-file.ts";
import { refused } from "./export-file.ts";

/** What a body must have, besides what it may have. */
const required: Readonly<Record<string, readonly string[]>> = {
  answer: ["key"],
  signal: ["name"],
  decide: ["key", "decision"],
  child: ["run", "key", "status"],
  cancel: [],
  pause: [],
  unpause: [],
};
/** What is a text wherever it stands. */
const texts = ["key", "name", "decision", "run", "status", "text", "by", "reason", "caller", "message"];

/** Throws import.refused. */
export function checkMessage({ key, kind, body }: ExportedMessage): void {
  const names = Object.hasOwn(required, kind) ? required[kind] : undefined;
  const said = bodyOf(body);
  const isFit =
    said !== undefined &&
    names !== undefined &&
    names.every((name) => Object.hasOwn(said, name)) &&
    texts.every((name) => !Object.hasOwn(said, name) || typeof said[name] === "string") &&
    (typeof said["text"] !== "string" || isJson(said["text"]));
  if (!isFit) throw refused(`it has a message that nobody sends: ${kind.slice(0, 60)}`);
  try {
    checkId(key, "key of a message");
  } catch {
    throw refused("it has a message under no key");
  }
}

function bodyOf(text: string): { [name: string]: Json } | undefined {
  try {
    const body = parse(text, "message", limits.requestBytesMax);
    return typeof body === "object" && body !== null && !Array.isArray(body) ? body : undefined;
  } catch {
    return undefined;
  }
}

function isJson(text: string): boolean {
  try {
    parse(text, "message", limits.requestBytesMax);
    return true;
  } catch {
    return false;
  }
}
