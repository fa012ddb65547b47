/**
 * What a person needs to see when code does not fit a history: what was recorded and never asked for, what was asked
 * for instead, and where a declared input differs.
 */
import type { Value } from "../core/event.ts";
import type { Json } from "../core/json.ts";
import { decode, firstDifference } from "../core/json.ts";
import { parseKey } from "../core/identity.ts";
import type { Ask } from "./ask.ts";
import type { Loaded } from "./load.ts";
import type { Recorded } from "./recall.ts";

const shownMax = 20;

/** @param ended whether the body came to its end without asking for everything recorded */
export async function describeDivergence(
  { recall, eventAt }: Pick<Loaded, "recall" | "eventAt">,
  held: readonly Ask[],
  ended: boolean,
): Promise<Json> {
  const shown: Recorded[] = [];
  let count = 0;
  for (const recorded of recall.unasked()) {
    if (count < shownMax) shown.push(recorded);
    count += 1;
  }
  const differences: Json[] = [];
  for (const recorded of shown) {
    const rival = rivalOf(recorded, held);
    if (rival === undefined) continue;
    // The index of a recall holds no values; the first event of an ask has what was declared.
    const first = await eventAt(recorded.first);
    const given = first !== undefined && "key" in first.data ? first.data.given : undefined;
    differences.push(difference(recorded.key, given, rival));
  }
  return {
    recorded: shown.map((recorded) => recorded.key),
    recordedCount: count,
    asked: held.slice(0, shownMax).map((ask) => ask.ref.key),
    ended,
    differences,
    remedies: ["run the code that recorded this", "fork this run here", "restart this run"],
  };
}

function rivalOf(recorded: Recorded, held: readonly Ask[]): Ask | undefined {
  const { scope, name } = parseKey(recorded.key);
  return held.find((ask) => ask.identity.scope === scope && ask.identity.name === name);
}

function difference(key: string, was: Value | undefined, { input: is }: Ask): Json {
  if ((was === undefined) !== (is === undefined)) {
    return { key, path: "$", why: is === undefined ? "input no longer declared" : "input now declared" };
  }
  if (was === undefined || is === undefined || !("inline" in was)) return { key, path: "$" };
  const path = firstDifference(was.inline, is.text === undefined ? undefined : decode(is.text));
  return { key, path: path ?? "$" };
}
