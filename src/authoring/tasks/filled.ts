/** An array of which the length is known: it is allocated once, however long it is. */
export function filled<T>(length: number, value: T): T[] {
  // oxlint-disable-next-line unicorn/no-new-array -- Array.from is ten times slower, and there may be a million tasks
  return new Array<T>(length).fill(value);
}
