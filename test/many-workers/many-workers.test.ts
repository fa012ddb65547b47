/**
 * Four worker processes on one PostgreSQL, for half a minute in which they are killed, stopped past their leases, and
 * lose the server: every run ends, no acknowledged step is lost or carried out again, what is done once is done once, the
 * feed has every event once, and every trace is connected. And the same with something broken: it is noticed.
 */
import { describe, expect, test } from "vitest";
import type { ChaosOptions } from "./chaos.ts";
import { chaos } from "./chaos.ts";
import { faultsOfTail } from "./tail.ts";

const seed = Number(process.env["STEMMA_SEED"] ?? Date.now() % 1_000_000);
const chaosMs = Number(process.env["STEMMA_CHAOS_SECONDS"] ?? 30) * 1000;

describe.skipIf(process.platform === "win32")("many workers on one PostgreSQL", () => {
  test("lose nothing and do nothing twice, whoever dies and whoever comes back", { timeout: 300_000 }, async () => {
    const started = performance.now();
    // Nobody was spared, or there was no chaos.
    const atLeast = chaosMs / 10_000;
    const found = await chaos({ seed, chaosMs, atLeast, patienceMs: 20_000, freezes: 0.5, gapMs: 1500 });
    console.log(
      `4 workers, seed ${seed}: ${found.kills} kills (${found.inFlush} in a flush, ${found.inStep} in a step, ` +
        `${found.idle} idle), ${found.stops} stops past the lease (runs taken in ${found.taken}, ${found.late} late), ` +
        `${found.restarts} restart of the server (${found.restartMs.toFixed()} ms), ${found.runs} runs, ` +
        `${found.steps} steps, ${found.doubts} in doubt, ${found.events} events, ` +
        `settled in ${(found.settleMs / 1000).toFixed(1)} s, ${((performance.now() - started) / 1000).toFixed(1)} s`,
    );
    expect(found.faults).toEqual([]);
    expect(found.restarts).toBe(1);
    expect(Math.min(found.kills, found.stops, found.taken)).toBeGreaterThanOrEqual(atLeast);
    expect(found.inFlush + found.inStep).toBeGreaterThan(0);
    expect(found.runs).toBeGreaterThan(chaosMs / 1000);
    // What the reader had would not pass with an event less, one more, or two in another order.
    const { read, truth } = found;
    for (const at of [0, Math.floor(read.length / 2), read.length - 2]) {
      const [before, pair, after] = [read.slice(0, at), read.slice(at, at + 2), read.slice(at + 2)];
      for (const other of [pair.slice(1), [...pair, ...pair.slice(1)], pair.toReversed()]) {
        expect(faultsOfTail([...before, ...other, ...after], truth)).not.toEqual([]);
      }
    }
  });

  test.each<[string, Partial<ChaosOptions>]>([
    // What one that lost a run writes fits only until the next one writes, which is a while where the store is far away.
    ["a worker that lost a run can still write to it", { bug: "no-fence", freezes: 0.8, gapMs: 400, farMs: 15 }],
    ["steps that must be entered once leave no intent", { bug: "no-intent" }],
    ["the server answers before it has written anything down", { forgetfulServer: true }],
  ])("that is noticed when %s", { timeout: 300_000 }, async (what, broken) => {
    const faults: string[] = [];
    for (let tries = 0; tries < 12 && faults.length === 0; tries += 1) {
      const usual = { chaosMs: 6000, patienceMs: 3000, freezes: 0.4, gapMs: 1000 };
      const found = await chaos({ seed: seed + 1 + tries, ...usual, ...broken });
      faults.push(...found.faults);
    }
    console.log(`${what}: ${faults.length} faults, such as: ${faults[0]}`);
    expect(faults.length).toBeGreaterThan(0);
  });
});
