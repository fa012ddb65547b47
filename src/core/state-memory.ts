/**
 * States that grow, cut as `state-cut` cuts their texts, with a memory of the last one. A state of many megabytes that is
 * one element longer than the one before costs that element: its text is never put together, and what a list begins with
 * is neither written, read nor hashed again. What it gives is the same as of the text, piece by piece.
 *
 * It goes by identity: whoever uses it promises that no value that it was given is ever changed.
 */
import type { Digest } from "./event.ts";
import { isBeginning } from "./growing-list.ts";
import type { Hash } from "./identity.ts";
import type { Json } from "./json.ts";
import { canonical, utf8Length } from "./json.ts";
import { rowText } from "./state.ts";
import type { Part } from "./state.ts";
import { add, cutValue, endsGroup, keep, nestedMax, newRow, rest, wholeCharsMax } from "./state-cut.ts";
import type { Cutting, Row } from "./state-cut.ts";

/** What a value has become: its text where it is small, else its parts. */
type Piece = {
  readonly parts: readonly Part[];
  readonly text?: string;
  readonly chars: number;
  readonly bytes: number;
};

/** A value that was cut, and what of it is needed to cut the next one in its place. */
type Branch = {
  readonly value: Json;
  readonly piece: Piece;
  readonly entries?: ReadonlyMap<string, Branch>;
  /** A list before its last element, and with it. */
  readonly begun?: readonly Begun[];
};

/** The first elements of a list. Sizes are of the elements and what is between them. */
type Begun = { readonly count: number; readonly row: Row; readonly chars: number; readonly bytes: number };

export type MemorizedCut = {
  readonly root: Digest;
  /** UTF-8 bytes of the whole text. */
  readonly bytes: number;
  /** The pieces that were made anew; all others are of the state before. */
  readonly made: readonly { digest: Digest; text: string }[];
};

export class StateMemory {
  readonly #hash: Hash;
  #last: Branch | undefined;

  constructor(hash: Hash) {
    this.#hash = hash;
  }

  /** Cuts a state, and remembers it. */
  cut(value: Json): MemorizedCut {
    const cutting: Cutting = { text: "", hash: this.#hash, known: none, pieces: new Set(), added: [] };
    const last = branch(cutting, value, 0, this.#last);
    this.#last = last;
    const { digest } = keep(cutting, rowText(last.piece.parts), true);
    return { root: digest, bytes: last.piece.bytes, made: cutting.added };
  }

  /** For when it is not known whether what was made has been kept: the next state is cut as a whole. */
  forget(): void {
    this.#last = undefined;
  }
}

const none: ReadonlySet<Digest> = new Set();

function branch(cutting: Cutting, value: Json, depth: number, before: Branch | undefined): Branch {
  if (before?.value === value) return before;
  if (typeof value !== "object" || value === null || depth >= nestedMax) {
    return { value, piece: pieceOf(cutting, canonical(value), depth) };
  }
  return Array.isArray(value)
    ? listBranch(cutting, value, depth, before)
    : objectBranch(cutting, value, depth, before?.entries);
}

function pieceOf(cutting: Cutting, text: string, depth: number): Piece {
  const parts = partsOf(cutting, text, depth);
  const size = { chars: text.length, bytes: utf8Length(text) };
  return text.length <= wholeCharsMax ? { parts, text, ...size } : { parts, ...size };
}

function partsOf(cutting: Cutting, text: string, depth: number): readonly Part[] {
  return cutValue({ ...cutting, text }, 0, text.length, depth);
}

function objectBranch(
  cutting: Cutting,
  value: { readonly [key: string]: Json },
  depth: number,
  before: ReadonlyMap<string, Branch> | undefined,
): Branch {
  const entries = new Map<string, Branch>();
  const names = new Map<string, string>();
  let [chars, bytes] = [1, 1];
  for (const key of Object.keys(value).toSorted()) {
    const child = value[key];
    if (child === undefined) continue;
    const found = branch(cutting, child, depth + 1, before?.get(key));
    const name = `${canonical(key)}:`;
    entries.set(key, found);
    names.set(key, name);
    chars += name.length + found.piece.chars + 1;
    bytes += utf8Length(name) + found.piece.bytes + 1;
  }
  if (entries.size === 0) [chars, bytes] = [2, 2];
  if (chars <= wholeCharsMax) {
    const text = `{${[...entries].map(([key, { piece }]) => `${names.get(key)}${piece.text}`).join(",")}}`;
    return { value, entries, piece: { parts: [text], text, chars, bytes } };
  }
  const row = newRow(",");
  for (const [key, { piece }] of entries) {
    const name = names.get(key) ?? "";
    const isWhole = name.length + piece.chars <= wholeCharsMax;
    const parts = isWhole ? [`${name}${piece.text}`] : [...partsOf(cutting, name, nestedMax), ...piece.parts];
    add(cutting, row, parts, endsGroup(name, 0, name.length));
  }
  return { value, entries, piece: { parts: ["{", ...rest(row), "}"], chars, bytes } };
}

function listBranch(cutting: Cutting, list: readonly Json[], depth: number, before: Branch | undefined): Branch {
  let known = beginning(list, before);
  if (known === undefined || known.chars <= wholeCharsMax) {
    const text = shortText(list);
    if (text !== undefined) return { value: list as Json, piece: pieceOf(cutting, text, depth) };
    known ??= { count: 0, row: newRow(","), chars: 1, bytes: 1 };
  }
  let { count, chars, bytes } = known;
  const row = copied(known.row);
  let less = known;
  for (; count < list.length; count++) {
    if (count === list.length - 1) less = { count, row: copied(row), chars, bytes };
    const text = canonical(list[count] as Json);
    const parts = text.length <= wholeCharsMax ? [text] : partsOf(cutting, text, depth + 1);
    add(cutting, row, parts, endsGroup(text, 0, text.length));
    chars += text.length + 1;
    bytes += utf8Length(text) + 1;
  }
  const parts = ["[", ...rest(copied(row)), "]"];
  const begun = less.count === count ? [less] : [less, { count, row, chars, bytes }];
  return { value: list as Json, begun, piece: { parts, chars, bytes } };
}

/** The longest beginning of the list that was cut before. */
function beginning(list: readonly Json[], before: Branch | undefined): Begun | undefined {
  const old = before?.value;
  const begun = before?.begun;
  if (begun === undefined || !Array.isArray(old)) return undefined;
  const most = Math.min(list.length, begun.at(-1)?.count ?? 0);
  let same = isBeginning(old, list) ? most : 0;
  while (same < most && list[same] === old[same]) same++;
  return begun.findLast(({ count }) => count <= same);
}

/** The text of a list that is small as a whole. */
function shortText(list: readonly Json[]): string | undefined {
  // An element and what is behind it are two characters at least.
  if (list.length > wholeCharsMax) return undefined;
  const texts: string[] = [];
  let chars = 1;
  for (const item of list) {
    const text = canonical(item);
    texts.push(text);
    chars += text.length + 1;
    if (chars > wholeCharsMax) return undefined;
  }
  return `[${texts.join(",")}]`;
}

/** A row that can be added to while this one stays. What is in its levels is never changed, only replaced. */
function copied(row: Row): Row {
  return { ...row, levels: [...row.levels] };
}
