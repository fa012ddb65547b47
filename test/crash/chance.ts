/** Seeded chance, so that what a run of these tests chose can be chosen again: mulberry32 (Tommy Ettinger, 2017). */
export type Chance = {
  /** A number in [0, 1). */
  next(): number;
  /** A whole number from 0 to below `max`. */
  below(max: number): number;
  /** Whether something of this probability happens. */
  happens(probability: number): boolean;
};

export function chanceOf(seed: number): Chance {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    below: (max) => Math.floor(next() * max),
    happens: (probability) => next() < probability,
  };
}
