/**
 * Which texts may be names and ids. Keys and trace ids are made from names, so a name must not contain what they are
 * joined with; ids come from outside and go into logs, URLs and database keys, so they must be printable and short.
 */

import { StemmaError } from "./error.ts";
import { limits } from "./limits.ts";

// oxlint-disable-next-line no-control-regex -- control characters are what must be found
const unprintable = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/** Keys join names with `/` and `#`, trace ids with `|` and `::`. */
const separator = /[/#|]|::/;

/**
 * Returns `name` if it can name a workflow, step, scope, wait or tag; spaces, dots and all scripts are fine.
 *
 * @param what says what is named, for example `name of a step`.
 * @throws StemmaError `name.invalid` with `{ found }` unless it is 1 to `limits.nameCharsMax` characters (UTF-16 code
 * units) without control characters, lone surrogates, `/`, `#`, `|` and `::`.
 * @example
 * checkName("charge card", "name of a step"); // "charge card"
 * checkName("a/b", "name of a step"); // throws: … found "/" in "a/b" …
 */
export function checkName(name: unknown, what: string): string {
  return check(name, what, limits.nameCharsMax, separator);
}

/**
 * Returns `id` if it can be an id or an idempotency key from outside. It may contain any printable character.
 *
 * @param what says which id it is, for example `idempotencyKey`.
 * @throws StemmaError `name.invalid` with `{ found }` unless it is 1 to `limits.idCharsMax` characters without control
 * characters and lone surrogates.
 */
export function checkId(id: unknown, what: string): string {
  return check(id, what, limits.idCharsMax, undefined);
}

/**
 * Returns the tags of a run, each once, if they can be that.
 *
 * @throws StemmaError `name.invalid` for what is no list of names; `limit.exceeded` beyond `limits.tagsMax`.
 * @example
 * checkTags(["eu", "nightly", "eu"]); // ["eu", "nightly"]
 */
export function checkTags(tags: unknown): string[] {
  if (!Array.isArray(tags)) {
    throw new StemmaError("name.invalid", `Expected tags to be an array of names, got ${typeof tags}.`);
  }
  if (tags.length > limits.tagsMax) {
    const message = `Expected at most ${limits.tagsMax} tags of a run, got ${tags.length}. Keep facts in its input or context.`;
    throw new StemmaError("limit.exceeded", message, { data: { found: tags.length, limit: limits.tagsMax } });
  }
  return [...new Set(tags.map((tag) => checkName(tag, "tag")))];
}

function check(text: unknown, what: string, charsMax: number, forbidden: RegExp | undefined): string {
  const problem = problemOf(text, charsMax, forbidden);
  if (problem === undefined) return text as string;
  const without = `control characters${forbidden === undefined ? "" : ', "/", "#", "|" and "::"'}`;
  const message = `${what}: expected text of 1 to ${charsMax} characters without ${without}, found ${problem}.`;
  throw new StemmaError("name.invalid", message, { data: { found: problem } });
}

function problemOf(text: unknown, charsMax: number, forbidden: RegExp | undefined): string | undefined {
  if (typeof text !== "string") return text === null ? "null" : `a value of type ${typeof text}`;
  if (text === "") return "empty text";
  if (text.length > charsMax) return `${text.length} characters, ${shown(text)}`;
  if (!text.isWellFormed()) return `one half of a surrogate pair in ${shown(text)}`;
  const bad = unprintable.exec(text)?.[0];
  if (bad !== undefined) return `the control character ${codePoint(bad)} in ${shown(text)}`;
  const joint = forbidden?.exec(text)?.[0];
  return joint === undefined ? undefined : `${JSON.stringify(joint)} in ${shown(text)}`;
}

/** Quoted, short and printable: the message itself must not carry a control character into a log. */
function shown(text: string): string {
  const start = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return JSON.stringify(start).replace(/[\u007f-\u009f\u2028\u2029]/g, codePoint);
}

function codePoint(character: string): string {
  return `U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}
