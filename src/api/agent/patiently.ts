/** Requests of a node to its server, asked until they are answered: what a node says may have been paid for. */
import { isStemmaError } from "../../core/error.ts";
import type { Log } from "../../engine/body.ts";
import type { Connection, Wish } from "../client/connection.ts";
import type { ResultOf, RouteName } from "../contract/routes.ts";
import { pause } from "./pause.ts";

const pauseMs = { first: 100, max: 5000 };

/** Throws what the route throws and waiting does not help against; and the reason of the signal. */
export async function patiently<R extends RouteName>(
  { connection, log }: { connection: Connection; log: Log },
  route: R,
  wish: Wish<R> & { signal: AbortSignal },
): Promise<ResultOf<R>> {
  for (let tries = 0; ; tries += 1) {
    wish.signal.throwIfAborted();
    try {
      return await connection.ask(route, wish);
    } catch (error) {
      wish.signal.throwIfAborted();
      if (!isStemmaError(error) || !error.retryable) throw error;
      if (tries === 0)
        log.warn("The server is away; it is asked again until it answers", { route, error: error.message });
      await pause(Math.min(pauseMs.first * 2 ** Math.min(tries, 10), pauseMs.max), wish.signal);
    }
  }
}
