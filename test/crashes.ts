/**
 * Plays a workflow from its start to its end with a crash at each commit in turn: before it, so that nothing is written,
 * and behind it, so that nobody hears of it. Whoever acts on the run is asked again and again, in every life.
 */
import { Stemma } from "../src/index.ts";
import type { Event, RunHandle, Workflow } from "../src/index.ts";
import type { FakeClock } from "../src/testing.ts";
import { fakeClock, faults } from "../src/testing.ts";
import { crashStride, fresh, silent } from "./stage.ts";

/** What can be done to a run that has come to rest. */
export type Scene = { stemma: Stemma; run: RunHandle; history: readonly Event[]; clock: FakeClock };

export type Fault = { point: "commit.before" | "commit.after"; at: number };

export type Played = { history: readonly Event[]; crashed: boolean; fault: Fault | undefined };

const roundsMax = 40;

/** Plays it once. `act` is called whenever the run has come to rest; what it does must be right to be done again. */
export async function play(
  definition: Workflow<undefined>,
  act: (scene: Scene) => Promise<unknown>,
  fault?: Fault,
): Promise<Played> {
  const clock = fakeClock();
  const file = fresh();
  let store = faults(file);
  if (fault !== undefined) store.crash(fault.point, fault.at);
  let id: string | undefined;
  for (let lives = 1; lives <= 2; lives += 1) {
    const stemma = new Stemma({ store, workflows: [definition], clock, log: silent, warm: 0 }, { lingerMs: 30 });
    const life = async (): Promise<readonly Event[]> => {
      await stemma.start();
      id ??= (await stemma.run(definition, undefined)).id;
      const run = await stemma.get(id);
      for (let round = 0; round < roundsMax; round += 1) {
        await clock.advance("20s");
        const history = await run.history();
        if (hasEnded(history)) return history;
        await act({ stemma, run, history, clock });
      }
      throw new Error(`the run did not end: ${JSON.stringify((await run.history()).map(({ type }) => type))}`);
    };
    const history = await Promise.race([life(), store.crashed.then(() => undefined)]);
    if (history !== undefined) {
      await stemma.stop({ timeout: 1000 });
      await file.close();
      return { history, crashed: lives > 1, fault };
    }
    stemma.abandon();
    store = store.next();
  }
  throw new Error("one crash was armed, and there were two");
}

/**
 * Plays it without a crash, and then with one at each commit; `check` is told of each, and `begin` before it. Gives the
 * number of crashes.
 */
export async function playEveryCrash(
  definition: Workflow<undefined>,
  act: (scene: Scene) => Promise<unknown>,
  begin: () => void,
  check: (played: Played) => void,
): Promise<number> {
  begin();
  check(await play(definition, act));
  let crashes = 0;
  for (const point of ["commit.before", "commit.after"] as const) {
    for (let at = 1; ; at += crashStride) {
      begin();
      const played = await play(definition, act, { point, at });
      if (!played.crashed) break;
      crashes += 1;
      check(played);
    }
  }
  return crashes;
}

export function hasEnded(history: readonly Event[]): boolean {
  return /^run\.(?:succeeded|failed|cancelled|timed_out)$/.test(history.at(-1)?.type ?? "");
}

/** The last event about a step. */
export function lastAbout(history: readonly Event[], key: string): Event["type"] | undefined {
  return history.findLast((event) => "key" in event.data && event.data.key === key)?.type;
}

/** `type key` of each event about a step, wait or call. */
export function asks(history: readonly Event[]): string[] {
  return history.flatMap(({ type, data }) => ("key" in data ? [`${type} ${data.key}`] : []));
}
