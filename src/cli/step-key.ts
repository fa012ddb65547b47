/** The step that somebody means, where it is named by a part of what it was given. */
import { StemmaError } from "../core/error.ts";
import type { Digest } from "../core/event.ts";
import { pathOf } from "../core/identity.ts";
import type { Json } from "../core/json.ts";
import { decode, equal, parse } from "../core/json.ts";
import { valueAt } from "../core/json-path.ts";
import type { RecordedStep } from "../core/recorded-step.ts";

/** What the keys of a run are looked up in: its steps, and the texts of large inputs. */
export type Known = { list: readonly RecordedStep[]; texts: ReadonlyMap<Digest, string> };

const byInput = /^(?<path>[^[\]]+)\[input(?<place>[^=]*)=(?<value>.*)\]$/su;
const shownMax = 5;

/** Whether a step is named by what it was given: for that its run has to be read. */
export function asksForInput(given: string): boolean {
  return byInput.test(given);
}

/**
 * The key of the only step that fits: `charge[input.order=17]` is the step of that name whose input has 17 at `$.order`.
 *
 * @throws StemmaError `step.not_found`; `usage.invalid` where several fit
 */
export function stepKey(given: string, { list, texts }: Known): string {
  const { path = "", place = "", value = "" } = byInput.exec(given)?.groups ?? {};
  const wanted = jsonOrText(value);
  const found = list.filter((step) => {
    if (pathOf(step.scope, step.name) !== path) return false;
    const at = valueAt(inputOf(step, texts), place);
    return at !== undefined && equal(at, wanted);
  });
  const [only] = found;
  if (only === undefined) throw notFound(given, path, list);
  if (found.length === 1) return only.key;
  const keys = found.slice(0, shownMax).map(({ key }) => key);
  const more = found.length > shownMax ? ", …" : "";
  throw new StemmaError(
    "usage.invalid",
    `Several steps fit ${given}: ${keys.join(", ")}${more}. Name one by its key.`,
    {
      data: { steps: keys },
    },
  );
}

/**
 * JSON where it is some, else the text itself: `17`, `true`, `"17"`, `ada`.
 *
 * @throws StemmaError `json.*` for JSON that cannot be held, such as a whole number beyond 2^53
 */
export function jsonOrText(text: string): Json {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  return parse(text, "value");
}

function inputOf({ given }: RecordedStep, texts: ReadonlyMap<Digest, string>): Json | undefined {
  if (given === undefined || "undefined" in given) return undefined;
  if ("inline" in given) return given.inline;
  const text = texts.get(given.digest);
  return text === undefined ? undefined : decode(text);
}

function notFound(given: string, path: string, list: readonly RecordedStep[]): StemmaError {
  const alike = list.filter(({ scope, name }) => pathOf(scope, name) === path).length;
  const advice = alike === 0 ? `None is called ${path}.` : `${alike} are called ${path}; none of them was given that.`;
  return new StemmaError("step.not_found", `The run has no step ${given}. ${advice}`, { data: { key: given } });
}
