/**
 * Faults at named points of a store. Everything durable passes the store, so a crash or an error there is one anywhere:
 * before a commit nothing is written, behind it all is written and nobody hears of it. What happens is decided by names
 * and counts, never by time, so a test that fails fails again.
 */
import type { ErrorCode } from "../core/error.ts";
import { StemmaError, errorCodes } from "../core/error.ts";
import type { Store } from "../store/store.ts";
import type { Call, Method } from "./around.ts";
import { around } from "./around.ts";
import { Unheard } from "./unheard.ts";

const writing = ["create", "claim", "heartbeat", "commit", "send", "prune"] as const;
const reading = ["history", "packs", "payloads", "list", "reusable", "feed"] as const;

/**
 * Where a fault can be: `commit.before`: nothing is written. `commit.after`: it is written, but nobody hears of it.
 * Calls that only read have one point each.
 */
export type FaultPoint = `${(typeof writing)[number]}.${"before" | "after"}` | (typeof reading)[number];

/** Every point at which a fault can be armed. */
export const faultPoints: readonly FaultPoint[] = [
  ...writing.flatMap((method) => [`${method}.before`, `${method}.after`] as const),
  ...reading,
];

type MethodAt<P extends FaultPoint> = P extends `${infer M extends Method}.${string}` ? M : P & Method;

/**
 * Which calls a fault is for. A number: that occurrence, from 1. A function of the arguments of the call: the first one
 * for which it is true. Or both, and for how many calls from there on (`times`; 1 if left out, Infinity for all).
 */
export type FaultWhen<P extends FaultPoint> = number | FaultIf<P> | { if?: FaultIf<P>; at?: number; times?: number };

export type FaultIf<P extends FaultPoint> = (...call: Parameters<NonNullable<Store[MethodAt<P>]>>) => boolean;

/** What a store with faults can do besides. Each such object is one life of a process. */
export type Faults<S extends Store> = {
  /**
   * Arms a crash: at that point it is as if the process died. Neither this call nor any later one is ever answered; the
   * code that waits for it stays where it is. Say `stemma.abandon()` when `crashed` resolves: timers of the dead stop too.
   *
   * @param when which call; the first if left out
   * @returns what takes the fault back
   * @throws StemmaError `usage.invalid` for a point that there is not, and an occurrence that there cannot be
   */
  crash<P extends FaultPoint>(point: P, when?: FaultWhen<P>): () => void;
  /**
   * Arms an error, such as `store.busy` or `store.full`. Behind a call (`commit.after`) it is an error of which nobody
   * knows whether the call went through. It did; asked again, this store answers with what is true, as every store must.
   *
   * @param when which calls; the first if left out
   * @returns what takes the fault back
   * @throws StemmaError `usage.invalid` as `crash` does, and for a code that is no `store.*`
   */
  fail<P extends FaultPoint>(point: P, code: StoreErrorCode, when?: FaultWhen<P>): () => void;
  /** Resolves when this life has crashed, with the point at which it did. */
  readonly crashed: Promise<FaultPoint>;
  /** Whether this life has crashed. */
  readonly dead: boolean;
  /** The next life on the same data, with no fault armed: through the same store, or through another that is given. */
  next(store?: S): S & Faults<S>;
  /** The faults of all lives that were armed, not taken back, and did not happen (or not as often as they should). */
  unreached(): string[];
};

/** A code that a store may fail with. */
export type StoreErrorCode = Extract<ErrorCode, `store.${string}`>;

type Armed = {
  point: FaultPoint;
  code: StoreErrorCode | undefined;
  if: (...call: readonly unknown[]) => boolean;
  at: number;
  times: number;
  /** How often the point was reached by a call that it is for, and how often it happened. */
  reached: number;
  happened: number;
};

/**
 * The store given, with faults: at points that have names it crashes or fails as the test says, and else is as before.
 * It works with any store. Where several processes are played in one test, each has one of its own.
 *
 * @example
 * const first = faults(sqlite(path));
 * first.crash("commit.after", 3); // the third commit is written, and the process dies before it hears so
 * const dying = await new Stemma({ store: first, workflows: [order], clock }).start();
 * const { id } = await dying.run(order, input);
 * await first.crashed;
 * dying.abandon();
 *
 * await using stemma = await new Stemma({ store: first.next(), workflows: [order], clock }).start();
 * await clock.advance("15s"); // the lease of the dead runs out
 * expect(await (await stemma.get(id)).result()).toBe("shipped");
 * expect(first.unreached()).toEqual([]);
 */
export function faults<S extends Store>(store: S): S & Faults<S> {
  return life(store, []);
}

/** One life; `armed` are the faults of this one and of those before it. */
function life<S extends Store>(store: S, armed: Armed[]): S & Faults<S> {
  const { promise: crashed, resolve } = Promise.withResolvers<FaultPoint>();
  const mine = new Set<Armed>();
  const unheard = new Unheard();
  let dead = false;
  const arm = (fault: Armed): (() => void) => {
    armed.push(fault);
    mine.add(fault);
    return () => {
      mine.delete(fault);
      if (armed.includes(fault)) armed.splice(armed.indexOf(fault), 1);
    };
  };
  /** Whether the process dies at this point. Throws where the call is to fail. */
  const dies = (point: string, { args }: Call): boolean => {
    const fault = reach(mine, point, args);
    if (fault === undefined) return false;
    if (fault.code !== undefined) throw failure(fault.point, fault.code);
    dead = true;
    resolve(fault.point);
    return true;
  };
  const pass = async (call: Call): Promise<unknown> => {
    const reads = (reading as readonly string[]).includes(call.method);
    if (dead || dies(reads ? call.method : `${call.method}.before`, call)) return await nothing();
    const answer = unheard.correct(call, await call.make(unheard.argsOf(call)));
    try {
      if (dead || (!reads && dies(`${call.method}.after`, call))) return await nothing();
    } catch (error) {
      unheard.note(call, answer);
      throw error;
    }
    return answer;
  };
  return around(store, pass, {
    crash: (point, when) => arm(armedAt(point, undefined, when)),
    fail: (point, code, when) => arm(armedAt(point, code, when)),
    crashed,
    get dead() {
      return dead;
    },
    next: (other) => life(other ?? store, armed),
    unreached: () => armed.filter(isUnreached).map(describe),
  } satisfies Faults<S>);
}

/** Never answers. Each call has its own, so that whoever waits for it can be forgotten with it. */
function nothing(): Promise<never> {
  return new Promise(() => undefined);
}

/** The fault that happens now, if one does. All that are for this call count it. */
function reach(armed: Iterable<Armed>, point: string, args: readonly unknown[]): Armed | undefined {
  let found: Armed | undefined;
  for (const fault of armed) {
    if (fault.point !== point || !fault.if(...args)) continue;
    fault.reached += 1;
    if (found !== undefined || fault.reached < fault.at || fault.reached >= fault.at + fault.times) continue;
    fault.happened += 1;
    found = fault;
  }
  return found;
}

function failure(point: FaultPoint, code: StoreErrorCode): StemmaError {
  return new StemmaError(code, `This is the fault ${code} that a test has armed at ${point}.`, { data: { point } });
}

function armedAt<P extends FaultPoint>(point: P, code: StoreErrorCode | undefined, when: FaultWhen<P> = 1): Armed {
  if (!faultPoints.includes(point)) {
    throw invalid("a point of a store", point, `Known: ${faultPoints.join(", ")}.`);
  }
  if (code !== undefined && !(code.startsWith("store.") && code in errorCodes)) {
    const known = Object.keys(errorCodes).filter((one) => one.startsWith("store."));
    throw invalid("a code of a store", code, `Known: ${known.join(", ")}.`);
  }
  const spelled = typeof when === "number" ? { at: when } : typeof when === "function" ? { if: when } : when;
  const { if: condition = () => true, at = 1, times = 1 } = spelled;
  for (const count of [at, times]) {
    if (count >= 1 && (Number.isSafeInteger(count) || (count === times && count === Infinity))) continue;
    throw invalid("an occurrence from 1 and a number of times from 1", String(count), "");
  }
  return { point, code, if: condition as Armed["if"], at, times, reached: 0, happened: 0 };
}

function invalid(expected: string, found: string, more: string): StemmaError {
  return new StemmaError("usage.invalid", `Expected ${expected}, got ${found}. ${more}`.trimEnd());
}

function isUnreached({ times, happened }: Armed): boolean {
  return happened === 0 || (times !== Infinity && happened < times);
}

function describe({ point, code, at, times, reached, happened }: Armed): string {
  const often = times === 1 ? "" : `, ${times} times`;
  const so = happened > 0 ? `happened ${happened} times` : `such a call came ${reached} times`;
  return `${code ?? "crash"} at ${point}, occurrence ${at}${often}: ${so}`;
}
