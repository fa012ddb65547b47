/** `stemma decide`: says what is to become of a `once` step of which nobody knows whether it happened. */
import type { Command } from "commander";
import { StemmaError } from "../../core/error.ts";
import type { Decision } from "../../engine/decision.ts";
import { expectSame } from "../../engine/decided.ts";
import { findRun, runArgument } from "../find-run.ts";
import { readInput } from "../input-option.ts";
import type { ByOptions } from "../request.ts";
import { afterTakenIn, byOf, noteNotTaken, withBy } from "../request.ts";
import type { CommonOptions } from "../store-option.ts";
import type { Asked } from "../place.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { print, printJson, visible } from "../terminal.ts";

type DecideOptions = CommonOptions & ByOptions & { record?: string; run?: boolean; fail?: string; key?: string };

export function addDecide(program: Command): void {
  const command = program
    .command("decide")
    .description("say what is to become of a step in doubt")
    .addArgument(runArgument())
    .argument("<key>", "key of the step, as stemma show names it")
    .option("--record <json>", "it happened, and this is its output: JSON, @file, or - for standard input")
    .option("--run", "it did not happen: run it again")
    .option("--fail <message>", "it has failed")
    .option("--key <key>", "idempotency key: a second decision with it is the same decision");
  withPlaceOptions(withBy(command)).action(decide);
}

async function decide(given: string, key: string, options: DecideOptions): Promise<void> {
  const decision = await decisionOf(options);
  await using place = await openPlace(options);
  const { stemma } = place;
  const { id, state } = await findRun(stemma, given);
  const once = options.key === undefined ? {} : { idempotencyKey: options.key };
  await stemma.decide(id, key, decision, { ...byOf(options), ...once });
  const { row, taken } = await afterTakenIn(stemma, id);
  const word = decision === "run" ? "run" : "record" in decision ? "record" : "fail";
  if (taken) await expectDecided(stemma, { run: id, asked: state.seq, key, word, once: options.key });
  if (options.json === true)
    return printJson({ run: id, step: key, decision: word, state: taken ? "recorded" : "sent" });
  print(`decided ${visible(key)}: ${word}`);
  if (!taken) noteNotTaken("The decision", row);
}

type Sent = { run: string; key: string; word: "record" | "run" | "fail"; once: string | undefined };

/** A decision that was taken in is not on record where the step itself, or somebody else, was faster. */
async function expectDecided(stemma: Asked, { run, asked, key, word, once }: Sent & { asked: number }): Promise<void> {
  const about = (await stemma.history(run)).filter(({ data }) => "key" in data && data.key === key);
  for (const { type, seq, data } of about)
    if (type === "step.decided" && (seq > asked || (once !== undefined && data.message === once)))
      return expectSame(run, data, word);
  // It was said before.
  if (about.findLast(({ seq }) => seq <= asked)?.type !== "step.in_doubt") return;
  throw new StemmaError("step.not_in_doubt", `The decision about ${key} of ${run} came when nobody waited for it.`, {
    data: { run, step: key },
  });
}

async function decisionOf({ record, run = false, fail }: DecideOptions): Promise<Decision> {
  const given = [record !== undefined, run, fail !== undefined].filter(Boolean).length;
  if (given !== 1) {
    throw new StemmaError(
      "usage.invalid",
      `Expected one of --record <json>, --run and --fail <message>, got ${given === 0 ? "none" : given} of them. Look at the service first: did it happen?`,
    );
  }
  if (record !== undefined) return { record: await readInput(record, "--record") };
  return fail === undefined ? "run" : { fail: new Error(fail) };
}
