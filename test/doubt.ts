/** A step that is in doubt, for tests of what becomes of it. */
import { expect } from "vitest";
import { workflow } from "../src/index.ts";
import type { Event, RunHandle, Stemma, StepOptions, Workflow } from "../src/index.ts";
import { until } from "./stage.ts";

type Options = Omit<StepOptions<undefined>, "input" | "effect">;

/** A step that is in doubt after its first attempt, and succeeds with the second; `entered` counts. */
export function doubtful(options: Options = {}, fails = 1): { definition: Workflow<undefined>; entered: number[] } {
  const entered: number[] = [];
  const definition = workflow({ name: "doubtful" }, (ctx) =>
    ctx.step("charge", { effect: "once", ...options }, (_, step) => {
      entered.push(step.attempt);
      if (entered.length <= fails) throw new Error("connection lost");
      return "charged by the step";
    }),
  );
  return { definition, entered };
}

/** Waits until the run rests in doubt about these steps and no others. */
export async function inDoubt(stemma: Stemma, run: RunHandle, ...keys: string[]): Promise<void> {
  await until(async () => {
    const { status, reason } = (await stemma.row(run.id)).state;
    return status === "suspended" && reason === "in_doubt";
  });
  const rest = (await run.history()).findLast((event) => event.type === "run.suspended");
  expect(rest?.data).toMatchObject({ reason: "in_doubt", detail: keys });
}

/** How often the intent of a step is on record. */
export const entriesOf: (history: readonly Event[], key: string) => number = (
  history: readonly Event[],
  key: string,
): number => history.filter((event) => event.type === "step.started" && event.data.key === key).length;
/** How often it was decided that a step may be entered again. */
export const decidedRun: (history: readonly Event[]) => number = (history: readonly Event[]): number =>
  history.filter((event) => event.type === "step.decided" && event.data.decision === "run").length;
