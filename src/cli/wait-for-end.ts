/** `--wait`: a command that makes a run follows it to its end, says what happens on the way, and answers with its output. */
import { formatDuration } from "../core/duration.ts";
import type { RunHandle } from "../engine/run-handle.ts";
import { commandText } from "./command-text.ts";
import { relativeText, wordsOf } from "./look.ts";
import type { CommonOptions } from "./store-option.ts";
import { jsonText, note, paintNote, print, printJson, visible } from "./terminal.ts";

/** How long a run may lie there before it is worth saying that nobody has taken it. */
const untakenMs = 3000;

/** A run, here or on a server. */
export type Followed = Pick<RunHandle, "id" | "status" | "result" | "events">;

/**
 * The answer is the output; a run that ends otherwise is an error, and with `--json` the answer says so too.
 *
 * @param delayMs how long it is to lie there before anybody takes it
 */
export async function waitForEnd(run: Followed, options: CommonOptions, delayMs = 0): Promise<void> {
  if (options.json !== true) print(run.id);
  const untaken = setTimeout(
    () => note(paintNote("No worker has taken it yet: stemma worker works on runs.", "yellow")),
    delayMs + untakenMs,
  );
  try {
    await narrate(run, () => clearTimeout(untaken));
    const output = await run.result();
    if (options.json === true)
      printJson({ run: run.id, status: "succeeded", ...(output === undefined ? {} : { output }) });
    else if (output !== undefined) print(jsonText(output, 2));
  } catch (error) {
    if (options.json === true) printJson({ run: run.id, status: await run.status() });
    else note(paintNote(`Look at it: ${commandText(["show", run.id], options)}`, "dim"));
    throw error;
  } finally {
    clearTimeout(untaken);
  }
}

/** Says on standard error what happens to the run as a whole, until it ends. */
async function narrate(run: Followed, taken: () => void): Promise<void> {
  let createdAt: number | undefined;
  for await (const event of run.events()) {
    createdAt ??= event.at;
    if (event.seq > 0) taken();
    if (event.type === "run.suspended") {
      const { reason, until } = event.data;
      const when = until === undefined ? "" : `, goes on ${relativeText(until, Date.now())}`;
      note(paintNote(`suspended: ${wordsOf(reason)}${when}`, "yellow"));
    } else if (event.type === "step.failed") {
      note(`${paintNote("failed:", "red")} ${visible(event.data.key)}: ${visible(event.data.error.message)}`);
    } else if (event.type === "run.succeeded") {
      note(paintNote(`succeeded after ${formatDuration(event.at - createdAt)}`, "green"));
    }
  }
}
