/**
 * Lists that grow at their end, and that nobody ever changes: which of them is the beginning of another is known from how
 * they were made, so that it takes no look at their elements. What is not known so is compared.
 */

/** Lists of which each was made of the one before it. Only of the newest is another one made, so each begins the next. */
type Line = { newest: number };

const lines = new WeakMap<readonly unknown[], Line>();

/** The list with these elements behind it. The list itself is not changed, and must never be. */
export function grown<T>(list: readonly T[], added: readonly T[]): readonly T[] {
  if (added.length === 0) return list;
  const longer = list.concat(added);
  let line = lines.get(list);
  if (line === undefined || line.newest !== list.length) {
    line = { newest: list.length };
    lines.set(list, line);
  }
  line.newest = longer.length;
  lines.set(longer, line);
  return longer;
}

/** Whether it is known that one list is the beginning of another, or that list. */
export function isBeginning(list: readonly unknown[], of: readonly unknown[]): boolean {
  if (list === of) return true;
  const line = lines.get(list);
  return line !== undefined && line === lines.get(of) && list.length <= of.length;
}
