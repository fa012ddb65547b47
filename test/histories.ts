/** Histories made by hand and at random, for tests of what is computed from histories. */
import fc from "fast-check";
import type { Causes, Draft, Event, EventData, EventType, Seq } from "../src/core/event.ts";
import type { Json } from "../src/core/json.ts";

const created: EventData["run.created"] = {
  workflow: "w",
  version: 1,
  input: { inline: null },
  origin: { kind: "new" },
  family: "run_family",
  seed: "s",
};

/** Events from drafts: `run.created` first, each a millisecond after the one before. */
export function historyOf(drafts: readonly Draft[], first: Partial<EventData["run.created"]> = {}): Event[] {
  const all: Draft[] = [{ type: "run.created", data: { ...created, ...first }, causes: [] }, ...drafts];
  return all.map((each, seq) => ({ seq, at: 1000 + seq, hash: `h${seq}`, ...each }));
}

export function draft<T extends EventType>(type: T, data: EventData[T], causes: Causes): Draft {
  return { type, data, causes } as Draft;
}

/** A success with a declared input, its digest made from the input's text. */
export function success(
  key: string,
  causes: Causes,
  { input, output = key, ...more }: { input?: Json; output?: Json; ms?: number; cost?: number; n?: number } = {},
): Draft {
  const given = input === undefined ? {} : { given: { inline: input }, input: `d${JSON.stringify(input)}` };
  return draft("step.succeeded", { key, output: { inline: output }, ms: 10, reuse: "r", ...given, ...more }, causes);
}

export function failure(key: string, causes: Causes, message = "no"): Draft {
  return draft("step.failed", { key, error: { name: "Error", message } }, causes);
}

export function failed(frontier: string[], causes: Causes): Draft {
  return draft("run.failed", { error: { name: "Error", message: "no" }, frontier }, causes);
}

/** A step of a random program: which outcomes before it are its causes, and how it ended. */
export type Piece = { causes: number[]; same: boolean; end: "succeeded" | "failed" | "open"; declared: boolean };

/** Programs of up to 30 steps, as a graph in which each step has some of the earlier outcomes as causes. */
export const pieces: fc.Arbitrary<Piece[]> = fc.array(
  fc.record({
    causes: fc.array(fc.nat(), { maxLength: 3 }),
    same: fc.boolean(),
    end: fc.constantFrom<Piece["end"]>("succeeded", "succeeded", "succeeded", "succeeded", "failed", "open"),
    declared: fc.boolean(),
  }),
  { minLength: 1, maxLength: 30 },
);

/** The history of a random program: step `s0`, `s1` …; a step has started on record where it never ended. */
export function historyOfPieces(program: readonly Piece[]): Event[] {
  const drafts: Draft[] = [draft("run.started", { worker: "w", epoch: 1, fingerprint: "f" }, [0])];
  const outcomes: Seq[] = [];
  for (const [i, { causes, same, end, declared }] of program.entries()) {
    const seq = drafts.length + 1;
    const named = [...new Set(causes.map((n) => (outcomes.length === 0 ? 0 : (outcomes[n % outcomes.length] ?? 0))))];
    const before = seq - 1;
    const use: Causes = same && before > 1 ? { same: before } : named.length === 0 ? [0] : named;
    const key = `s${i}`;
    if (end === "open") drafts.push(draft("step.started", { key, attempt: 1 }, use));
    else drafts.push(end === "failed" ? failure(key, use) : success(key, use, declared ? { input: i } : {}));
    if (end !== "open") outcomes.push(seq);
  }
  return historyOf(drafts);
}
