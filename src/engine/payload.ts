/** Which payloads, kept apart from their event because of their size, a body may be given. */
import type { Digest, Event, Value } from "../core/event.ts";

/** Digests of the values that an event holds by reference. */
export function payloadsOf(event: Event): Digest[] {
  const data = event.data as {
    input?: Value | string;
    output?: Value;
    value?: Value;
    context?: Value;
    default?: Value;
    state?: Value;
  };
  const digests: Digest[] = [];
  for (const value of [data.input, data.output, data.value, data.context, data.default, data.state]) {
    if (typeof value === "object" && value !== null && "digest" in value) digests.push(value.digest);
  }
  return digests;
}
