/**
 * The state that executors share. Within a superstep each sees it as it was at its beginning, with its own writes; all
 * writes are put together by the keys' reducers when the superstep ends, in the order of the deliveries, so the result
 * does not depend on who was faster.
 */
import { StemmaError } from "../../core/error.ts";
import { grown } from "../../core/growing-list.ts";
import type { Json } from "../../core/json.ts";
import type { Shared, Write } from "./message.ts";

/** `overwrite`: the last write counts. `append`: each adds one element to a list. `extend`: each adds the elements of a list. */
export type Reducer = "overwrite" | "append" | "extend";

/** Keys that are not named are overwritten. */
export type Reducers = Readonly<Record<string, Reducer>>;

/** The state with these writes. Throws usage.invalid where a reducer is given what it cannot take. */
export function applyWrites(shared: Shared, writes: readonly Write[], reducers: Reducers): Shared {
  if (writes.length === 0) return shared;
  const next = new Map(Object.entries(shared));
  for (const write of writes) {
    if ("gone" in write) next.delete(write.key);
    else next.set(write.key, reduced(next.get(write.key), write, reducerOf(reducers, write.key)));
  }
  return Object.fromEntries(next);
}

function reducerOf(reducers: Reducers, key: string): Reducer {
  return (Object.hasOwn(reducers, key) ? reducers[key] : undefined) ?? "overwrite";
}

type Value = { readonly key: string; readonly value: Json };

function reduced(before: Json | undefined, { key, value }: Value, reducer: Reducer): Json {
  if (reducer === "overwrite") return value;
  return grown(listOf(key, before), added(key, value, reducer)) as Json;
}

/** Throws as `applyWrites` does where a write behind others cannot be, and puts nothing together for that. */
export function checkWrite(shared: Shared, before: readonly Write[], write: Write, reducers: Reducers): void {
  const { key } = write;
  const reducer = reducerOf(reducers, key);
  if ("gone" in write || reducer === "overwrite") return;
  // What was written behind a reducer is a list, or nothing.
  if (!before.some((earlier) => earlier.key === key)) listOf(key, Object.hasOwn(shared, key) ? shared[key] : undefined);
  added(key, write.value, reducer);
}

function listOf(key: string, before: Json | undefined): readonly Json[] {
  const list = before ?? [];
  if (!Array.isArray(list)) throw new StemmaError("usage.invalid", `Expected state ${key} to be a list.`);
  return list;
}

function added(key: string, value: Json, reducer: "append" | "extend"): readonly Json[] {
  if (reducer === "append") return [value];
  if (Array.isArray(value)) return value;
  const message = `Expected a list for state ${key}, which is extended by what is set; got ${typeof value}.`;
  throw new StemmaError("usage.invalid", message, { data: { key } });
}

/** Keys that begin with _ are kept for what the engine itself may need to keep there. */
export function checkKey(key: string): void {
  if (typeof key === "string" && key !== "" && !key.startsWith("_")) return;
  throw new StemmaError(
    "usage.invalid",
    `Expected a key of shared state that does not begin with "_", got ${JSON.stringify(key)}.`,
  );
}
