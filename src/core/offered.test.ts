import { expect, test } from "vitest";

import type { RunState } from "./reduce.ts";
import { noWorkerOffers } from "./offered.ts";

const state = (status: RunState["status"]): RunState =>
  ({ workflow: "audit", version: 3, status }) as Partial<RunState> as RunState;

test("of a run that is open and that nobody offers it is said what to do; of any other nothing", () => {
  expect(noWorkerOffers({ offered: false, state: state("suspended") })).toBe(
    "no worker offers audit@3: start a worker with that version, or restart the runs with one that is offered",
  );
  expect(noWorkerOffers({ offered: true, state: state("suspended") })).toBeUndefined();
  for (const status of ["succeeded", "failed", "cancelled", "timed_out"] as const) {
    expect(noWorkerOffers({ offered: false, state: state(status) })).toBeUndefined();
  }
});
