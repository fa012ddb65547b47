/** The default logger: silent but for what somebody must know, which goes to standard error. */
import type { Log } from "./body.ts";

const quiet = (): void => {};

export const defaultLog: Log = {
  debug: quiet,
  info: quiet,
  warn: (message, data) => console.warn(`stemma: ${message}${facts(data)}`),
  error: (message, data) => console.error(`stemma: ${message}${facts(data)}`),
};

function facts(data: Record<string, unknown> | undefined): string {
  return data === undefined ? "" : ` ${JSON.stringify(data)}`;
}
