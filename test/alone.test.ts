/** What is for one run alone: another run of its line has to find it out anew, and a signal is sent once. */
import { expect, test } from "vitest";
import { rootScope } from "../src/authoring/workflow/context.ts";
import { workflow } from "../src/index.ts";
import type { Workflow } from "../src/index.ts";
import { stage } from "./stage.ts";

const entered: string[] = [];

/** Two steps with equal declared inputs; only one of them may be reused by other runs. */
const asking: Workflow = {
  name: "asking",
  version: 1,
  source: "1",
  body(operations, info) {
    const scope = rootScope(info.segment);
    const step = async (name: string, more: { reuse?: "never" }): Promise<void> => {
      const causes = scope.causes();
      const run = (): number => entered.push(name);
      scope.take(await operations.step({ scope: "", name, causes, input: { value: 1 }, run, ...more }), causes);
    };
    const done = step("shared", {}).then(() => step("own", { reuse: "never" }));
    return { done, causes: () => scope.causes() };
  },
};

test("a step that is its run's alone is on record, and runs again in a restart, as the plan says", async () => {
  await using theatre = await stage([asking]);
  const run = await theatre.stemma.run(asking, undefined);
  await run.result();
  const { steps } = await theatre.stemma.plan(run.id);
  expect(steps.map(({ key, verdict }) => `${key} ${verdict}`)).toEqual(["shared reuse", "own run"]);
  const again = await theatre.stemma.restart(run.id);
  await again.result();
  expect(entered).toEqual(["shared", "own", "own"]);
});

test("a signal that is sent again under its key is not a new one", async () => {
  const waiting = workflow({ name: "waiting" }, async (ctx) => [await ctx.signal("s"), await ctx.signal("s")]);
  await using theatre = await stage([waiting]);
  const { stemma } = theatre;
  const run = await stemma.run(waiting, undefined);
  expect(await stemma.signal(run.id, "s", 1, { idempotencyKey: "one" })).toEqual({ accepted: true });
  expect(await stemma.signal(run.id, "s", 2, { idempotencyKey: "one" })).toEqual({ accepted: false });
  expect(await stemma.signal(run.id, "s", 3)).toEqual({ accepted: true });
  expect(await run.result()).toEqual([1, 3]);
});
