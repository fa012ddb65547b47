/**
 * Nodes that have been given an execution and have not answered yet: by the id that they were given it under. One that holds
 * the line may speak of the execution meanwhile, to this server or another one on the store.
 */
type Line = { instance: string; cut: AbortController; spoke: PromiseWithResolvers<void>; isHeard: boolean };

export class Lines {
  readonly #held = new Map<string, Line>();

  /** @returns `spoke`: resolves when the node says something of the execution; `cut`: aborted when nobody is there any more */
  open(token: string, instance: string): { spoke: Promise<void>; cut: AbortSignal } {
    const line: Line = { instance, cut: new AbortController(), spoke: Promise.withResolvers(), isHeard: false };
    this.#held.set(token, line);
    return { spoke: line.spoke.promise, cut: line.cut.signal };
  }

  close(token: string): void {
    this.#held.delete(token);
  }

  has(token: string): boolean {
    return this.#held.has(token);
  }

  /** A node says something of what it was given under this id. */
  heard(token: string): void {
    const line = this.#held.get(token);
    if (line === undefined) return;
    line.isHeard = true;
    line.spoke.resolve();
  }

  isHeard(token: string): boolean {
    return this.#held.get(token)?.isHeard === true;
  }

  /** A process of a node is gone; without one, all of them are let go. */
  cut(instance?: string): void {
    for (const line of this.#held.values()) {
      if (instance === undefined || line.instance === instance) line.cut.abort(new Error("the node is gone"));
    }
  }
}
