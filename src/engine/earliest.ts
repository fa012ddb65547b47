/**
 * The other way of matching: any number of equal asks get the earliest success that is offered. It is the contract of
 * control planes that answer a call from a source run by its target and input alone, and it is for runs that are made
 * under such a contract: a loop that asks until the answer is another one would never end with it.
 *
 * The earliest is the first on record in the nearest run that has any; of one name in one scope, the first that was
 * asked for. What is cut is passed over, but a step that is itself cut runs. Failures are no successes.
 */
import { parseKey } from "../core/identity.ts";
import type { Places, Position } from "./positions.ts";

export class Earliest implements Places {
  readonly #earliest: Position | undefined;
  /** Steps that are to be made anew, by label. */
  readonly #cut: ReadonlyMap<string, Position>;

  constructor(positions: readonly Position[]) {
    const offered = positions.filter(({ cut, failed }) => !cut && failed !== true);
    // What was cut in one run and made anew in a later one is not to be made anew by all that come behind.
    const isRemade = ({ key, entry }: Position): boolean =>
      offered.some((place) => place.key === key && place.entry < entry);
    this.#cut = new Map(
      positions.flatMap((place) =>
        place.cut && place.key !== undefined && !isRemade(place) ? [[place.key, place]] : [],
      ),
    );
    // A single place is not named; if it is cut, whoever asks is told so.
    this.#earliest = offered.reduce<Position | undefined>(earlier, undefined) ?? positions.find(({ cut }) => cut);
  }

  /** Nothing is used up, so nobody is in the way of another. */
  passed(): undefined {
    return undefined;
  }

  freed(): void {}

  hasOwn(): boolean {
    return false;
  }

  next(key: string): Position | undefined {
    return this.#cut.get(key) ?? this.#earliest;
  }
}

/** Places ascend, so the first stays, unless one of its own name was asked for before it and took longer. */
function earlier(first: Position | undefined, other: Position): Position {
  if (first === undefined) return other;
  if (first.entry !== other.entry || first.key === undefined || other.key === undefined) return first;
  const [a, b] = [parseKey(first.key), parseKey(other.key)];
  return a.scope === b.scope && a.name === b.name && b.k < a.k ? other : first;
}
