/** Measurements of runs that wait, and of a worker that has only such. Each runs in a process of its own. */
import { countAt, countingClock, memory, watchIdle } from "../idle.ts";
import type { Where } from "../place.ts";
import { placeOf } from "../place.ts";
import { quantile } from "../spread.ts";
import { makeRuns, waiting, waitingForSignal, whenBehind } from "../waiting.ts";
import { open } from "../work.ts";

/** Until a worker that has nothing to do asks as seldom as it ever will. */
const settleMs = 3000;

/** Makes runs and leaves them suspended; for those who come after. */
export async function suspend({ runs, ...where }: Where & { runs: number }): Promise<Record<string, number>> {
  const place = placeOf(where);
  await using engine = await open(place, { workflows: [waiting] });
  await engine.start();
  await makeRuns(engine.stemma, place, runs);
  await engine.expectDurable();
  return { runs };
}

/**
 * A worker that has nothing to do: what is in the store when it starts is suspended, and so is what it then made, unless
 * that waited for nothing and has ended.
 */
export async function idle({
  make = 0,
  nothing = false,
  watchMs,
  ...where
}: Where & { make?: number; nothing?: boolean; watchMs: number }): Promise<Record<string, number>> {
  const place = placeOf(where);
  const statements = countAt(place);
  const { clock, armed } = countingClock();
  await using engine = await open(place, { workflows: [waiting], clock });
  await engine.start();
  if (make > 0) await makeRuns(engine.stemma, place, make, nothing);
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  const { rssMb, aliveMb } = await memory();
  const watched = await watchIdle(statements, watchMs);
  const timers = process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  return { rssMb, aliveMb, ...watched, armed: armed(), timers };
}

/**
 * Milliseconds from `stemma.signal()` to the first line of the step behind the wait, one signal after the other, in a
 * store in which many other runs wait too.
 */
export async function signals({ count, ...where }: Where & { count: number }): Promise<Record<string, number>> {
  const place = placeOf(where);
  await using engine = await open(place, { workflows: [waiting] });
  await engine.start();
  const { stemma } = engine;
  const warmUp = 20;
  const runs = await waitingForSignal(stemma, warmUp + count);
  const times: number[] = [];
  for (const run of runs) {
    // Whatever the last one set off is over, and the next one comes at no particular moment.
    await new Promise((resolve) => setTimeout(resolve, 30 + Math.random() * 30));
    const behind = Promise.withResolvers<number>();
    whenBehind(() => behind.resolve(performance.now()));
    const start = performance.now();
    await stemma.signal(run, "go");
    times.push((await behind.promise) - start);
  }
  const measured = times.slice(warmUp);
  await engine.expectDurable();
  return { p50: quantile(measured, 0.5), p99: quantile(measured, 0.99), max: Math.max(...measured) };
}
