/**
 * Where in a function something is asked, and what it is caused by. In a function the engine cannot see which values a
 * step uses, so causes are an upper bound: every outcome that was delivered to the scope, or before it opened, and that
 * is not already behind another one. Never too few, so that whatever is built on causes (restart, fork, "why") is sound.
 */
import type { Seq } from "../../core/event.ts";
import type { Operations, Outcome, Segment } from "../../engine/body.ts";

export class Scope {
  #path: string;
  /** Absent while the snapshot says it all. */
  #frontier: Set<Seq> | undefined;
  /** The frontier as an array, the same object until it changes: asks that share it are stored as `same as`. */
  #snapshot: readonly Seq[] | undefined;
  /** What was opened in this scope and is not closed yet: of each scope or set of branches, what it is called. */
  readonly #opened = new Set<{ what: string }>();

  constructor(path: string, frontier: readonly Seq[]) {
    this.#path = path;
    this.#snapshot = frontier;
  }

  get path(): string {
    return this.#path;
  }

  /** Goes on in the segment that a checkpoint opened: all it knows of before is the checkpoint. */
  moveTo({ root, seq }: Segment): void {
    this.#path = root;
    this.#snapshot = [seq];
    this.#frontier = undefined;
  }

  /** What is open in this scope, besides steps and waits. */
  opened(): string[] {
    return [...this.#opened].map(({ what }) => what);
  }

  /** Notes that something is open until it ends. */
  async whileOpen<T>(what: string, call: () => Promise<T>): Promise<T> {
    const opened = { what };
    this.#opened.add(opened);
    try {
      return await call();
    } finally {
      this.#opened.delete(opened);
    }
  }

  /** What an ask that is made now is caused by. */
  causes(): readonly Seq[] {
    this.#snapshot ??= [...(this.#frontier ?? [])].toSorted((a, b) => a - b);
    return this.#snapshot;
  }

  /** An outcome was delivered: it stands in front of what its ask was caused by. */
  delivered(seq: Seq, causes: readonly Seq[]): void {
    if (this.#snapshot === causes) {
      // One step behind another, the common case: no set that is emptied and filled again at each.
      this.#snapshot = [seq];
      this.#frontier = undefined;
      return;
    }
    this.#frontier ??= new Set(this.#snapshot);
    for (const cause of causes) this.#frontier.delete(cause);
    this.#frontier.add(seq);
    this.#snapshot = undefined;
  }

  /** Takes an outcome in, and gives its value or throws its error. */
  take(outcome: Outcome, causes: readonly Seq[]): unknown {
    this.delivered(outcome.seq, causes);
    return unwrap(outcome);
  }
}

/** The value of an outcome, or its error thrown. */
export function unwrap(outcome: Outcome): unknown {
  if (outcome.ok) return outcome.value;
  throw outcome.error;
}

/** Records that scopes came together, if anything happened in them, and lets the parent go on from there. */
export function closeInto(
  operations: Operations,
  parent: Scope,
  before: readonly number[],
  path: string,
  kindOf: "scope" | "map" | "all" | "race",
  scopes: readonly { causes(): readonly number[] }[],
): void {
  const old = new Set(before);
  const ends = [...new Set(scopes.flatMap((scope) => scope.causes()))].filter((seq) => !old.has(seq));
  if (ends.length === 0) return;
  parent.delivered(
    operations.close(
      path,
      kindOf,
      ends.toSorted((a, b) => a - b),
    ),
    before,
  );
}
