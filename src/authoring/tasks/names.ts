/**
 * Positions of tasks by their names. A Map that grows is made anew each time it is full, all of it at once: with half a
 * million names that takes longer than anybody may hold up the event loop. So many names are spread over small Maps.
 */

/** Which position has a name. */
export type Names = { get(name: string): number | undefined; has(name: string): boolean };

/** Names in one Map; making it anew takes a millisecond or two. */
const namesMax = 8192;

export class NameIndex implements Names {
  readonly #parts: Map<string, number>[];
  #size = 0;

  /** @param count how many names there will be, about */
  constructor(count: number) {
    const parts = 2 ** Math.max(0, Math.ceil(Math.log2(count / namesMax)));
    this.#parts = Array.from({ length: parts }, () => new Map());
  }

  get size(): number {
    return this.#size;
  }

  /** A name that is there already gets this position. */
  set(name: string, position: number): void {
    const part = this.#partOf(name);
    this.#size -= part.size;
    this.#size += part.set(name, position).size;
  }

  get(name: string): number | undefined {
    return this.#partOf(name).get(name);
  }

  has(name: string): boolean {
    return this.#partOf(name).has(name);
  }

  #partOf(name: string): Map<string, number> {
    const parts = this.#parts;
    const at = parts.length === 1 ? 0 : hashOf(name) & (parts.length - 1);
    return parts[at] as Map<string, number>;
  }
}

/** More names on top of others, which stay as they are: they are shared. */
export class MoreNames implements Names {
  readonly #before: Names;
  readonly #more = new Map<string, number>();

  constructor(before: Names) {
    this.#before = before;
  }

  set(name: string, position: number): void {
    this.#more.set(name, position);
  }

  get(name: string): number | undefined {
    return this.#more.get(name) ?? this.#before.get(name);
  }

  has(name: string): boolean {
    return this.#more.has(name) || this.#before.has(name);
  }
}

/** FNV-1a. Names that somebody makes so that they fall into one part are as slow as a large Map, and no slower. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 15);
}
