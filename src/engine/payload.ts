/** Which payloads, kept apart from their event because of their size, a body may be given. */
import type { Digest, Event, StateTree, Value } from "../core/event.ts";

export type Reference = { digest: Digest; bytes: number };

/** The values that an event holds by reference. */
export function payloadsOf(event: Event): Reference[] {
  const data = event.data as {
    input?: Value | string;
    output?: Value;
    value?: Value;
    context?: Value;
    default?: Value;
    state?: Value | StateTree;
  };
  const references: Reference[] = [];
  for (const value of [data.input, data.output, data.value, data.context, data.default, data.state]) {
    // A tree is read from its root on, and only where a run starts from it.
    if (typeof value === "object" && "digest" in value && !("tree" in value)) references.push(value);
  }
  return references;
}
