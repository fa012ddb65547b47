/**
 * Lines that are drawn over themselves at the bottom of a terminal. Everything above stays; what was drawn last remains
 * when it is closed. Control sequences are those of ECMA-48 and DEC's private modes, which every terminal of today knows
 * or ignores.
 */
import type { WriteStream } from "node:tty";
import { stripVTControlCharacters } from "node:util";
import { widthOf } from "./width.ts";

const esc = "\u001b[";
const sequences = {
  hideCursor: `${esc}?25l`,
  showCursor: `${esc}?25h`,
  /** A line that is too long after all is cut by the terminal, and does not push the others down. */
  cutLines: `${esc}?7l`,
  wrapLines: `${esc}?7h`,
  /** Shown at once, so that nothing flickers (https://gist.github.com/christianparpart/d8a62cc1ab659194337d73e399004036). */
  beginUpdate: `${esc}?2026h`,
  endUpdate: `${esc}?2026l`,
  clearLine: `${esc}2K`,
  clearBelow: `${esc}0J`,
} as const;

export class LiveScreen {
  readonly #out: Pick<WriteStream, "write" | "columns" | "rows">;
  #drawn: readonly string[] = [];
  #columns = 0;
  #open = false;

  constructor(out: Pick<WriteStream, "write" | "columns" | "rows">) {
    this.#out = out;
  }

  /** Places on a line, and lines that can be drawn over. */
  get size(): { width: number; height: number } {
    return { width: this.#out.columns || 80, height: Math.max(1, (this.#out.rows || 24) - 1) };
  }

  /** Draws these lines in the place of those drawn before. */
  draw(lines: readonly string[]): void {
    const same = lines.length === this.#drawn.length && lines.every((line, i) => line === this.#drawn[i]);
    if (same && this.#columns === this.size.width) return;
    const hide = this.#open ? "" : sequences.hideCursor;
    this.#open = true;
    const body = lines.map((line) => `${sequences.clearLine}${line}\n`).join("");
    const { beginUpdate, endUpdate, cutLines, wrapLines, clearBelow } = sequences;
    this.#out.write(`${hide}${beginUpdate}${cutLines}${this.#back()}${body}${clearBelow}${wrapLines}${endUpdate}`);
    this.#drawn = lines;
    this.#columns = this.size.width;
  }

  /** Takes away what was drawn. */
  clear(): void {
    if (this.#drawn.length > 0) this.#out.write(`${this.#back()}${sequences.clearBelow}`);
    this.#drawn = [];
  }

  /** Gives the terminal back as it was. Again is the same as once. */
  close(): void {
    if (this.#open) this.#out.write(sequences.showCursor);
    this.#open = false;
  }

  /** To the first of the lines drawn. A terminal that became narrower has broken those that do not fit any more. */
  #back(): string {
    const { width } = this.size;
    const rows = this.#drawn.reduce((sum, line) => {
      const places = Math.min(widthOf(stripVTControlCharacters(line)), this.#columns);
      return sum + Math.max(1, Math.ceil(places / width));
    }, 0);
    return rows === 0 ? "\r" : `\r${esc}${rows}A`;
  }
}
