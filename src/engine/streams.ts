/**
 * Streams: values that a run emits for whoever follows it while it works, such as the tokens of a model. They are no
 * events: they go with the next flush and nobody waits for them; of each stream the latest are kept.
 *
 * A step that is entered again emits from its start again, so the first value of an entering is preceded by a *reset*:
 * what came from this step before is void. An earlier entering may have left no record (the process died), so the rule
 * asks for none: every entering but the first of a run that nobody worked on before begins with a reset, in each stream
 * that it writes to. A reader may therefore see one where there is nothing to void; it never misses one.
 */
import { StemmaError } from "../core/error.ts";
import { decode } from "../core/json.ts";
import { limits } from "../core/limits.ts";
import { checkName } from "../core/name.ts";
import { isTerminal } from "../core/run.ts";
import type { Emitted, RunRow, Store } from "../store/store.ts";
import { expectInStream } from "./cursors.ts";
import { toValue } from "./value.ts";

/** What stands in the place of a value's text: no JSON text is empty. */
const resetMark = "";

export type Emit = (stream: string, value: unknown) => void;

/** What a follower of a stream is given. `step` is the key of the step it comes from, or the empty text: the body. */
export type StreamItem<T = unknown> =
  | { position: number; step: string; attempt: number; value: T; reset?: never }
  | { position: number; step: string; attempt: number; reset: true; value?: never };

/**
 * `emit` of one entering of a step, or of the body.
 *
 * @param again whether an earlier entering may have emitted
 */
export function emitter(
  from: { step: string; attempt: number; again: boolean },
  write: (value: Emitted) => void,
): Emit {
  const { step, attempt, again } = from;
  const begun = new Set<string>();
  return (stream, value) => {
    const text = textFor(stream, value);
    if (again && !begun.has(stream)) write({ stream, step, attempt, text: resetMark });
    begun.add(stream);
    write({ stream, step, attempt, text });
  };
}

/** Throws name.invalid, json.not_serializable, json.too_deep, payload.too_large. */
function textFor(stream: unknown, value: unknown): string {
  const what = `value for stream ${checkName(stream, "name of a stream")}`;
  const { text } = toValue(value, what);
  if (text !== undefined) return text;
  const message = `${what}: expected a JSON value, got undefined. Emit null for nothing.`;
  throw new StemmaError("json.not_serializable", message, { data: { path: "$", type: "undefined" } });
}

/** Of each stream the latest values, as many as a store keeps: a store that takes nothing must not fill the memory. */
export function latestOf(values: readonly Emitted[]): Emitted[] {
  const kept = new Map<string, number>();
  const latest: Emitted[] = [];
  for (const value of values.toReversed()) {
    const count = kept.get(value.stream) ?? 0;
    if (count < limits.streamValuesMax) latest.push(value);
    kept.set(value.stream, count + 1);
  }
  return latest.reverse();
}

const pollMs = 20;

/** Follows a stream from behind a position to the end of its run. */
export async function* follow<T>(
  store: Store,
  row: () => Promise<RunRow>,
  place: { run: string; stream: string; after: number },
): AsyncGenerator<StreamItem<T>> {
  const { run, stream } = place;
  let { after } = place;
  await expectInStream(store, run, stream, after);
  let ended = false;
  for (;;) {
    const page = await store.feed({ run, stream, after, limit: limits.pageEventsMax });
    for (const { position, step, attempt, text } of page.values ?? []) {
      after = position;
      yield text === resetMark
        ? { position, step, attempt, reset: true }
        : { position, step, attempt, value: decode(text) as T };
    }
    if ((page.values ?? []).length > 0) continue;
    // What a run emits comes with its end at the latest, so a page that is read after that and is empty is the last.
    if (ended) return;
    ended = isTerminal((await row()).state.status);
    if (!ended) await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Where to go on reading. Throws name.invalid, usage.invalid. */
export function placeIn(
  run: string,
  stream: string,
  after: number = 0,
): { run: string; stream: string; after: number } {
  checkName(stream, "name of a stream");
  if (Number.isSafeInteger(after) && after >= 0) return { run, stream, after };
  throw new StemmaError("usage.invalid", `Expected after to be a position in the stream, got ${String(after)}.`);
}
