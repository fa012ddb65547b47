/** All that a handler can read, as one value: two invocations of an executor are the same work exactly if it is equal. */
import type { Digest } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import { encode } from "../../core/json.ts";
import { sha256 } from "../../engine/hash.ts";
import type { Call } from "./invoke.ts";
import type { Shared } from "./message.ts";

/** @param digestOf of the shared state, which may be large: it stands there by its digest */
export function inputOf(
  { delivery, shared }: Call,
  snapshot: Json | undefined,
  digestOf: (shared: Shared) => Digest,
): Record<string, unknown> {
  const { data, sources, request } = delivery;
  return {
    message: data,
    sources,
    ...(request === undefined ? {} : { request: { id: request.id, data: request.data } }),
    ...(Object.keys(shared).length === 0 ? {} : { state: digestOf(shared) }),
    ...(snapshot === undefined ? {} : { own: digest(snapshot) }),
  };
}

/** Of any value. */
export function digest(value: unknown): Digest {
  return sha256(encode(value) ?? "");
}
