/**
 * The proof with money on the table: real processes that are killed with SIGKILL at random instants, and the ledger of
 * the service that they ask. Its books say how often each function was really entered, whatever the engine believes.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { startChild } from "../examples/audit/child.ts";
import type { Child } from "../examples/audit/child.ts";
import { Stemma } from "../src/index.ts";
import type { Decision, RunHandle } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import { hasEnded } from "./crashes.ts";
import { ledgerKey, publishing } from "./once/worker.ts";
import { silent } from "./stage.ts";

const runsCount = 30;
const steps = 8;
/** So many at least, and no more than that: on a slow machine the work must come to its end. */
const killed = { min: 3, max: 24 };

let folder: string;
let open: AsyncDisposableStack;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stemma-once-"));
  open = new AsyncDisposableStack();
});
afterEach(async () => {
  await open.disposeAsync();
  rmSync(folder, { recursive: true });
});

async function start(program: string, ...args: string[]): Promise<Child> {
  const child = await startChild(new URL(program, import.meta.url), args);
  open.defer(async () => void (await child.stop()));
  return child;
}

/** What a person would do: look into the books of the service, and say what they say. */
function personAt(ledger: DatabaseSync, stemma: Stemma): (run: RunHandle) => Promise<void> {
  const find = ledger.prepare("select id as number, title from publications where key = ?");
  return async (run) => {
    const { reason, status } = (await stemma.row(run.id)).state;
    if (status !== "suspended" || reason !== "in_doubt") return;
    const history = await run.history();
    const doubt = history.findLast((event) => event.type === "step.in_doubt");
    if (doubt === undefined) throw new Error(`expected ${run.id} to say what is in doubt`);
    const found = find.get(ledgerKey(run.id, doubt.data.key));
    const decision: Decision = found === undefined ? "run" : { record: { ...found } };
    await stemma.decide(run.id, doubt.data.key, decision, { by: "a person" }).catch((error: unknown) => {
      // Decided a moment ago, and taken in since.
      if ((error as { code?: string }).code !== "step.not_in_doubt") throw error;
    });
  };
}

it(
  "a once function is never entered twice without a recorded decision, wherever SIGKILL strikes",
  // Each life of a worker takes seconds to begin where many want the processor.
  { timeout: 600_000 },
  async () => {
    const service = await start("../examples/audit/paid-service.ts", "--database", join(folder, "ledger.db"));
    const path = join(folder, "stemma.db");
    const store = open.adopt(sqlite(path), (opened) => opened.close());
    const stemma = open.use(new Stemma({ store, workflows: [publishing], log: silent }));
    const ledger = open.adopt(new DatabaseSync(join(folder, "ledger.db"), { readOnly: true }), (db) => db.close());
    const entered = ledger.prepare("select count(*) as n from publish_requests");
    const runs: RunHandle<number[]>[] = [];
    for (let n = 0; n < runsCount; n += 1) {
      const input = { service: String(service.ready["url"]), steps, reconciles: n % 2 === 0 };
      runs.push(await stemma.run(publishing, input));
    }

    const decide = personAt(ledger, stemma);
    const isOpen = async (run: RunHandle): Promise<boolean> => !hasEnded(await run.history());
    let worker = await start("once/worker.ts", "--store", path);
    let killAt = performance.now() + Math.random() * 400;
    let kills = 0;
    let enteredBefore = 0;
    const left = new Set(runs);
    while (left.size > 0) {
      for (const run of left) {
        if (await isOpen(run)) await decide(run);
        else left.delete(run);
      }
      await sleep(5);
      // At random, and at shares of the work too: on a machine that stalls, random instants may all come too late.
      const enteredNow = Number(entered.get()?.["n"]);
      const share = enteredNow / (runsCount * steps);
      const isDue = performance.now() >= killAt || share >= (kills + 1) / (killed.min + 2);
      // Who has not come to anything yet has nothing to lose, and would be killed again and again for nothing.
      if (!isDue || kills === killed.max || enteredNow === enteredBefore) continue;
      enteredBefore = enteredNow;
      expect((await worker.kill()).signal).toBe("SIGKILL");
      kills += 1;
      worker = await start("once/worker.ts", "--store", path);
      // The lease of the dead has to run out before anything happens.
      killAt = performance.now() + 200 + Math.random() * 600;
    }

    let decided = 0;
    const entries = ledger.prepare("select count(*) as n from publish_requests where key = ?");
    const publications = ledger.prepare("select count(*) as n from publications where key = ?");
    for (const [n, run] of runs.entries()) {
      const history = await run.history();
      expect(await run.result()).toHaveLength(steps);
      for (let step = 0; step < steps; step += 1) {
        const key = `publish ${step}`;
        const about = history.filter(({ data }) => "key" in data && data.key === key);
        const allowed = 1 + about.filter(({ type, data }) => type === "step.decided" && data.decision === "run").length;
        const by = about.flatMap((event) => (event.type === "step.decided" ? [event.data.by] : []));
        decided += by.length;
        expect(new Set(by).isSubsetOf(new Set([n % 2 === 0 ? "reconcile" : "a person"]))).toBe(true);
        const where = `${run.id} ${key}: ${about.map(({ type }) => type).join(", ")}`;
        expect(Number(entries.get(ledgerKey(run.id, key))?.["n"]), where).toBeLessThanOrEqual(allowed);
        expect(publications.get(ledgerKey(run.id, key))?.["n"], where).toBe(1);
      }
    }
    // A proof in which nothing was at stake would be none.
    expect(kills).toBeGreaterThanOrEqual(killed.min);
    expect(decided).toBeGreaterThanOrEqual(killed.min);
  },
);
