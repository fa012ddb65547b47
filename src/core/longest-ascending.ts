/** The longest part of a list that is in order: what stays in place when the rest has moved. */

/**
 * Places of a longest subsequence that strictly ascends by `order`, in n log n.
 *
 * C. Schensted, Longest increasing and decreasing subsequences, Canad. J. Math. 13 (1961): patience sorting.
 *
 * @example longestAscending([3, 1, 2], (x, y) => x - y); // [1, 2]
 */
export function longestAscending<T>(list: readonly T[], order: (x: T, y: T) => number): number[] {
  /** Of each length the place of the smallest last element, and what stands before each place. */
  const ends: number[] = [];
  const before: (number | undefined)[] = [];
  for (const [i, item] of list.entries()) {
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (order(list[ends[middle] ?? 0] as T, item) < 0) low = middle + 1;
      else high = middle;
    }
    before[i] = low === 0 ? undefined : ends[low - 1];
    ends[low] = i;
  }
  const found: number[] = [];
  for (let at = ends.at(-1); at !== undefined; at = before[at]) found.push(at);
  return found.reverse();
}
