/** What commands have in common that go on until they are told to stop: they hear signals, and say what happens. */
import type { Log } from "../engine/body.ts";
import type { Style } from "./terminal.ts";
import { jsonText, note, paintNote, visible } from "./terminal.ts";

type Signal = "SIGINT" | "SIGTERM";

const exitBySignal = { SIGINT: 130, SIGTERM: 143 } as const;

/** Resolves at the first signal; the second ends the process, as a crash would: others take over when the lease ends. */
export function stopSignal(): Promise<Signal> {
  const { promise, resolve } = Promise.withResolvers<Signal>();
  let asked = false;
  const hear = (signal: Signal): void => {
    if (asked) process.exit(exitBySignal[signal]);
    asked = true;
    resolve(signal);
  };
  process.on("SIGINT", hear);
  process.on("SIGTERM", hear);
  return promise;
}

/** Lines such as `12:03:11 warn  A run was lost to another worker {"run":"run_…"}`. */
export function stderrLog(): Log {
  const write =
    (level: string, style: Style): Log["info"] =>
    (message, data) => {
      const time = new Date().toTimeString().slice(0, 8);
      const facts = data === undefined ? "" : ` ${paintNote(factsText(data), "dim")}`;
      note(`${paintNote(time, "dim")} ${paintNote(level.padEnd(5), style)} ${visible(message)}${facts}`);
    };
  const debug = process.env["STEMMA_DEBUG"] ? write("debug", "dim") : (): void => {};
  return { debug, info: write("info", "green"), warn: write("warn", "yellow"), error: write("error", "red") };
}

/** Facts come from the code of workflows too, so they may be no JSON at all; a log line is not worth an error. */
function factsText(data: Record<string, unknown>): string {
  try {
    return jsonText(data);
  } catch {
    return "(facts that are no JSON)";
  }
}
