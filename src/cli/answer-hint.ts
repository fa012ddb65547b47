/** The line that answers an open wait, for people to complete: what has to be filled in stands in angle brackets. */
import type { WaitKind } from "../core/event.ts";
import type { Json } from "../core/json.ts";
import { commandText } from "./command-text.ts";
import { shorten } from "./terminal.ts";

const depthMax = 3;
const charsMax = 200;

type Asked = { run: string; key: string; kind: WaitKind | undefined; name: string; schema?: Json };

/**
 * What to type. The blanks are no JSON on purpose: a line that is copied as it stands is refused, and answers nothing.
 *
 * @example answerHint({ run: "run_…", key: "approval", … }); // "stemma resume run_… approval --value '{"approve":<true or false>}'"
 */
export function answerHint(
  { run, key, kind, name, schema }: Asked,
  options: { store?: string | undefined; server?: string | undefined } = {},
): string {
  const blank = schema === undefined ? "<json>" : blankOf(schema, 0);
  const value = blank.length > charsMax ? "<json>" : blank;
  const words = kind === "signal" ? ["signal", run, name] : ["resume", run, key];
  return commandText([...words, "--value", value], options);
}

/** JSON in the form that a schema asks for, with blanks where values belong. */
function blankOf(schema: Json | undefined, depth: number): string {
  if (typeof schema !== "object" || schema === null || Array.isArray(schema) || depth > depthMax) return "<json>";
  const { type, enum: choices, const: only, properties, required, items } = schema;
  if (only !== undefined) return JSON.stringify(only);
  if (Array.isArray(choices)) return `<${shorten(choices.map((each) => JSON.stringify(each)).join(" or "), 60)}>`;
  if (type === "object" && typeof properties === "object" && properties !== null && !Array.isArray(properties)) {
    const needed = Array.isArray(required) ? required.map(String) : [];
    const parts = needed.map((name) => `${JSON.stringify(name)}:${blankOf(properties[name], depth + 1)}`);
    return `{${parts.join(",")}}`;
  }
  if (type === "array") return `[${blankOf(items, depth + 1)}]`;
  if (type === "string") return '"<text>"';
  if (type === "boolean") return "<true or false>";
  return typeof type === "string" ? `<${type}>` : "<json>";
}
