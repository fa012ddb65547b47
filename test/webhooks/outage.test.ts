/** A store that is away for a while costs no message: the feed is read on where it was. */
import { expect, test } from "vitest";
import { StemmaError } from "../../src/core/error.ts";
import { workflow } from "../../src/index.ts";
import { around } from "../../src/testing/around.ts";
import { serve } from "../server/place.ts";
import { fresh, listening, until } from "../stage.ts";
import { receiver } from "./receiver.ts";

const done = workflow({ name: "done" }, () => 1);

test("while the feed cannot be read, or a delivery not be made, it is tried again, and everything is told once", async () => {
  await using at = await receiver();
  await using plain = fresh();
  let away: string | undefined;
  let refused = 0;
  const store = around(
    plain,
    ({ method, make }) => {
      if (method !== away) return make();
      refused += 1;
      throw new StemmaError("store.unavailable", "The store is away.");
    },
    {},
  );
  const awayFor = async (method: string): Promise<void> => {
    const before = refused;
    away = method;
    await until(() => refused >= before + 2);
  };
  const log = listening();
  await using served = await serve([done], { engine: { store }, log, webhooks: { allow: ["127.0.0.1"] } });
  const { client } = served;
  await client.webhooks.create({ url: at.url, events: ["run.succeeded"] });
  const ids: string[] = [];
  for (const _ of [1, 2, 3]) {
    away = "feed";
    const run = await client.run(done, undefined);
    ids.push(run.id);
    await until(async () => (await served.stemma.row(run.id)).state.status === "succeeded");
    await awayFor("feed");
    await awayFor("create");
    away = undefined;
  }
  await at.got(3);
  expect(at.requests.map(({ message }) => message.data["run"]).toSorted()).toEqual(ids.toSorted());
  expect(log.lines.some((line) => line.includes("The feed cannot be read for webhooks"))).toBe(true);
});
