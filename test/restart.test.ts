/** Restart and fork, as a user sees them: what runs again, what is reused, what is on record of it. */
import { expect, test } from "vitest";
import { workflow } from "../src/index.ts";
import { errorOf, outline, stage } from "./stage.ts";

/** A workflow that counts how often each of its steps was entered. */
function counted(): { entered: string[]; enter<T>(name: string, value: T): T } {
  const entered: string[] = [];
  return {
    entered,
    enter(name, value) {
      entered.push(name);
      return value;
    },
  };
}

test("a run whose last step failed is restarted: that step runs, and nothing that succeeded runs again", async () => {
  const world = counted();
  let broken = true;
  const audit = workflow({ name: "audit" }, async (ctx, input: { dir: string }) => {
    const files = await ctx.step("list", { input: input.dir }, (dir) => world.enter("list", [`${dir}/a`, `${dir}/b`]));
    const found = await ctx.map("classify", files, { concurrency: 2 }, (file) => world.enter(`classify ${file}`, file));
    const text = await ctx.step("draft", () => world.enter("draft", "text"));
    return ctx.step("summary", { input: found }, (all) => {
      world.enter("summary", 0);
      if (broken) throw new Error("a bug");
      return `${all.length} ${text}`;
    });
  });
  await using place = await stage([audit]);
  const { stemma } = place;
  const run = await stemma.run(audit, { dir: "x" });
  expect((await errorOf(run.result())).code).toBe("run.failed");
  const before = JSON.stringify(await run.history());
  broken = false;
  world.entered.length = 0;
  const again = await stemma.restart<string>(run.id);
  expect(await again.result()).toBe("2 text");
  expect(world.entered).toEqual(["summary"]);
  expect(await outline(again)).toEqual([
    "run.created",
    "run.started",
    "step.reused list",
    "step.reused classify",
    "step.reused classify#2",
    "scope.closed",
    "step.reused draft",
    "step.succeeded summary",
    "run.succeeded",
  ]);
  expect(JSON.stringify(await run.history())).toBe(before);
});
