/** Loggers: the default one, silent but for what somebody must know, and those that say where a line comes from. */
import { inspect } from "node:util";
import type { Log } from "./body.ts";

const quiet = (): void => {};

export const defaultLog: Log = {
  debug: quiet,
  info: quiet,
  warn: (message, data) => console.warn(`stemma: ${message}${facts(data)}`),
  error: (message, data) => console.error(`stemma: ${message}${facts(data)}`),
};

function facts(data: Record<string, unknown> | undefined): string {
  if (data === undefined) return "";
  try {
    return ` ${JSON.stringify(data)}`;
  } catch {
    return ` ${inspect(data, { breakLength: Infinity })}`;
  }
}

/**
 * A logger for workflow code: every line also says where it comes from, whatever the caller gives under those names. It
 * never throws: what a line is about may be anybody's object, and a line is never worth the step that wrote it.
 *
 * @param heard whether lines are written now; always, if left out
 */
export function labelled(log: Log, labels: Readonly<Record<string, unknown>>, heard: () => boolean = () => true): Log {
  const at =
    (level: keyof Log): Log[keyof Log] =>
    (message, data) => {
      if (heard()) write(log, level, message, data, labels);
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

function write(log: Log, level: keyof Log, message: unknown, data: unknown, labels: Record<string, unknown>): void {
  try {
    const given = data === undefined || (typeof data === "object" && data !== null) ? data : { data };
    log[level](typeof message === "string" ? message : inspect(message), { ...given, ...labels });
  } catch (error) {
    try {
      log.warn("A line could not be logged", { ...labels, error: String(error) });
    } catch {
      // A logger that cannot even say so is left alone.
    }
  }
}
