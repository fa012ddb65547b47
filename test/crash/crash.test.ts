/**
 * Real worker processes, killed with SIGKILL and frozen with SIGSTOP while they work: nothing that was acknowledged is
 * lost, nothing on record runs again, no run is stuck. And the same with a bug planted in the workers: it is noticed.
 */
import { afterAll, describe, expect, test } from "vitest";
import { dropSchema, newSchema, postgresUrl } from "../postgres/database.ts";
import type { Outcome, RoundsOptions } from "./rounds.ts";
import { rounds } from "./rounds.ts";
import type { Bug } from "./store.ts";

const seed = Number(process.env["STEMMA_SEED"] ?? Date.now() % 1_000_000);
const kills = Number(process.env["STEMMA_KILLS"] ?? 152);
/** On PostgreSQL fewer, for there a worker's death leaves no file behind that could be half written. */
const killsOfClients = Number(process.env["STEMMA_KILLS"] ?? 60);

const schemas: string[] = [];
afterAll(async () => schemas.length > 0 && dropSchema(await postgresUrl(), schemas));

const usual: Omit<RoundsOptions, "seed" | "kills"> = { freezes: 0.12, lastFreezes: 2, patienceMs: 15_000 };

const timeout = { timeout: 300_000 };

async function place(kind: "sqlite" | "postgres"): Promise<Pick<RoundsOptions, "database">> {
  if (kind === "sqlite") return {};
  const schema = newSchema();
  schemas.push(schema);
  return { database: { url: await postgresUrl(), schema } };
}

describe.skipIf(process.platform === "win32")("a worker killed at any instant", () => {
  test.each([
    ["sqlite", kills],
    ["postgres", killsOfClients],
  ] as const)(
    "loses no acknowledged step, has none run again, and leaves no run stuck: %s",
    timeout,
    async (kind, count) => {
      const started = performance.now();
      // Two worlds side by side: while a process of one is being started, those of the other work.
      const worlds = await Promise.all(
        [0, 1].map(async (i) =>
          rounds({ ...usual, ...(await place(kind)), seed: seed + i, kills: Math.ceil(count / 2) }),
        ),
      );
      const sum = (key: Exclude<keyof Outcome, "faults">): number =>
        worlds.reduce((total, world) => total + world[key], 0);
      console.log(
        `${kind}, seed ${seed}: ${sum("kills")} kills (${sum("inFlush")} in a flush, ${sum("inStep")} in a step, ${sum("idle")} idle), ` +
          `${sum("stops")} freezes (${sum("late")} late), ${sum("runs")} runs, ${sum("steps")} steps, ${sum("events")} events, ` +
          `${((performance.now() - started) / 1000).toFixed(1)} s`,
      );
      expect(worlds.flatMap((world) => world.faults)).toEqual([]);
      expect(sum("kills")).toBeGreaterThanOrEqual(count);
      expect(sum("inFlush") + sum("inStep")).toBeGreaterThanOrEqual(count / 2);
      expect(sum("stops")).toBeGreaterThan(count / 40);
    },
  );

  test.each<[string, Bug]>([
    ["an outcome is delivered before its flush", "eager"],
    ["a worker that lost a run can still write to it", "no-fence"],
    ["events are taken whatever position they were meant for", "no-seq"],
  ])("is noticed when %s", { timeout: 180_000 }, async (_, bug) => {
    const faults: string[] = [];
    for (let tries = 0; tries < 6 && faults.length === 0; tries += 1) {
      const lived = await rounds({
        ...usual,
        seed: seed + 100 + tries,
        kills: 16,
        freezes: 0.35,
        patienceMs: 3000,
        bug,
      });
      faults.push(...lived.faults);
    }
    console.log(`${bug}: ${faults.length} faults, such as: ${faults[0]}`);
    expect(faults.length).toBeGreaterThan(0);
  });
});
