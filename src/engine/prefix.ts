/**
 * What stands for all that a body has been given so far: its input and context, and then every outcome in the order in
 * which it was delivered. A body that does the same whenever it is given the same is, at equal prefixes, at the same
 * place with the same values in its hands; so a step that does not say what it uses may be reused exactly there.
 *
 * The items of a map count together, in their own order, when the last of them is there: nothing can see before that
 * in which order they came.
 */
import { canonical } from "../core/json.ts";
import type { Json } from "../core/json.ts";
import type { ReuseKey, StateTree, Value } from "../core/event.ts";
import { prefixAtStart, prefixBehind } from "../core/reuse-key.ts";
import type { Ask } from "./ask.ts";
import { sha256 } from "./hash.ts";
import type { Loaded } from "./load.ts";
import type { OutcomeEvent } from "./recall.ts";
import { referenceDigest } from "./reuse-keys.ts";

export class Prefix {
  #current: ReuseKey;
  /** Outcomes of maps that are not closed: of each item its own digest, and how many are missing. */
  #together = new Map<object, { outcomes: ReuseKey[]; missing: number }>();

  readonly #isCounted: boolean;

  /** @param isCounted false for a body that declares the inputs of all its steps, where nothing is asked for by this */
  constructor({ created, start }: Pick<Loaded, "created" | "start">, isCounted: boolean = true) {
    this.#isCounted = isCounted;
    const { seed, input, context } = created.data;
    const kept = start.type === "checkpoint" ? start.data.prefix : created.data.start?.prefix;
    const digests = { input: referenceDigest(input), context: context === undefined ? null : referenceDigest(context) };
    this.#current = kept ?? prefixAtStart(sha256, { seed, ...digests });
  }

  get current(): ReuseKey {
    return this.#current;
  }

  /** The body is given the outcome of an ask. */
  given({ ref, identity, work }: Ask, event: OutcomeEvent): void {
    if (!this.#isCounted) return;
    const what = `${ref.key} ${identity.input ?? "-"} ${identity.n}`;
    const together = work.kind === "step" ? work.ask.together : undefined;
    if (together === undefined) {
      this.#current = prefixBehind(sha256, this.#current, what, textOf(event));
      return;
    }
    const { key, at, of } = together;
    const open = this.#together.get(key) ?? { outcomes: [], missing: of };
    open.outcomes[at] = prefixBehind(sha256, "", what, textOf(event));
    open.missing -= 1;
    if (open.missing > 0) {
      this.#together.set(key, open);
      return;
    }
    this.#together.delete(key);
    this.#current = prefixBehind(sha256, this.#current, what, open.outcomes.join(" "));
  }

  /** The body is told something that is no outcome. */
  said(what: string, answer: string): void {
    this.#current = prefixBehind(sha256, this.#current, what, answer);
  }

  /** The body goes on with a state, and may know nothing else. Gives what stands for all before it. */
  checkpoint(state: Value | StateTree): ReuseKey {
    this.#current = prefixBehind(sha256, this.#current, "checkpoint", valueText(state));
    return this.#current;
  }
}

/** An outcome as a text: two are equal exactly if a body cannot tell them apart. */
function textOf(event: OutcomeEvent): string {
  const { error, output, value } = event.data as { error?: Json; output?: Value; value?: Value };
  if (error !== undefined) return `!${canonical(error)}`;
  if (event.type === "wait.expired" && value === undefined) return "expired";
  return valueText(output ?? value ?? { undefined: true });
}

/** Values are inline or not by their size alone, so equal ones have equal texts. */
function valueText(value: Value | StateTree): string {
  if ("undefined" in value) return "undefined";
  return "inline" in value ? `=${canonical(value.inline)}` : `#${value.digest}`;
}
