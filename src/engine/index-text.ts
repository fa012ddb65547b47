/**
 * What the index needs of the two most frequent events, the first start of a step and its success, from their texts as
 * they are stored: what a step was given and what it gave may be long, and would be parsed for nothing.
 *
 * The texts are canonical JSON, with the names of properties in order. So what stands between two names that are found
 * one behind the other is known to be nothing else.
 */
import type { StoredEvent } from "../core/chain.ts";
import { unseal } from "../core/chain.ts";
import { inline, valueEnd } from "../core/chain-text.ts";
import type { Causes, Digest, Event, Seq } from "../core/event.ts";
import { decode } from "../core/json.ts";

const [afterName, attemptName, givenName] = ['"after":', '"attempt":', '"given":'];
const [inputName, keyName] = ['"input":"', '"key":"'];
const same = '{"same":';
const digestChars = 64;
const behindKey = /","(?:ms":\d+,")?output":(?:\{"inline":)?/y;

/**
 * The event as far as the index needs it, which is all of it unless it is one of the two; it is not to be given away.
 *
 * @param known the declared input of an event before, to be used again where it is the same
 */
export function indexed(stored: StoredEvent, known: Digest = ""): Event {
  const { type, seq, at, hash } = stored;
  const data =
    type === "step.started"
      ? startedIn(stored.data, known)
      : type === "step.succeeded"
        ? succeededIn(stored.data, known)
        : undefined;
  if (data === undefined) return unseal(stored);
  return { seq, at, type, hash, causes: causesIn(stored.causes), data } as unknown as Event;
}

/** Most events have one cause, or those of an event before. */
function causesIn(text: string): Causes {
  const isOne = text.startsWith("[") && !text.includes(",");
  const isSame = !isOne && text.startsWith(same);
  const digits = isOne ? text.slice(1, -1) : isSame ? text.slice(same.length, -1) : "";
  const seq = digits === "" ? Number.NaN : Number(digits);
  if (!Number.isSafeInteger(seq)) return decode(text) as Causes;
  return isOne ? [seq] : { same: seq };
}

/** What both begin with; `end` is where the key's last quote stands. */
type Head = { data: { after?: Seq; attempt?: number; input?: Digest; key: string }; end: number };

/** Undefined for all that has anything else in front of its key, or anything in it that is not written as it is. */
function headOf(text: string, known: Digest): Head | undefined {
  let at = 1;
  const data: Head["data"] = { key: "" };
  if (text.startsWith(afterName, at)) {
    const end = text.indexOf(",", at);
    data.after = Number(text.slice(at + afterName.length, end));
    at = end + 1;
  }
  if (text.startsWith(attemptName, at)) {
    const end = text.indexOf(",", at);
    data.attempt = Number(text.slice(at + attemptName.length, end));
    at = end + 1;
  }
  if (text.startsWith(givenName, at)) {
    at = valueEnd(text, at + givenName.length) + 1;
    if (at === 0) return undefined;
  }
  if (text.startsWith(inputName, at)) {
    const from = at + inputName.length;
    const input = text.slice(from, from + digestChars);
    data.input = input === known ? known : input;
    at = from + digestChars + 2;
  }
  if (!text.startsWith(keyName, at)) return undefined;
  const from = at + keyName.length;
  const end = text.indexOf('"', from);
  data.key = text.slice(from, end);
  return data.key.includes("\\") || data.input?.includes('"') === true ? undefined : { data, end };
}

function startedIn(text: string, known: Digest): Head["data"] | undefined {
  const head = headOf(text, known);
  return head?.data.attempt === 1 && head.end === text.length - 2 ? head.data : undefined;
}

function succeededIn(text: string, known: Digest): Head["data"] | undefined {
  const head = headOf(text, known);
  if (head === undefined) return undefined;
  behindKey.lastIndex = head.end;
  return behindKey.test(text) ? head.data : undefined;
}

/** The text of what a step gave, as it is in its success; undefined where it is not in there. */
export function outputIn(stored: StoredEvent): string | undefined {
  const { from, to } = outputPlace(stored);
  return to > from ? stored.data.slice(from, to) : undefined;
}

/** Where that is in the data of the event; both 0 where it is not in there. */
export function outputPlace({ type, data }: StoredEvent): { from: number; to: number } {
  if (type !== "step.succeeded" || succeededIn(data, "") === undefined) return nowhere;
  const from = behindKey.lastIndex;
  if (!data.endsWith(inline, from)) return nowhere;
  const to = valueEnd(data, from);
  return to > from && data[to] === "}" ? { from, to } : nowhere;
}

const nowhere = { from: 0, to: 0 };
