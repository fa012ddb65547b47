/**
 * Runs that wait: for an answer, for days to pass, or for a signal, a third of them each; behind it there is one step.
 * Those of the kind `nothing` do not wait, to compare with.
 */
import { workflow } from "../src/index.ts";
import type { Status, Stemma, Workflow } from "../src/index.ts";
import type { Place } from "./place.ts";
import { readAt } from "./place.ts";

export type Kind = "answer" | "time" | "signal" | "nothing";

const waits: readonly Kind[] = ["answer", "time", "signal"];

let entered: (() => void) | undefined;

/** Has somebody told when the step behind a wait is entered: its first line. */
export function whenBehind(call: () => void): void {
  entered = call;
}

export const waiting: Workflow<Kind, string> = workflow({ name: "waiting" }, async (ctx, kind: Kind) => {
  if (kind === "answer") await ctx.wait("approval", { prompt: "Go on?" });
  else if (kind === "time") await ctx.sleep("3d");
  else if (kind === "signal") await ctx.signal("go");
  return ctx.step("behind", () => {
    entered?.();
    return kind;
  });
});

/** Made at a time. */
const batch = 500;

/** Makes so many runs and waits until all of them are suspended, or, where they wait for nothing, have ended. */
export async function makeRuns(stemma: Stemma, place: Place, runs: number, nothing: boolean = false): Promise<void> {
  const kinds = nothing ? (["nothing"] as const) : waits;
  for (let from = 0; from < runs; from += batch) {
    const some = Array.from({ length: Math.min(batch, runs - from) }, (_, i) => kinds[(from + i) % kinds.length]);
    await Promise.all(some.map((kind = "nothing") => stemma.run(waiting, kind)));
  }
  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 200));
  while ((await count(place, nothing ? "succeeded" : "suspended")) < runs) await pause();
}

async function count(place: Place, status: Status): Promise<number> {
  const [row] = await readAt(place, (runs) => `select count(*) as n from ${runs} where status = '${status}'`);
  return Number(row?.["n"]);
}

/** Ids of so many suspended runs that wait for a signal. */
export async function waitingForSignal(stemma: Stemma, runs: number): Promise<string[]> {
  const found: string[] = [];
  for (let cursor: string | undefined; found.length < runs;) {
    const page = await stemma.waits({ name: "go", limit: 200, ...(cursor === undefined ? {} : { cursor }) });
    found.push(...page.waits.map(({ run }) => run));
    cursor = page.cursor;
    if (cursor === undefined) break;
  }
  if (found.length < runs) throw new Error(`Expected ${runs} runs that wait for a signal, found ${found.length}.`);
  return found.slice(0, runs);
}
