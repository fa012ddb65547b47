/**
 * What a person needs to see when code does not fit a history: what was recorded and never asked for, what was asked
 * for instead, and where a declared input differs.
 */
import type { Json } from "../core/json.ts";
import { decode, firstDifference } from "../core/json.ts";
import { identityOf } from "../core/identity.ts";
import type { Ask } from "./ask.ts";
import type { Recall, Recorded } from "./recall.ts";

const shownMax = 20;

/** @param ended whether the body came to its end without asking for everything recorded */
export function describeDivergence(recall: Recall, held: readonly Ask[], ended: boolean): Json {
  const unasked = recall.asks.filter((recorded) => !recorded.asked);
  return {
    recorded: unasked.slice(0, shownMax).map((recorded) => recorded.ref.key),
    recordedCount: unasked.length,
    asked: held.slice(0, shownMax).map((ask) => ask.ref.key),
    ended,
    differences: unasked.slice(0, shownMax).flatMap((recorded) => difference(recorded, held) ?? []),
    remedies: ["run the code that recorded this", "fork this run here", "restart this run"],
  };
}

function difference(recorded: Recorded, held: readonly Ask[]): Json | undefined {
  const { scope, name } = identityOf(recorded.ref);
  const rival = held.find((ask) => ask.identity.scope === scope && ask.identity.name === name);
  if (rival === undefined) return undefined;
  const was = recorded.given;
  const is = rival.input;
  if ((was === undefined) !== (is === undefined)) {
    return {
      key: recorded.ref.key,
      path: "$",
      why: is === undefined ? "input no longer declared" : "input now declared",
    };
  }
  if (was === undefined || is === undefined || !("inline" in was)) return { key: recorded.ref.key, path: "$" };
  const path = firstDifference(was.inline, is.text === undefined ? undefined : decode(is.text));
  return { key: recorded.ref.key, path: path ?? "$" };
}
