/**
 * Progress for whoever is watching: a bar that is drawn over itself on a terminal, plain lines elsewhere. Colour is
 * left to Node, which knows about NO_COLOR and about streams that are no terminal.
 */
import { styleText } from "node:util";

const barChars = 30;
/** Without a terminal a line is printed each time another such share is reached. */
const shareStep = 0.1;

/** The part of a stream that is needed; `process.stderr` and `process.stdout` fit. */
export type Screen = { isTTY?: boolean; write(text: string): unknown };

/** One progress display. Lines and bars may alternate; `line` ends a bar that is being drawn. */
export class Progress {
  readonly #screen: Screen;
  #drawn = false;
  #step = 0;

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  /** A text that stays. */
  line(text: string): void {
    this.#clear();
    this.#screen.write(`${text}\n`);
  }

  /** How far it is; `note` says what is going on. */
  bar(done: number, total: number, note: string): void {
    const share = total === 0 ? 1 : Math.min(1, done / total);
    if (this.#screen.isTTY !== true) {
      const step = Math.floor(share / shareStep);
      if (step > this.#step) this.line(`  ${done}/${total} ${note}`);
      this.#step = Math.max(this.#step, step);
      return;
    }
    const full = Math.round(share * barChars);
    const bar = styleText("green", "█".repeat(full)) + styleText("dim", "░".repeat(barChars - full));
    this.#screen.write(`\r\u001B[2K  ${bar} ${done}/${total} ${note}`);
    this.#drawn = true;
  }

  #clear(): void {
    if (this.#drawn) this.#screen.write("\r\u001B[2K");
    this.#drawn = false;
  }
}
