/** Several measurements of one thing, as their median and the range that they lie in. */
export type Spread = { median: number; min: number; max: number; count: number };

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return { median: quantile(values, 0.5), min: sorted[0] ?? NaN, max: sorted.at(-1) ?? NaN, count: values.length };
}

/** The value below which this share of the values lies; between two values the one above, of an even median the mean. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = sorted.length * share;
  const upper = sorted[Math.min(Math.floor(at), sorted.length - 1)] ?? NaN;
  if (share !== 0.5 || sorted.length % 2 === 1) return upper;
  return (upper + (sorted[at - 1] ?? NaN)) / 2;
}

/** `123,400 [98,000–130,000]`; a single value without the range. */
export function spreadText({ median, min, max, count }: Spread, digits?: number): string {
  const text = (value: number): string => numberText(value, digits ?? digitsOf(median));
  return count === 1 ? text(median) : `${text(median)} [${text(min)}–${text(max)}]`;
}

/** Three digits that count. */
function digitsOf(value: number): number {
  if (value === 0) return 0;
  return Math.min(3, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
}

function numberText(value: number, digits: number): string {
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
