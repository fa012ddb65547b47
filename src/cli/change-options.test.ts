import { Command } from "commander";
import { expect, test } from "vitest";
import { errorOf, stage } from "../../test/stage.ts";
import { workflow } from "../authoring/workflow/workflow.ts";
import type { Change } from "../engine/change.ts";
import type { ChangeOptions } from "./change-options.ts";
import { changeOf, withChange } from "./change-options.ts";

type Order = { order: number; items: string[] };

const shop = workflow({ name: "shop" }, async (ctx, { orders }: { orders: Order[]; note?: string }) => {
  await ctx.map("charge", orders, ({ order }) => order * 10);
  await ctx.step("ship", () => "x".repeat(2000));
});

/** The change that these words stand for, on a run of two orders. */
async function changeFor(...words: string[]): Promise<Change> {
  await using play = await stage([shop]);
  const big = "b".repeat(3000);
  const orders = [
    { order: 17, items: ["a"] },
    { order: 18, items: [big] },
  ];
  const run = await play.stemma.run(shop, { orders });
  await run.result();
  let options: ChangeOptions = {};
  const command = withChange(new Command("fork")).exitOverride();
  command.configureOutput({ writeErr: () => {} }).action((given: ChangeOptions) => {
    options = given;
  });
  command.parse(words, { from: "user" });
  return await changeOf(options, play.stemma, run.id);
}

const everything = [
  "--from ship --reuse all --reason why --by ada --tag a --tag b",
  `--allow-effect pay --allow-unused --idempotency-key k --context {"model":"x"}`,
].flatMap((words) => words.split(" "));

test("what is typed is the change that the API takes, and what is not typed is not in it", async () => {
  expect(await changeFor()).toEqual({});
  expect(await changeFor(...everything)).toEqual({
    from: "ship",
    reuse: "all",
    reason: "why",
    by: "ada",
    tags: ["a", "b"],
    allowEffects: ["pay"],
    allowUnused: true,
    idempotencyKey: "k",
    context: { model: "x" },
  });
  expect(await changeFor("--after", "charge#2")).toEqual({ after: "charge#2" });
  expect(await changeFor("--checkpoint", "last")).toEqual({ checkpoint: "last" });
  expect(await changeFor("--checkpoint", "12")).toEqual({ checkpoint: 12 });
});

test("a part of the input is set by its path, and the rest of the source's input stays, also a large one", async () => {
  const { input } = await changeFor(
    "--set",
    "orders[0].order=5",
    "--set",
    "note=hello",
    "--set",
    'orders[1].items=["y"]',
  );
  expect(input).toEqual({
    orders: [
      { order: 5, items: ["a"] },
      { order: 18, items: ["y"] },
    ],
    note: "hello",
  });
  expect(await changeFor("--input", `{"orders":[]}`)).toEqual({ input: { orders: [] } });
  expect((await errorOf(changeFor("--set", "orders[9]=1"))).code).toBe("usage.invalid");
  expect((await errorOf(changeFor("--set", "=1"))).code).toBe("usage.invalid");
  expect((await errorOf(changeFor("--set", "a=1", "--input", "{}"))).code).toBe("usage.invalid");
});

test("a step is named by its key, or by a part of what it was given", async () => {
  expect(await changeFor("--from", "charge[input.order=17]")).toEqual({ from: "charge" });
  expect(await changeFor("--after", "charge[input.order=18]")).toEqual({ after: "charge#2" });
  expect(await changeFor("--allow-effect", "charge[input.items[0]=a]")).toEqual({ allowEffects: ["charge#1"] });
  expect(await changeFor("--allow-effect", "charge[input.order=18]")).toEqual({ allowEffects: ["charge#2"] });
  expect((await errorOf(changeFor("--from", "charge[input.order=19]"))).code).toBe("step.not_found");
  expect((await errorOf(changeFor("--from", "pay[input.order=17]"))).message).toContain("None is called pay.");
});

test("outputs are given by key, as JSON that is read strictly", async () => {
  expect(await changeFor("--output", `ship={"at":"dock=3"}`, "--output", "charge[input.order=18]=7")).toEqual({
    outputs: { ship: { at: "dock=3" }, "charge#2": 7 },
  });
  expect((await errorOf(changeFor("--output", "ship=dock"))).code).toBe("json.invalid");
  expect((await errorOf(changeFor("--output", "ship"))).code).toBe("usage.invalid");
  expect((await errorOf(changeFor("--checkpoint", "soon"))).code).toBe("usage.invalid");
});
