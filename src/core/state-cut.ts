/**
 * Where the text of a state is cut, so that two states share what is equal in them. The cuts depend on the text alone,
 * never on what was stored before: equal stretches are cut alike wherever they come from, so a writer needs to know
 * nothing of the last state but its digests, and a changed rule costs one state in full and nothing else.
 *
 * A list is a row of its elements, an object one of its entries, a long string one of pieces of equal length; what is
 * large in them is cut in the same way. Such a row grows at its end, and is changed in places. So its items are gathered
 * into *groups*, which become payloads when they are full; groups into groups of three to five, which become nodes; and
 * these again. What is not full stays in the row above it, which is written anew each time: a few references for each
 * power of four. An item that is appended costs itself and that; a changed one, its group and the nodes above it. Where
 * a group ends is decided by its items themselves (as in content-defined chunking: Muthitacharoen, Chen, Mazières, "A
 * low-bandwidth network file system", 2001), so behind an item that was taken out, or put in, groups are soon the same
 * again.
 */
import type { Digest } from "./event.ts";
import type { Hash } from "./identity.ts";
import type { Part, Reference } from "./state.ts";
import { referenceChars, rowText } from "./state.ts";

/** Values up to this size are not looked into. */
export const wholeCharsMax = 2048;
/** A group is full with so much text, or, where there are references in it, with so much altogether … */
const groupCharsMax = 512;
const mixedCharsMax = 1024;
/** … and may be full from this size on. */
const groupCharsMin = 128;
/** Groups in a node. */
const nodeMin = 3;
const nodeMax = 5;
/** A piece of a long string. */
const pieceChars = 1024;
/** How deep lists and objects within each other are looked into. Each level costs another reading of the text in it. */
export const nestedMax = 8;

/** A state that was cut: the payloads that are not known yet, and the digests of them all. */
export type Cut = { root: Digest; pieces: ReadonlySet<Digest>; added: readonly { digest: Digest; text: string }[] };

export type Cutting = {
  text: string;
  hash: Hash;
  known: ReadonlySet<Digest>;
  pieces: Set<Digest>;
  added: { digest: Digest; text: string }[];
};

/**
 * A row as it is gathered: full groups by level, lowest first, and what is in no group yet. Between two items, and so
 * between two groups, comes the separator; it is part of neither, so an element is the same wherever it stands.
 */
export type Row = { separator: "," | ""; levels: Reference[][]; open: Part[]; chars: number; plain: boolean };

/**
 * Cuts the canonical text of a state.
 *
 * @param known digests of payloads that the store has for this run: those of its last state
 */
export function cutState(hash: Hash, text: string, known: ReadonlySet<Digest>): Cut {
  const cutting: Cutting = { text, hash, known, pieces: new Set(), added: [] };
  const { digest } = keep(cutting, rowText(cutValue(cutting, 0, text.length, 0)), true);
  return { root: digest, pieces: cutting.pieces, added: cutting.added };
}

export function cutValue(cutting: Cutting, start: number, end: number, depth: number): Part[] {
  const { text } = cutting;
  if (end - start <= wholeCharsMax) return [text.slice(start, end)];
  const first = text.charAt(start);
  if (depth >= nestedMax || (first !== "[" && first !== "{")) return cutPlain(cutting, start, end);
  const row = newRow(",");
  for (let from = start + 1; from < end;) {
    const valueAt = first === "{" ? stringEnd(text, from) + 1 : from;
    const to = valueEnd(text, valueAt);
    const isWhole = to - from <= wholeCharsMax;
    const parts = isWhole
      ? [text.slice(from, to)]
      : [...cutPlain(cutting, from, valueAt), ...cutValue(cutting, valueAt, to, depth + 1)];
    add(cutting, row, parts, endsGroup(text, from, first === "{" ? valueAt : to));
    from = to + 1;
  }
  return [first, ...rest(row), text.charAt(end - 1)];
}

/** Text without a structure, or whose structure is not looked into. */
function cutPlain(cutting: Cutting, start: number, end: number): Part[] {
  const { text } = cutting;
  if (end - start <= wholeCharsMax) return [text.slice(start, end)];
  const row = newRow("");
  let from = start;
  while (end - from > pieceChars) {
    // A surrogate pair is not cut: its halves could not be written.
    const isInPair = (text.charCodeAt(from + pieceChars - 1) & 0xfc00) === 0xd800;
    const to = from + pieceChars - (isInPair ? 1 : 0);
    add(cutting, row, [text.slice(from, to)], true);
    from = to;
  }
  return [...rest(row), text.slice(from, end)];
}

export function newRow(separator: Row["separator"]): Row {
  return { separator, levels: [], open: [], chars: 0, plain: true };
}

/** Puts an item at the end of a row. `last`: a group may end with it. */
export function add(cutting: Cutting, row: Row, parts: readonly Part[], last: boolean): void {
  row.open = joined(row.open.length === 0 ? parts : [...row.open, row.separator, ...parts]);
  for (const part of parts) row.chars += typeof part === "string" ? part.length : referenceChars;
  row.plain &&= parts.every((part) => typeof part === "string");
  if (row.chars < (row.plain ? groupCharsMax : mixedCharsMax) && !(last && row.chars >= groupCharsMin)) return;
  const [only] = row.open;
  const isText = row.open.length === 1 && typeof only === "string";
  const group = isText ? keep(cutting, only, false) : keep(cutting, rowText(row.open), true);
  Object.assign(row, { open: [], chars: 0, plain: true });
  climb(cutting, row, 0, group);
}

function climb(cutting: Cutting, row: Row, level: number, group: Reference): void {
  const groups = [...(row.levels[level] ?? []), group];
  const isFull = groups.length >= nodeMax || (groups.length >= nodeMin && group.digest < "8");
  row.levels[level] = isFull ? [] : groups;
  if (isFull) climb(cutting, row, level + 1, keep(cutting, rowText(between(groups, row.separator)), true));
}

/** All of a row: what is highest came first. */
export function rest({ separator, levels, open }: Row): Part[] {
  const groups = between(levels.toReversed().flat(), separator);
  return joined(groups.length === 0 || open.length === 0 ? [...groups, ...open] : [...groups, separator, ...open]);
}

function between(groups: readonly Reference[], separator: string): Part[] {
  return joined(groups.flatMap((group, i): Part[] => (i === 0 ? [group] : [separator, group])));
}

/** The parts with texts that follow each other made one, and empty ones left out. */
function joined(parts: readonly Part[]): Part[] {
  const all: Part[] = [];
  for (const part of parts) {
    const before = all.at(-1);
    if (typeof part === "string" && typeof before === "string") all[all.length - 1] = before + part;
    else if (part !== "") all.push(part);
  }
  return all;
}

export function keep({ hash, known, pieces, added }: Cutting, text: string, node: boolean): Reference {
  const digest = hash(text);
  if (!pieces.has(digest) && !known.has(digest)) added.push({ digest, text });
  pieces.add(digest);
  return { digest, node };
}

const markCharsMax = 256;

/** Whether an item is one of the quarter of all that end a group, judged by its key or else its text (FNV-1a). */
export function endsGroup(text: string, from: number, to: number): boolean {
  const end = Math.min(to, from + markCharsMax);
  let sum = 0x811c9dc5;
  for (let i = from; i < end; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193);
  return ((sum >>> 16) & 3) === 0;
}

const [quote, comma, backslash] = [0x22, 0x2c, 0x5c];

/** Where the value that begins at `at` ends, in canonical text. */
function valueEnd(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === quote) {
      i = stringEnd(text, i) - 1;
      if (depth === 0) return i + 1;
    } else if (unit === 0x5b || unit === 0x7b) depth++;
    else if (unit === comma && depth === 0) return i;
    else if (unit === 0x5d || unit === 0x7d) {
      if (depth === 0) return i;
      if (--depth === 0) return i + 1;
    }
  }
  return text.length;
}

/** Where the string whose quote is at `at` ends, behind its other quote. */
function stringEnd(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); ; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === backslash) slashes++;
    if (slashes % 2 === 0) return end + 1;
  }
}
