/** Stands between the engine and a store: every call passes here, in both directions, whatever store it is. */
import type { Store } from "../store/store.ts";

const methods = [
  "create",
  "claim",
  "heartbeat",
  "commit",
  "history",
  "packs",
  "payloads",
  "send",
  "list",
  "reusable",
  "feed",
  "prune",
] as const;

/** The calls of a store that ask or change something: all but `close`. */
export type Method = (typeof methods)[number];

/** One call, and what carries it out: with its own arguments, or with others in their place. */
export type Call = { method: Method; args: readonly unknown[]; make(args?: readonly unknown[]): Promise<unknown> };

/** `store`, with `pass` in the way of its calls. `also` are further members of what comes out. */
export function around<S extends Store, A extends object>(
  store: S,
  pass: (call: Call) => Promise<unknown>,
  also: A,
): S & A {
  return new Proxy(store, {
    get(target, name) {
      if (Object.hasOwn(also, name)) return Reflect.get(also, name) as unknown;
      const value = Reflect.get(target, name) as unknown;
      if (typeof value !== "function") return value;
      const own = (...args: unknown[]): unknown => (value as (...args: unknown[]) => unknown).apply(target, args);
      if (!(methods as readonly unknown[]).includes(name)) return own;
      return (...args: unknown[]) =>
        pass({ method: name as Method, args, make: async (given = args) => own(...given) });
    },
    has: (target, name) => Object.hasOwn(also, name) || name in target,
  }) as S & A;
}
