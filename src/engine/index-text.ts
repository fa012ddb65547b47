/**
 * What the index needs of the two most frequent events, the first start of a step and its success, from their texts as
 * they are stored: what a step was given and what it gave may be long, and would be parsed for nothing.
 *
 * The texts are canonical JSON, with the names of properties in order. So one that begins with `{"key":"` has no
 * declared input and nothing else that sorts before; and one that begins with its first attempt and ends with input and
 * key has nothing between or behind but what it was given.
 */
import type { StoredEvent } from "../core/chain.ts";
import { unseal } from "../core/chain.ts";
import type { Causes, Digest, Event, Seq } from "../core/event.ts";
import { decode } from "../core/json.ts";

const started = /^\{(?:"after":(\d+),)?"attempt":1,"given":\{"/;
const [beforeInput, beforeKey, tail] = ['},"input":"', '","key":"', '"}'];
const digestChars = 64;
const succeeded = '{"key":"';
const behindKey = /","(?:ms":\d+,")?output":/y;

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
        ? succeededIn(stored.data)
        : undefined;
  if (data === undefined) return unseal(stored);
  return { seq, at, type, hash, causes: decode(stored.causes) as Causes, data } as unknown as Event;
}

type Started = { key: string; input: Digest; attempt: 1; after?: Seq };

function startedIn(text: string, known: Digest): Started | undefined {
  const head = text.endsWith(tail) ? started.exec(text) : null;
  if (head === null) return undefined;
  const keyAt = text.lastIndexOf(beforeKey);
  const inputAt = keyAt - digestChars;
  if (keyAt < 0 || !text.endsWith(beforeInput, inputAt)) return undefined;
  const key = text.slice(keyAt + beforeKey.length, -tail.length);
  const input = known !== "" && text.startsWith(known, inputAt) ? known : text.slice(inputAt, keyAt);
  if (!isPlain(key) || !isPlain(input)) return undefined;
  const after = head[1];
  return after === undefined ? { key, input, attempt: 1 } : { key, input, attempt: 1, after: Number(after) };
}

function succeededIn(text: string): { key: string } | undefined {
  if (!text.startsWith(succeeded)) return undefined;
  const end = text.indexOf('"', succeeded.length);
  behindKey.lastIndex = end;
  const key = text.slice(succeeded.length, end);
  return behindKey.test(text) && isPlain(key) ? { key } : undefined;
}

/** Whether a string is written as it is. */
function isPlain(text: string): boolean {
  return !text.includes('"') && !text.includes("\\");
}
