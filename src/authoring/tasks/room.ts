/** Arrays of numbers that grow. There may be a million tasks, and of each there are a few numbers: these take least room. */
type Numbers = Uint8Array | Int32Array | Float64Array;

/** The array, or one with its numbers and more room; room is doubled, so that growing bit by bit costs little. */
export function roomFor<A extends Numbers>(array: A, length: number): A {
  if (length <= array.length) return array;
  const longer = new (array.constructor as new (length: number) => A)(Math.max(length, array.length * 2));
  longer.set(array);
  return longer;
}
