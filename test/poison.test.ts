/**
 * Runs that kill whoever works on them. They are found out by the deaths that they cause, they are set aside with the
 * name of what they were at, and the runs beside them come to their end.
 */
import { describe, expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { StemmaOptions, Workflow } from "../src/index.ts";
import type { Store } from "../src/index.ts";
import { fresh, silent, until } from "./stage.ts";

/** Lives of a worker, each until something kills it, or until `done`. Gives how many there were. */
async function lives(
  store: Store,
  workflowsOf: (die: () => void) => readonly Workflow[],
  done: (stemma: Stemma) => Promise<boolean>,
  options: Partial<StemmaOptions> = {},
): Promise<number> {
  for (let life = 1; ; life += 1) {
    let dead = false;
    let stemma: Stemma | undefined;
    const die = (): void => {
      dead = true;
      stemma?.abandon();
    };
    stemma = new Stemma({ store, workflows: workflowsOf(die), log: silent, lease: 100, poisonAfter: 5, ...options });
    await stemma.start();
    await until(async () => dead || (await done(stemma)));
    stemma.abandon();
    if (!dead) return life;
  }
}

const poison = (die: () => void): Workflow<undefined> =>
  workflow({ name: "poison" }, async (ctx) => {
    await ctx.step("before", () => 1);
    await ctx.step("deadly", () => {
      die();
      return new Promise(() => {});
    });
  });

describe("a run that kills its workers", () => {
  it("is set aside after five deaths, and says what it was at", async () => {
    await using store = fresh();
    const client = new Stemma({ store, log: silent });
    const { id } = await client.run(
      poison(() => {}),
      undefined,
    );
    const status = async (): Promise<string> => (await client.row(id)).state.status;
    const count = await lives(
      store,
      (die) => [poison(die)],
      async () => (await status()) === "suspended",
    );
    // The first life recorded a step, which is progress; five more found none.
    expect(count).toBe(7);
    expect((await client.row(id)).state).toMatchObject({ status: "suspended", reason: "poison" });
    const suspended = (await client.history(id)).at(-1);
    expect(suspended?.data).toMatchObject({ reason: "poison", detail: { claims: 5, steps: ["deadly"] } });
    expect((await client.row(id)).dueAt).toBeNull();
  });

  it("is set aside sooner if the worker says so", async () => {
    await using store = fresh();
    const client = new Stemma({ store, log: silent });
    const { id } = await client.run(
      poison(() => {}),
      undefined,
    );
    const done = async (): Promise<boolean> => (await client.row(id)).state.reason === "poison";
    expect(await lives(store, (die) => [poison(die)], done, { poisonAfter: 1 })).toBe(3);
  });

  it("does not take the runs beside it along, though they never got to the end of a step before", async () => {
    await using store = fresh();
    const client = new Stemma({ store, log: silent });
    // Longer than any life of a worker that has the poison in hand.
    const long = workflow({ name: "long" }, (ctx) =>
      ctx.step("work", () => new Promise((resolve) => setTimeout(() => resolve("done"), 150))),
    ) as Workflow<undefined>;
    const runs = [];
    for (let i = 0; i < 4; i += 1) runs.push(await client.run(long, undefined));
    const { id } = await client.run(
      poison(() => {}),
      undefined,
    );
    for (let i = 0; i < 4; i += 1) runs.push(await client.run(long, undefined));
    const over = async (): Promise<boolean> => {
      const rows = (await client.list()).runs.map(({ state }) => state.reason ?? state.status);
      return rows.every((status) => status === "succeeded" || status === "poison");
    };
    await lives(store, (die) => [poison(die), long], over);
    for (const run of runs) expect(await run.status()).toBe("succeeded");
    expect((await client.row(id)).state.reason).toBe("poison");
  }, 30_000);
});

it("a run that is handed from worker to worker in a row of deploys is not taken for poison", async () => {
  await using store = fresh();
  let entered = 0;
  const definition = workflow({ name: "patient" }, (ctx) =>
    ctx.step("work", (_, { abort }) => {
      entered += 1;
      return new Promise((_resolve, reject) => abort.addEventListener("abort", reject));
    }),
  ) as Workflow<undefined>;
  const client = new Stemma({ store, log: silent });
  const { id } = await client.run(definition, undefined);
  for (let deploy = 0; deploy < 8; deploy += 1) {
    const stemma = new Stemma({ store, workflows: [definition], log: silent }, { pollMs: 5 });
    await stemma.start();
    await until(() => entered > deploy);
    await stemma.stop({ timeout: 1 });
  }
  expect((await client.row(id)).state.status).toBe("running");
  expect((await client.row(id)).claims).toBe(0);
});
