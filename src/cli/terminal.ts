/**
 * What reaches the terminal, and how. Standard output carries the answer, standard error all else. Names, errors and
 * outputs of runs were written by others: characters that a terminal would obey, or that would show a line as another
 * than it is, are made visible here before anything is printed.
 */
import { styleText } from "node:util";

/** A style of `styleText`, or several. */
export type Style = Parameters<typeof styleText>[0];

/**
 * Controls (C0, DEL, C1), formats (bidirectional marks, zero width, tags) but for the two joiners that scripts and
 * emoji are spelled with, line and paragraph separators, and halves of surrogate pairs.
 */
const deceptive = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

const shortEscapes: Readonly<Record<string, string>> = {
  "\n": String.raw`\n`,
  "\r": String.raw`\r`,
  "\t": String.raw`\t`,
};

/**
 * The text with every character that would steer a terminal spelled out, so it is always one line.
 *
 * @example visible("\u001b[31mred\n"); // "\\u001b[31mred\\n"
 */
export function visible(text: string): string {
  return text.replace(deceptive, (character) => shortEscapes[character] ?? escaped(character));
}

/** JSON text that a terminal can be given: the same value, with deceptive characters written as `\u` escapes. */
export function jsonText(value: unknown, indent = 0): string {
  const text = JSON.stringify(value, null, indent) ?? "null";
  // Line feeds are our own indentation: inside strings they are escaped already.
  return text.replace(deceptive, (character) => (character === "\n" ? "\n" : escaped(character)));
}

/** `\uXXXX` for each unit: what JSON itself would write. */
function escaped(character: string): string {
  let text = "";
  for (let i = 0; i < character.length; i += 1) {
    text += `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`;
  }
  return text;
}

/** The text made visible, in a style where standard output shows styles (a terminal, and NO_COLOR is not set). */
export function paint(text: string, style: Style): string {
  return styleText(style, visible(text), { stream: process.stdout });
}

/** As `paint`, for standard error. */
export function paintNote(text: string, style: Style): string {
  return styleText(style, visible(text), { stream: process.stderr });
}

/** Places on a line of standard output; as many as one likes where it is no terminal, so that nothing is cut there. */
export function terminalWidth(): number {
  return process.stdout.isTTY ? process.stdout.columns || 80 : Infinity;
}

/** Writes lines of the answer. They must have been made visible. */
export function print(...lines: readonly string[]): void {
  if (lines.length > 0) process.stdout.write(`${lines.join("\n")}\n`);
}

/** As `print`, for answers of any length: it waits for whoever reads them. */
export async function printed(...lines: readonly string[]): Promise<void> {
  if (lines.length === 0 || process.stdout.write(`${lines.join("\n")}\n`)) return;
  await new Promise<void>((resolve) => process.stdout.once("drain", resolve));
}

/** Writes the answer as one JSON value: indented for people, on one line for programs. */
export function printJson(value: unknown): void {
  print(jsonText(value, process.stdout.isTTY ? 2 : 0));
}

/** Writes a line that is not the answer. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Text of at most `charsMax` characters; what is cut off is shown as `…`. */
export function shorten(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text;
  // Not between the halves of a surrogate pair.
  const end = /[\ud800-\udbff]/.test(text.charAt(charsMax - 2)) ? charsMax - 2 : charsMax - 1;
  return `${text.slice(0, end)}…`;
}

/** A word as one types it in a shell: quoted where it has to be. */
export function shellWord(text: string): string {
  return /^[\w./@:=,-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/**
 * `stemma show | head` ends quietly: once nobody reads the answer any more there is nothing left to do. Nobody reading
 * the log is no reason to stop working.
 */
export function survivePipes(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    process.exit(error.code === "EPIPE" ? (process.exitCode ?? 0) : 1);
  });
  process.stderr.on("error", () => {});
}
