/**
 * What one worker leaves, another carries on: handed over when it stops, and told of by the database. Leases last longer
 * than these tests could wait, so what is carried on was not taken from somebody who was thought dead.
 */
import { afterAll, describe, expect, test } from "vitest";
import { Stemma, workflow } from "../../src/index.ts";
import type { Workflow } from "../../src/index.ts";
import type { PostgresStore } from "../../src/postgres.ts";
import { postgres } from "../../src/postgres.ts";
import { pause } from "../crash/insist.ts";
import { dropSchema, newSchema, postgresUrl } from "../postgres/database.ts";
import type { Wire } from "../postgres/wire.ts";
import { wireTo } from "../postgres/wire.ts";
import { silent, until } from "../stage.ts";

const url = await postgresUrl();
const schemas: string[] = [];
afterAll(() => dropSchema(url, schemas));

const lease = "1h";
const everMs = 3_600_000;

/** What a worker has entered, with the time. */
type Entry = { run: string; worker: string; at: number };

describe("a worker that stops", () => {
  const runs = 40;
  const stepsOfEach = 25;

  /** Steps one after the other; each says who has done it. */
  const walk = (worker: string, entries: Entry[]): Workflow<undefined, string[]> =>
    workflow({ name: "walk" }, async (ctx) => {
      const by: string[] = [];
      for (let i = 0; i < stepsOfEach; i += 1) {
        const value = await ctx.step("walk", async () => {
          entries.push({ run: ctx.runId, worker, at: performance.now() });
          await pause(10);
          return worker;
        });
        by.push(value);
      }
      return by;
    });

  /** A step that one worker never comes to the end of. */
  const stay = (worker: string, entries: Entry[]): Workflow<undefined, string> =>
    workflow({ name: "stay" }, (ctx) =>
      ctx.step("stay", { retry: { attempts: 1 } }, async (_, { abort }) => {
        entries.push({ run: ctx.runId, worker, at: performance.now() });
        if (worker === "first") await new Promise((resolve) => abort.addEventListener("abort", resolve));
        return worker;
      }),
    );

  test("hands its runs over: another carries them on at once, and nothing is done again", async () => {
    const schema = newSchema();
    schemas.push(schema);
    const entries: Entry[] = [];
    const [here, there] = [postgres({ url, schema }), postgres({ url, schema })];
    const workerOf = (worker: string, store: PostgresStore): Stemma =>
      new Stemma({ store, workflows: [walk(worker, entries), stay(worker, entries)], lease, log: silent });
    const first = await workerOf("first", here).start();
    const ids: string[] = [];
    for (let i = 0; i < runs; i += 1) ids.push((await first.run(walk("", []), undefined)).id);
    const { id: staying } = await first.run(stay("", []), undefined);
    await until(() => [...ids, staying].every((id) => entries.some(({ run }) => run === id)));
    const second = await workerOf("second", there).start();

    const stoppedAt = performance.now();
    await first.stop({ timeout: 200 });
    const results = await Promise.all(ids.map(async (id) => (await second.get<string[]>(id)).result()));
    expect(await (await second.get(staying)).result()).toBe("second");

    const begun = [...ids, staying].map(
      (id) => entries.find(({ run, worker }) => run === id && worker === "second")?.at,
    );
    console.log(
      `hand-over of ${runs + 1} runs on PostgreSQL, one of them in a step that is aborted after 200 ms: the other ` +
        `worker was in the first after ${(Math.min(...begun.map(Number)) - stoppedAt).toFixed()} ms, in all after ` +
        `${(Math.max(...begun.map(Number)) - stoppedAt).toFixed()} ms`,
    );
    for (const [i, by] of results.entries()) {
      expect(by).toHaveLength(stepsOfEach);
      // What the first has done is on record as its own; the rest was done by the second.
      expect(new Set(by)).toEqual(new Set(["first", "second"]));
      expect(entries.filter(({ run }) => run === ids[i]).map(({ worker }) => worker)).toEqual(by);
    }
    await second.stop();
    await Promise.all([here.close(), there.close()]);
  });
});

describe("work that another process brings", () => {
  const ping = workflow({ name: "ping" }, async (ctx) => {
    await ctx.step("first", () => "done");
    return ctx.signal<string>("go");
  });

  /** Brings a run and a signal for it from a process that does not work, and waits for the end of the run. */
  async function bring(schema: string): Promise<unknown> {
    const store = postgres({ url, schema });
    const stemma = new Stemma({ store, log: silent });
    const run = await stemma.run(ping, undefined);
    await until(async () => (await run.status()) === "suspended");
    await stemma.signal(run.id, "go", "gone");
    const result = await run.result();
    await stemma.stop();
    await store.close();
    return result;
  }

  /** A worker behind a wire. It lingers for so little that the run is at rest when the signal comes. */
  async function working(wire: Wire, schema: string, idleMs: number, pollMs?: number): Promise<AsyncDisposable> {
    schemas.push(schema);
    const store = postgres({ url: wire.url, schema, idleMs });
    const seams = { lingerMs: 5, ...(pollMs === undefined ? {} : { pollMs }) };
    const stemma = await new Stemma({ store, workflows: [ping], lease, log: silent }, seams).start();
    return {
      async [Symbol.asyncDispose]() {
        await stemma.stop();
        await store.close();
        await wire.end();
      },
    };
  }

  test("is told of by the database: a worker that never polls does it", async () => {
    const schema = newSchema();
    await using _ = await working(await wireTo(url), schema, everMs, everMs);
    expect(await bring(schema)).toBe("gone");
  });

  test("is found by the poll where notifications never arrive, although LISTEN succeeds", async () => {
    const wire = await wireTo(url);
    wire.deaf = true;
    const schema = newSchema();
    // If it believed that it is told it would leave the database alone for longer and longer.
    await using _ = await working(wire, schema, everMs);
    expect(await bring(schema)).toBe("gone");
  });

  test("is found by the poll when notifications stop to arrive", async () => {
    const wire = await wireTo(url);
    const schema = newSchema();
    await using _ = await working(wire, schema, 300);
    expect(await bring(schema)).toBe("gone");
    wire.deaf = true;
    expect(await bring(schema)).toBe("gone");
  });
});
