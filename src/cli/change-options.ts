/** What a restart or fork changes, as it is typed: the same words for `plan`, `restart` and `fork`. */
import { Option } from "commander";
import type { Command } from "commander";
import { unseal } from "../core/chain.ts";
import type { Change } from "../engine/change.ts";
import { StemmaError } from "../core/error.ts";
import type { Digest, RunId, Value } from "../core/event.ts";
import { exactKey } from "../core/identity.ts";
import type { Json } from "../core/json.ts";
import { decode } from "../core/json.ts";
import { withValueAt } from "../core/json-path.ts";
import { limits } from "../core/limits.ts";
import { stepsOf } from "../core/recorded-step.ts";
import { readInput } from "./input-option.ts";
import { asksForInput, jsonOrText, stepKey } from "./step-key.ts";
import type { Asked } from "./place.ts";

export type ChangeOptions = {
  from?: string;
  after?: string;
  checkpoint?: string;
  set?: string[];
  input?: string;
  context?: string;
  output?: string[];
  reuse?: "default" | "all" | "none";
  allowEffect?: string[];
  allowUnused?: boolean;
  reason?: string;
  by?: string;
  tag?: string[];
  idempotencyKey?: string;
};

const several = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];

/** Adds the options that say what is to be changed. */
export function withChange(command: Command): Command {
  return command
    .option("--from <key>", "this step runs again, and everything that is behind it")
    .option("--after <key>", "everything that is behind this step runs again")
    .option("--checkpoint <seq>", 'go on from this checkpoint of the run, or from its "last"')
    .option("--set <path=value>", "set a part of the input: JSON, else text; may be repeated", several)
    .option("--input <json>", "another input: JSON, @file, or - for standard input")
    .option("--context <json>", "another context: JSON, @file, or - for standard input")
    .option("--output <key=json>", "what a step returns, without being entered; may be repeated", several)
    .addOption(new Option("--reuse <mode>", "what may be reused").choices(["default", "all", "none"]))
    .option(
      "--allow-effect <key>",
      "once steps of this key or name may be entered again, charge#1 only the first; may be repeated",
      several,
    )
    .option("--allow-unused", "an output that is never asked for is no error")
    .option("--reason <text>", "why; kept on record")
    .option("--by <name>", "who asks; kept on record")
    .option("--tag <tag>", "tag of the new run; may be repeated", several)
    .option("--idempotency-key <key>", "however often it is asked for with this key, it is one new run");
}

/**
 * The change that the options stand for. Of the run no more is read than they need.
 *
 * @throws StemmaError `usage.invalid`, `json.invalid`, `step.not_found`
 */
export async function changeOf(options: ChangeOptions, stemma: Asked, run: RunId): Promise<Change> {
  const { reuse, allowUnused, reason, by, tag, idempotencyKey } = options;
  const keyOf = await keysOf(options, stemma, run);
  const outputs = await outputsOf(options.output ?? [], keyOf);
  // Whoever looks for one step by its input means that one, and none of its name.
  const allowed = (given: string): string => (asksForInput(given) ? exactKey(keyOf(given)) : given);
  return {
    ...(options.from === undefined ? {} : { from: keyOf(options.from) }),
    ...(options.after === undefined ? {} : { after: keyOf(options.after) }),
    ...(options.checkpoint === undefined ? {} : { checkpoint: checkpointOf(options.checkpoint) }),
    ...(await inputOf(options, stemma, run)),
    ...(options.context === undefined ? {} : { context: await readInput(options.context, "--context") }),
    ...(outputs === undefined ? {} : { outputs }),
    ...(reuse === undefined ? {} : { reuse }),
    ...(options.allowEffect === undefined ? {} : { allowEffects: options.allowEffect.map(allowed) }),
    ...(allowUnused === undefined ? {} : { allowUnused }),
    ...(reason === undefined ? {} : { reason }),
    ...(by === undefined ? {} : { by }),
    ...(tag === undefined ? {} : { tags: tag }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  };
}

function checkpointOf(text: string): number | "last" {
  if (text === "last") return text;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new StemmaError(
    "usage.invalid",
    `Expected --checkpoint to be the seq of one, or "last", got ${JSON.stringify(text)}.`,
  );
}

/** Keys as they are, but for those that ask for an input: then the run's steps are read. */
async function keysOf(options: ChangeOptions, stemma: Asked, run: RunId): Promise<(given: string) => string> {
  const given = [options.from, options.after, ...(options.allowEffect ?? []), ...(options.output ?? [])];
  if (!given.some((key) => key !== undefined && key.includes("[input"))) return (key) => key;
  const { list } = stepsOf(await stemma.history(run));
  const texts = await textsOf(
    stemma,
    list.map((step) => step.given),
  );
  return (key) => (asksForInput(key) ? stepKey(key, { list, texts }) : key);
}

async function outputsOf(given: readonly string[], keyOf: (key: string) => string): Promise<Change["outputs"]> {
  if (given.length === 0) return undefined;
  const outputs = new Map<string, Json | undefined>();
  for (const text of given) {
    const { key, value } = splitOutput(text);
    outputs.set(keyOf(key), await readInput(value, `--output ${key}`));
  }
  return Object.fromEntries(outputs);
}

/** At the first `=` that is not inside of brackets: `charge[input.order=17]={"ok":true}`. */
function splitOutput(text: string): { key: string; value: string } {
  const { key, value } = /^(?<key>[^=[\]]+(?:\[.*?\])?)=(?<value>.*)$/su.exec(text)?.groups ?? {};
  if (key !== undefined && value !== undefined) return { key, value };
  throw new StemmaError("usage.invalid", `Expected --output <key>=<json>, got ${JSON.stringify(text)}.`);
}

async function inputOf({ input, set }: ChangeOptions, stemma: Asked, run: RunId): Promise<Pick<Change, "input">> {
  if (input !== undefined && set !== undefined) {
    throw new StemmaError("usage.invalid", "Expected --input or --set, got both. Put everything into --input.");
  }
  if (input !== undefined) return { input: await readInput(input) };
  if (set === undefined) return {};
  let value = await inputOfRun(stemma, run);
  for (const text of set) {
    const at = text.indexOf("=");
    if (at < 1) throw new StemmaError("usage.invalid", `Expected --set <path>=<value>, got ${JSON.stringify(text)}.`);
    value = withValueAt(value, text.slice(0, at), jsonOrText(text.slice(at + 1)));
  }
  return { input: value };
}

async function inputOfRun(stemma: Asked, run: RunId): Promise<Json | undefined> {
  const page = await stemma.store.history(run, { after: -1, limit: 1 });
  const [stored] = page?.events ?? [];
  const event = stored === undefined ? undefined : unseal(stored);
  if (event?.type !== "run.created" || "undefined" in event.data.input) return undefined;
  const { input } = event.data;
  if ("inline" in input) return input.inline;
  const text = (await textsOf(stemma, [input])).get(input.digest);
  if (text !== undefined) return decode(text);
  throw new StemmaError(
    "payload.missing",
    `The input of ${run} is not in the store any more. Give a whole one: --input.`,
  );
}

async function textsOf(stemma: Asked, values: readonly (Value | undefined)[]): Promise<ReadonlyMap<Digest, string>> {
  const digests = values.flatMap((value) => (value !== undefined && "digest" in value ? [value.digest] : []));
  const texts = new Map<Digest, string>();
  for (let from = 0; from < digests.length; from += limits.pageRunsMax) {
    const page = await stemma.store.payloads(digests.slice(from, from + limits.pageRunsMax));
    for (const [digest, text] of page) texts.set(digest, text);
  }
  return texts;
}
