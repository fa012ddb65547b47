/** What a worker costs while it does nothing: memory, timers, statements, time on the processor. */
import pg from "pg";

import { systemClock } from "../src/engine/clock.ts";
import type { Clock } from "../src/engine/clock.ts";
import { countStatements } from "./connections.ts";
import type { Place } from "./place.ts";
import { stopwatch } from "./stopwatch.ts";

/** The system's clock, and how many timers are set on it. */
export function countingClock(): { clock: Clock; armed(): number } {
  const armed = new Set<object>();
  const clock: Clock = {
    ...systemClock,
    after(ms, call, options) {
      const timer = {};
      armed.add(timer);
      const stop = systemClock.after(
        ms,
        () => {
          armed.delete(timer);
          call();
        },
        options,
      );
      return () => {
        armed.delete(timer);
        stop();
      };
    },
  };
  return { clock, armed: () => armed.size };
}

/** Counts the statements of this process from now on. */
export function countAt(place: Place): () => number {
  if (typeof place === "string") {
    const counts = countStatements();
    return () => counts.statements;
  }
  let statements = 0;
  const { query } = pg.Client.prototype as { query: (...args: unknown[]) => unknown };
  Object.defineProperty(pg.Client.prototype, "query", {
    value(this: unknown, ...args: unknown[]): unknown {
      statements += 1;
      return query.apply(this, args);
    },
  });
  return () => statements;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Memory of this process in MB, as the system has it and as the program has it alive, when garbage has been collected. */
export async function memory(): Promise<{ rssMb: number; aliveMb: number }> {
  for (let i = 0; i < 5; i++) {
    await pause(100);
    globalThis.gc?.();
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rssMb: rss / 2 ** 20, aliveMb: (heapUsed + external) / 2 ** 20 };
}

/** Watches an idle worker for a while: per second of that. */
export async function watchIdle(
  statements: () => number,
  ms: number,
): Promise<{ statementsPerSecond: number; cpuMsPerSecond: number }> {
  const before = statements();
  const read = stopwatch();
  await pause(ms);
  const { ms: passed, cpuMs } = read();
  const seconds = passed / 1000;
  return { statementsPerSecond: (statements() - before) / seconds, cpuMsPerSecond: cpuMs / seconds };
}
