/** `stemma verify`: whether what is stored is what was written. Exit code 1 where it is not. */
import type { Command } from "commander";
import type { Flaw } from "../../core/chain-check.ts";
import { StemmaError } from "../../core/error.ts";
import type { Verification, VerifyProgress } from "../../engine/verify.ts";
import { findRun, runArgument } from "../find-run.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { paint, print, printJson, visible } from "../terminal.ts";

type VerifyCommandOptions = CommonOptions & { family?: boolean; all?: boolean; expect?: string };

export function addVerify(program: Command): void {
  const command = program
    .command("verify")
    .description("prove that a run, or everything, is as it was written; exit code 1 where it is not")
    .addArgument(runArgument().argOptional())
    .option("--all", "everything in the store, as without a run")
    .option("--family", "the runs connected to it too")
    .option(
      "--expect <head>",
      "a head that this command gave for the run before (SEQ:HASH): nothing was rewritten since",
    );
  withPlaceOptions(command).action(verify);
}

async function verify(given: string | undefined, options: VerifyCommandOptions): Promise<void> {
  if (given !== undefined && options.all === true) throw new StemmaError("usage.invalid", "Give a run or --all.");
  const expect = options.expect === undefined ? undefined : headOf(options.expect);
  await using place = await openPlace(options);
  const { stemma } = place;
  const run = given === undefined ? undefined : (await findRun(stemma, given)).id;
  const progress = progressTo(process.stderr);
  const found = await stemma.verify(run, {
    family: options.family === true,
    onProgress: progress.show,
    ...(expect === undefined ? {} : { expect }),
  });
  progress.clear();
  if (options.json === true) printJson(found);
  else print(...linesOf(found));
  if (!found.ok) process.exitCode = 1;
}

const headForm = /^(\d{1,9}):([0-9a-f]{64})$/;

function headOf(text: string): { seq: number; hash: string } {
  const [, seq, hash] = headForm.exec(text) ?? [];
  if (seq === undefined || hash === undefined) {
    const found = JSON.stringify(text.slice(0, 100));
    throw new StemmaError(
      "usage.invalid",
      `Expected --expect to be SEQ:HASH as stemma verify prints it, got ${found}.`,
    );
  }
  return { seq: Number(seq), hash };
}

/** A line that is written anew where somebody watches. */
function progressTo(stream: NodeJS.WriteStream): { show: (progress: VerifyProgress) => void; clear: () => void } {
  let last = 0;
  const show = ({ runs, events }: VerifyProgress): void => {
    const now = performance.now();
    if (!stream.isTTY || now - last < 200) return;
    last = now;
    stream.write(`\r${count(runs, "run")}, ${count(events, "event")} …\u001b[K`);
  };
  return { show, clear: () => void (last > 0 && stream.write("\r\u001b[K")) };
}

function linesOf({ ok, runs, events, payloads, flaws, more, head }: Verification): string[] {
  const what = `${count(runs, "run")}, ${count(events, "event")}, ${count(payloads, "payload")}`;
  if (ok) {
    const lines = [`${paint("as written", "green")}  ${what}`];
    if (head !== undefined) lines.push(paint(`head  ${head.seq}:${head.hash}`, "dim"));
    return lines;
  }
  const total = flaws.length + more;
  const lines = [`${paint(`not as written: ${count(total, "place")}`, "red")}  ${what}`, ...flaws.map(lineOf)];
  if (more > 0) lines.push(paint(`… and ${more} more`, "dim"));
  return lines;
}

function lineOf({ run, seq, kind, message }: Flaw): string {
  return `${visible(run)}  ${seq === undefined ? "-" : `event ${seq}`}  ${paint(kind, "red")}  ${visible(message)}`;
}

function count(n: number, what: string): string {
  return `${n.toLocaleString("en-US")} ${what}${n === 1 ? "" : "s"}`;
}
