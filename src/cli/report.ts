/** How a command ends when it does not end well: one line for people or one object for programs, and the exit code. */
import { inspect } from "node:util";
import { CommanderError } from "commander";
import { errorCodes, isStemmaError } from "../core/error.ts";
import { jsonText, note, paintNote, visible } from "./terminal.ts";

type Report = { code: string; message: string; data: Record<string, unknown> };

/**
 * Says on standard error what went wrong and what to do, and gives the exit code that its code stands for.
 *
 * @param help what to type to learn how the command is used: `stemma show --help`
 */
export function report(error: unknown, json: boolean, help: string): number {
  const { code, message, data } = reportOf(error, help);
  if (json) note(jsonText({ error: { code, message, data } }));
  else note(`${paintNote(`error ${code}:`, "red")} ${visible(message)}`);
  if (process.env["STEMMA_DEBUG"]) for (const line of stackOf(error).split("\n")) note(visible(line));
  return exitOf(code);
}

function reportOf(error: unknown, help: string): Report {
  if (isStemmaError(error)) return { code: error.code, message: error.message, data: error.data };
  // Commander words its messages as "error: unknown option '--x'".
  if (error instanceof CommanderError)
    return { code: "usage.invalid", message: usageText(error.message, help), data: { help } };
  const what = error instanceof Error ? `${error.name}: ${error.message}` : inspect(error, { depth: 0 });
  return { code: "engine.bug", message: `${what} (set STEMMA_DEBUG=1 to see where)`, data: {} };
}

/** Commander puts what it thinks was meant on a line of its own, in brackets. */
function usageText(message: string, help: string): string {
  const [what = "", ...rest] = message
    .replace(/^error: /, "")
    .trim()
    .split("\n");
  const meant = /^\(Did you mean (?:one of )?(.+)\?\)$/.exec(rest.join(" ").trim())?.[1];
  const more = meant === undefined ? rest.join(" ") : `Did you mean ${meant.replace(/, ([^,]+)$/, " or $1")}?`;
  const sentence = `${what.charAt(0).toUpperCase()}${what.slice(1)}`.replace(/\.?$/, ".");
  return [sentence, more, `${help} shows what there is.`].filter((text) => text !== "").join(" ");
}

function exitOf(code: string): number {
  const meanings: Readonly<Record<string, { exit: number }>> = errorCodes;
  // An error of another copy of this package may have a code that this one does not know.
  return Object.hasOwn(meanings, code) ? (meanings[code]?.exit ?? 1) : 1;
}

function stackOf(error: unknown): string {
  return error instanceof Error ? inspect(error, { depth: 4 }) : "";
}
