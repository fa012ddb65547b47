/**
 * What a person needs to see when code does not fit a history: what was recorded and never asked for, what was asked
 * for instead, and where a declared input differs.
 */
import type { Event, Value } from "../core/event.ts";
import type { Json } from "../core/json.ts";
import { decode, firstDifference } from "../core/json.ts";
import { parseKey } from "../core/identity.ts";
import type { Ask } from "./ask.ts";
import type { Misfit, Workflow } from "./body.ts";
import type { Loaded } from "./load.ts";
import type { Recorded } from "./recall.ts";
import { fromValue } from "./value.ts";

const remedies = ["run the code that recorded this", "fork this run here", "restart this run"];

/** Of a body that saw that it does not fit before it asked for anything. */
export const nothingAsked: Record<string, Json> = {
  recorded: [],
  recordedCount: 0,
  asked: [],
  ended: true,
  differences: [],
  remedies,
};

const shownMax = 20;
/** Steps on record that a workflow is told of when it says how it differs. */
const toldMax = 500;

/** @param ended whether the body came to its end without asking for everything recorded */
export async function describeDivergence(
  { recall, eventAt }: Pick<Loaded, "recall" | "eventAt">,
  held: readonly Ask[],
  ended: boolean,
): Promise<Record<string, Json>> {
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
    differences.push(difference(recorded.key, givenIn(await eventAt(recorded.first)), rival));
  }
  return {
    recorded: shown.map((recorded) => recorded.key),
    recordedCount: count,
    asked: held.slice(0, shownMax).map((ask) => ask.ref.key),
    ended,
    differences,
    remedies,
  };
}

/** What the workflow itself makes of it, from the steps on record that it did not ask for and those that it asked for instead. */
export async function describeMisfit(
  { recall, eventAt, textsOf }: Pick<Loaded, "recall" | "eventAt" | "textsOf">,
  held: readonly Ask[],
  misfit: NonNullable<Workflow["misfit"]>,
): Promise<Json> {
  const unasked: Misfit[] = [];
  for (const recorded of recall.unasked()) {
    if (unasked.length === toldMax) break;
    const { scope, name } = parseKey(recorded.key);
    const given = givenIn(await eventAt(recorded.first));
    const texts = given !== undefined && "digest" in given ? await textsOf([given.digest]) : new Map<string, string>();
    unasked.push({ scope, name, input: given === undefined ? undefined : fromValue(given, texts) });
  }
  return misfit(
    unasked,
    held.map(({ identity: { scope, name } }) => ({ scope, name, input: undefined })),
  );
}

/** The index of a recall holds no values; the first event of an ask has what was declared. */
function givenIn(first: Event | undefined): Value | undefined {
  return first !== undefined && "key" in first.data ? first.data.given : undefined;
}

function rivalOf(recorded: Recorded, held: readonly Ask[]): Ask | undefined {
  const { scope, name } = parseKey(recorded.key);
  return held.find(({ ref: { key } }) => parseKey(key).scope === scope && parseKey(key).name === name);
}

function difference(key: string, was: Value | undefined, { input: is }: Ask): Json {
  if ((was === undefined) !== (is === undefined)) {
    return { key, path: "$", why: is === undefined ? "input no longer declared" : "input now declared" };
  }
  if (was === undefined || is === undefined || !("inline" in was)) return { key, path: "$" };
  const path = firstDifference(was.inline, is.text === undefined ? undefined : decode(is.text));
  return { key, path: path ?? "$" };
}
