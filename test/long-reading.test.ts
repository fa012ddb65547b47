/** What a worker does while it reads a run whose history is long. */
import { expect, test } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import { around } from "../src/testing/around.ts";
import { fresh, silent, until } from "./stage.ts";

const patient = workflow({ name: "patient" }, async (ctx) => {
  const before = await ctx.map("item", [1, 2, 3, 4], (item) => item);
  return [...before, await ctx.signal("go")];
});
const quick = workflow({ name: "quick" }, (ctx) => ctx.step("one", () => "done"));
const workflows = [patient, quick];

test("a run that takes long to read holds up no other, and the worker that reads it keeps its lease", async () => {
  await using store = fresh();
  const first = new Stemma({ store, workflows, log: silent }, { lingerMs: 5 });
  await first.start();
  const { id } = await first.run(patient, undefined);
  await until(async () => (await first.row(id)).state.status === "suspended");
  await first.stop();
  await new Stemma({ store, workflows }).signal(id, "go", 5);

  const read = Promise.withResolvers<void>();
  let reading = false;
  let beats = 0;
  const slow = around(
    store,
    ({ method, args, make }) => {
      if (method === "heartbeat") beats += 1;
      if (method !== "history" || args[0] !== id) return make();
      reading = true;
      return read.promise.then(() => make());
    },
    {},
  );
  const second = new Stemma({ store: slow, workflows, lease: "300ms", log: silent }, { longEvents: 3, pollMs: 5 });
  await second.start();
  await until(() => reading);
  expect(await (await second.run(quick, undefined)).result()).toBe("done");
  const since = beats;
  await until(() => beats > since + 1);
  expect((await new Stemma({ store }).row(id)).state.status).not.toBe("succeeded");
  const stopped = second.stop();
  read.resolve();
  await stopped;

  await using third = await new Stemma({ store, workflows, log: silent }).start();
  expect(await (await third.get(id)).result()).toEqual([1, 2, 3, 4, 5]);
});
