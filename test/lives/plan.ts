/** What happens to runs from outside while they live, and where their processes die: random, but fixed beforehand. */
import fc from "fast-check";

/** `pick` chooses among what there is at that time: open waits, runs, steps in doubt. */
export type Act =
  /** `inside`: through the process that works on the run; else through one that only asks. */
  | { do: "answer" | "fail" | "again"; pick: number; bad: boolean; inside: boolean }
  | { do: "signal"; pick: number; name: string; key: number; bad: boolean; inside: boolean }
  | { do: "cancel" | "pause" | "unpause"; pick: number; inside: boolean }
  | { do: "decide"; pick: number; how: "run" | "record" | "fail" }
  /** The process is stopped in good order, and another one started. */
  | { do: "restart" }
  /** The process stands still until its lease is over and another one has its runs; then it goes on. */
  | { do: "stall" };

/** `after`: milliseconds behind the act before it. */
export type Planned = { after: number; act: Act };
/** The process dies at the n-th call of this kind, from 0; or where it `fails`, that call only does. */
export type Crash = { at: "commit" | "claim" | "send" | "heartbeat"; n: number; applied: boolean; fails: boolean };
export type Plan = {
  acts: Planned[];
  /** The i-th life crashes at the i-th of these; the life behind the last one has none. */
  crashes: Crash[];
  /** Another run of the same program lives in the same store at the same time. */
  beside: boolean;
  /** How much of a history is read at a time. */
  pageEvents: number;
  packEvents: number;
  /** How many runs at rest are kept in memory. */
  warm: number;
  /** How long the first run may take. */
  timeout?: number;
};

const pick = fc.nat(7);
const inside = fc.boolean();
/** Whether a schema refuses it. */
const bad = fc.nat(3).map((n) => n === 0);
const one = <T extends string>(...what: T[]): fc.Arbitrary<T> => fc.constantFrom(...what);

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: one("answer", "answer", "answer", "fail", "again"), pick, bad, inside }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("signal" as const),
      pick,
      name: one("a", "b", "c"),
      key: fc.nat(4),
      bad,
      inside,
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: one("cancel", "pause", "pause", "unpause", "unpause"), pick, inside }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("decide" as const), pick, how: one("run", "record", "fail") }) },
  { weight: 1, arbitrary: fc.constant({ do: "restart" as const }) },
  { weight: 1, arbitrary: fc.constant({ do: "stall" as const }) },
);

const after = fc.oneof(fc.nat(4), fc.nat(20), fc.nat(60));

const crash: fc.Arbitrary<Crash> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      at: fc.constant("commit" as const),
      n: fc.oneof(fc.nat(6), fc.nat(25)),
      applied: fc.boolean(),
      fails: fc.nat(5).map((n) => n === 0),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      at: one("claim", "send", "heartbeat"),
      n: fc.nat(2),
      applied: fc.boolean(),
      fails: fc.constant(false),
    }),
  },
);

export const plans: fc.Arbitrary<Plan> = fc.record(
  {
    acts: fc.array(fc.record({ after, act }), { maxLength: 8 }),
    crashes: fc.array(crash, { maxLength: 3 }),
    beside: fc.nat(3).map((n) => n === 0),
    pageEvents: fc.constantFrom(2, 1000),
    packEvents: fc.constantFrom(2, 3, 1024),
    warm: fc.constantFrom(0, 1, 100),
    timeout: fc.oneof(
      { weight: 3, arbitrary: fc.constant(60_000) },
      { weight: 1, arbitrary: fc.integer({ min: 20, max: 900 }) },
    ),
  },
  { requiredKeys: ["acts", "crashes", "beside", "pageEvents", "packEvents", "warm"] },
);
