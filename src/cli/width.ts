/** Text measured in the places that it takes in a terminal, and cut or wrapped to them. Text must have been made visible. */

/** Wide and full-width characters (Unicode East Asian Width, UAX #11, in its large blocks) and emoji take two places. */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u;
const combining = /[\p{Mn}\p{Me}\p{Cf}]/u;
const ascii = /^[\u0020-\u007e]*$/;

/** Places that a text takes in a terminal. */
export function widthOf(text: string): number {
  if (ascii.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += placesOf(character);
  return width;
}

function placesOf(character: string): number {
  return combining.test(character) ? 0 : wide.test(character) ? 2 : 1;
}

/** The text in at most `places`, at least one; what is cut off is shown as `…`. */
export function cut(text: string, places: number): string {
  if (widthOf(text) <= places) return text;
  return `${begin(text, places - 1)}…`;
}

/** As much of the beginning as fits. */
function begin(text: string, places: number): string {
  let width = 0;
  let end = 0;
  for (const character of text) {
    width += placesOf(character);
    if (width > places) break;
    end += character.length;
  }
  return text.slice(0, end);
}

/** The text on lines of at most `places`, broken between words; a word that is longer is broken itself. */
export function wrap(text: string, places: number): string[] {
  if (widthOf(text) <= places) return [text];
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (widthOf(longer) <= places) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    line = word;
    while (widthOf(line) > places) {
      // One character at least, however narrow it is: otherwise there would be no end to it.
      const part = begin(line, places) || String.fromCodePoint(line.codePointAt(0) ?? 0);
      lines.push(part);
      line = line.slice(part.length);
    }
  }
  return [...lines, line];
}
