/**
 * What makes a step the same step: when its run is recalled, when another run reuses it, when two runs are compared,
 * and when a service is asked not to charge twice. An identity never depends on seq, attempt or how branches
 * interleave; the key that people see is only a label made from it.
 */
import type { Digest, ReuseKey, RunId, StepRef } from "./event.ts";
import { canonical } from "./json.ts";
import type { Json } from "./json.ts";

/** Hashing is given to core, because core also runs in the browser: SHA-256 of UTF-8 text, as 64 hexadecimal digits. */
export type Hash = (text: string) => Digest;

/** Scope path, name, digest of the declared input (or null), and the place among asks equal in these three. */
export type Identity = { scope: string; name: string; input: Digest | null; n: number };

/** Scope of the steps that make up for others: `compensate/<key>`. */
export const compensationScope = "compensate";

/** Scope path of a name: `items/3` and `resize` make `items/3/resize`. The root scope is the empty path. */
export function pathOf(scope: string, name: string): string {
  return scope === "" ? name : `${scope}/${name}`;
}

/**
 * Scope path of the root of a segment: the empty path before the first checkpoint, then `#1`, `#2` … No name holds a
 * `#`, so a step counted anew after a checkpoint is never taken for one before it, inside the run or outside.
 */
export function segmentRoot(segment: number): string {
  return segment === 0 ? "" : `#${segment}`;
}

/** The label of the k-th (0-based) of its kind: `charge`, `charge#2`, `charge#3` … */
export function labelOf(path: string, k: number): string {
  return k === 0 ? path : `${path}#${k + 1}`;
}

/** Takes a key apart again. Names hold neither `/` nor `#`, so this is exact. */
export function parseKey(key: string): { scope: string; name: string; k: number } {
  const slash = key.lastIndexOf("/");
  const last = key.slice(slash + 1);
  const mark = last.indexOf("#");
  const scope = slash < 0 ? "" : key.slice(0, slash);
  if (mark < 0) return { scope, name: last, k: 0 };
  return { scope, name: last.slice(0, mark), k: Number(last.slice(mark + 1)) - 1 };
}

/**
 * What a step may be called where somebody says which are meant: its key, its name, and its path without numbers, which
 * are those of its like, too; and its key with the number that the first of its kind has and does not show, `charge#1`,
 * which is its own alone.
 */
export function namesOf(key: string, { scope, name }: Pick<Identity, "scope" | "name">): string[] {
  return [key, name, pathOf(scope, name), exactKey(key)];
}

/** A key that nothing else is called by: `charge#1`, where the key is `charge`. */
export function exactKey(key: string): string {
  return parseKey(key).k === 0 ? `${key}#1` : key;
}

/** The identity that an event's reference to a step stands for. */
export function identityOf(ref: StepRef): Identity {
  const { scope, name, k } = parseKey(ref.key);
  const input = ref.input ?? null;
  if (ref.across !== undefined) return { scope: withoutSegment(scope), name, input, n: ref.across };
  return { scope, name, input, n: ref.n ?? k };
}

/** `#4/items/3` → `items/3`: the scope path of what is counted in all segments of a run together. */
export function withoutSegment(scope: string): string {
  return scope.replace(/^#\d+(?:\/|$)/, "");
}

/** The reference that stands for an identity under a label; what the label already says is left out. */
export function refOf(identity: Identity, key: string): StepRef {
  const ref: StepRef = { key };
  if (identity.input !== null) ref.input = identity.input;
  // Most keys have no number in them, and so no segment.
  if (!key.includes("#")) {
    if (identity.n !== 0) ref.n = identity.n;
    return ref;
  }
  const { scope, k } = parseKey(key);
  if (identity.scope !== scope) ref.across = identity.n;
  else if (identity.n !== k) ref.n = identity.n;
  return ref;
}

/** One text per identity, to look it up by. No part can run into the next: names hold no `#`. */
export function identityText({ scope, name, input, n }: Identity): string {
  return `${pathOf(scope, name)}#${input ?? "-"}#${n}`;
}

/** The asks equal in all but `n`, as one text: what ordinals are counted by. */
export function kindText(scope: string, name: string, input: Digest | null): string {
  return `${pathOf(scope, name)}#${input ?? "-"}`;
}

/**
 * The key that a step sends to the outside world. Retries, crashes and restarts of a failure send the same one;
 * another input, or the wish to run again (`generation`), sends another.
 *
 * @param line first run of the restart / fork line
 * @param calls keys of the calls that lead from the line's first run down to this run (empty for a root)
 */
export function idempotencyKey(
  hash: Hash,
  line: RunId,
  calls: readonly string[],
  identity: Identity,
  generation = 0,
): string {
  const { scope, name, input, n } = identity;
  return hash(canonical([line, [...calls], scope, name, input, n, generation]));
}

/**
 * The key under which a success with *declared* input may be reused by other runs of the family: it does not matter
 * where in a loop, or how often before, the same work was asked for, so indices are taken out of the scope path.
 */
export function reuseKey(
  hash: Hash,
  step: { scope: string; name: string; version: number; input: Digest; context: Json },
): ReuseKey {
  const { scope, name, version, input, context } = step;
  const reads = Array.isArray(context) && context.length === 0 ? "[]" : canonical(context);
  return hash(`${headOf(scope, name, version)},"${input}",${reads}]`).slice(0, reuseKeyDigits);
}

/** The beginning of what was hashed last: steps of one name mostly come one behind the other. */
let head = { scope: "", name: "", version: 0, text: "" };

/** `["items/x","resize",1`: the canonical text of these parts as the beginning of a list. */
function headOf(scope: string, name: string, version: number): string {
  if (head.scope !== scope || head.name !== name || head.version !== version) {
    const text = canonical([scopeWithoutIndices(scope), name, version]).slice(0, -1);
    head = { scope, name, version, text };
  }
  return head.text;
}

/** 160 bits: as many as nobody finds two equal ones of, and less to store with each success than a whole digest. */
export const reuseKeyDigits = 40;

/** `items/3/x#2` → `items/x`: what is left of a scope path when places in loops are taken out. */
export function scopeWithoutIndices(scope: string): string {
  return scope
    .split("/")
    .map((part) => part.replace(/#\d+$/, ""))
    .filter((part) => part !== "" && !/^\d+$/.test(part))
    .join("/");
}

/** The segment that a key belongs to: `#2/charge` to the one behind the second checkpoint. */
export function segmentOf(key: string): number {
  const [, count = "0"] = /^#(\d+)\//.exec(key) ?? [];
  return Number(count);
}
