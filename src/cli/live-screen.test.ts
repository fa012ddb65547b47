import { expect, test } from "vitest";
import { LiveScreen } from "./live-screen.ts";

/** A terminal as far as a live screen uses it: lines, a cursor, cutting at the right edge. */
class Terminal {
  columns = 20;
  rows = 10;
  lines: string[] = [""];
  row = 0;
  cursor = true;
  cuts = false;

  write(text: string): boolean {
    // oxlint-disable-next-line no-control-regex
    for (const [token = "", control] of text.matchAll(/\u001b\[([?\d]*[A-Za-z])|\n|\r|[^\u001b\n\r]+/gu)) {
      if (control === undefined) this.#text(token);
      else this.#control(control);
    }
    return true;
  }

  #text(token: string): void {
    if (token === "\n") {
      this.row += 1;
      this.lines[this.row] ??= "";
    } else if (token !== "\r") {
      if (!this.cuts) throw new Error("a line was written that the terminal would break");
      this.lines[this.row] = token.slice(0, this.columns);
    }
  }

  #control(control: string): void {
    if (control === "0J") this.lines = [...this.lines.slice(0, this.row), ""];
    else if (control === "2K") this.lines[this.row] = "";
    else if (control.endsWith("A")) this.row -= Number(control.slice(0, -1));
    else if (control === "?25l" || control === "?25h") this.cursor = control === "?25h";
    else if (control === "?7l" || control === "?7h") this.cuts = control === "?7l";
    else if (!control.startsWith("?2026")) throw new Error(`unknown control ${control}`);
  }

  get shown(): string[] {
    return this.lines.filter((_, i) => i !== this.row);
  }
}

function opened(): { terminal: Terminal; screen: LiveScreen } {
  const terminal = new Terminal();
  return { terminal, screen: new LiveScreen(terminal) };
}

test("lines are drawn over those before, whether they become more or fewer, and what stood above stays", () => {
  const { terminal, screen } = opened();
  terminal.lines = ["before", ""];
  terminal.row = 1;
  for (const lines of [["a"], ["b", "c", "d"], ["e"], ["f", "g"]]) {
    screen.draw(lines);
    expect(terminal.shown).toEqual(["before", ...lines]);
  }
  screen.clear();
  expect(terminal.shown).toEqual(["before"]);
});

test("the terminal is given back as it was: the cursor is seen, and lines are broken again", () => {
  const { terminal, screen } = opened();
  screen.draw(["a"]);
  expect([terminal.cursor, terminal.cuts]).toEqual([false, false]);
  screen.close();
  screen.close();
  expect([terminal.cursor, terminal.cuts]).toEqual([true, false]);
});

test("what is on the screen already is not written again", () => {
  const { terminal, screen } = opened();
  screen.draw(["a", "b"]);
  let writes = 0;
  terminal.write = () => {
    writes += 1;
    return true;
  };
  screen.draw(["a", "b"]);
  expect(writes).toBe(0);
  screen.draw(["a", "c"]);
  expect(writes).toBe(1);
});

test("in a terminal that became narrower, lines that it has broken are drawn over too", () => {
  const { terminal, screen } = opened();
  screen.draw(["0123456789abcdefghij", "x"]);
  // As terminals do: the long line now takes two.
  terminal.columns = 10;
  terminal.lines = ["0123456789", "abcdefghij", "x", ""];
  terminal.row = 3;
  screen.draw(["y"]);
  expect(terminal.shown).toEqual(["y"]);
});
