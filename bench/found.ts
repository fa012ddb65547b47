/** What the rounds of a measurement found, and the lines that are made of it. Ratios are taken within a round. */
import type { Spread } from "./spread.ts";
import { spreadOf } from "./spread.ts";

/** The figures of one case in one round, by name. */
export type Figures = Record<string, number>;

/** By case, round by round. */
export type Found = ReadonlyMap<string, readonly Figures[]>;

/** A case and one of its figures. */
export type Which = readonly [id: string, name: string];

/** One line of the table. The figure is held against the floor, if there is one. */
export type Line = {
  what: string;
  unit: string;
  figure: Spread;
  floor?: Spread;
  /** Figure over floor. */
  ratio?: Spread;
  target?: string;
  /** The best that was measured of others. */
  peer?: string;
};

type Words = Pick<Line, "what" | "unit" | "target" | "peer">;

/** A figure by itself. */
export function plain(found: Found, words: Words, which: Which): Line {
  return { ...words, figure: spreadOf(values(found, which)) };
}

/** A figure held against another. */
export function against(found: Found, words: Words, which: Which, floor: Which): Line {
  const floors = values(found, floor);
  const figures = values(found, which);
  const ratios = figures.map((value, round) => value / (floors[round] ?? Number.NaN));
  return { ...words, figure: spreadOf(figures), floor: spreadOf(floors), ratio: spreadOf(ratios) };
}

/** How much a figure is above another, in the same unit. */
export function above(found: Found, words: Words, which: Which, floor: Which): Line {
  const floors = values(found, floor);
  const figures = values(found, which).map((value, round) => value - (floors[round] ?? Number.NaN));
  return { ...words, figure: spreadOf(figures), floor: spreadOf(floors) };
}

function values(found: Found, [id, name]: Which): number[] {
  const rounds = found.get(id);
  if (rounds === undefined) throw new Error(`There is no case ${id}.`);
  return rounds.map((figures) => {
    const value = figures[name];
    if (value === undefined) throw new Error(`Case ${id} has no figure ${name}.`);
    return value;
  });
}
