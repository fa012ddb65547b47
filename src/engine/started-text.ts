/**
 * What the index needs of the most frequent event that is no outcome, the first start of a step, from its text as it is
 * stored: its declared input is as long as it likes, and to parse it would be for nothing.
 */
import type { StoredEvent } from "../core/chain.ts";
import type { Causes, Digest, Event } from "../core/event.ts";
import { decode } from "../core/json.ts";

const head = '{"attempt":1,"given":{"';
const [beforeInput, beforeKey, tail] = ['},"input":"', '","key":"', '"}'];
const digestChars = 64;

/**
 * The event without what it was given; undefined for any other event, and where anything else is in it. The text is
 * canonical JSON, with the names of its properties in order: so what begins and ends like this has nothing before its
 * attempt, nothing behind its key, and as its last two properties the input and the key.
 *
 * @param known the input of the event before, to be used again where it is the same
 */
export function startedOf({ seq, at, type, hash, causes, data }: StoredEvent, known: Digest = ""): Event | undefined {
  if (type !== "step.started" || !data.startsWith(head) || !data.endsWith(tail)) return undefined;
  const keyAt = data.lastIndexOf(beforeKey);
  const inputAt = keyAt - digestChars;
  const key = data.slice(keyAt + beforeKey.length, -tail.length);
  if (keyAt < 0 || !data.endsWith(beforeInput, inputAt) || key.includes('"') || key.includes("\\")) return undefined;
  const input = data.startsWith(known, inputAt) && known !== "" ? known : data.slice(inputAt, keyAt);
  if (input.includes('"')) return undefined;
  return {
    seq,
    at,
    type,
    hash,
    causes: decode(causes) as Causes,
    data: { key, input, attempt: 1 },
  } as unknown as Event;
}
