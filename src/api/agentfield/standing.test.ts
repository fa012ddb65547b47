import { expect, test } from "vitest";
import { workflow } from "../../index.ts";
import { stage } from "../../../test/stage.ts";
import { Bounded } from "./bounded.ts";
import { readExecution } from "./standing.ts";
import type { Wire } from "./wire.ts";

test("what was read before its end is not said to have ended: its result is not in it", async () => {
  const f = workflow({ name: "node.f" }, () => ({ done: true }));
  await using at = await stage([f]);
  const run = await at.stemma.run(f, undefined);
  await run.result();
  const wire = { stemma: at.stemma, awaiting: new Bounded<string>(1) } as unknown as Wire;
  const before = { id: run.id, run: run.id, target: "node.f", status: "suspended", attempt: 1, waits: [] } as const;
  expect(await readExecution(wire, before)).toMatchObject({ status: "running", completed_at: null });
  expect(await readExecution(wire, { ...before, status: "succeeded" })).toMatchObject({ status: "succeeded" });
});
