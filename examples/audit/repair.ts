/**
 * How the story goes on when everything is paid for and the audit has failed: the bug is fixed and the run restarted,
 * which asks the paid service for nothing; then it is forked with another prompt for one family of licences, which asks
 * for the packages of that family and for no others, as the plan said.
 */
import { join } from "node:path";
import type { Comparison, Plan, RunHandle } from "../../src/index.ts";
import type { AuditOutput } from "./audit.ts";
import type { Child, Exit } from "./child.ts";
import { follow, readLedger, start } from "./following.ts";
import type { Scene } from "./following.ts";
import type { LedgerFigures } from "./ledger.ts";
import { firstPrompts, listFamilies, secondFamily, textOnlyPrompt } from "./prompts.ts";
import { toldToWorker } from "./store.ts";

/** What the ledger said before and after each part of the story. */
export type Bill = Record<"first" | "restart" | "fork", { before: LedgerFigures; after: LedgerFigures }>;

export type Repaired = {
  failed: RunHandle<AuditOutput>;
  restarted: RunHandle<AuditOutput>;
  forked: RunHandle<AuditOutput>;
  output: AuditOutput;
  restartPlan: Plan;
  forkPlan: Plan;
  /** Packages that the plan of the fork runs again. */
  forkPlanned: number;
  family: string;
  comparison: Comparison;
  bill: Bill;
  /** How the worker with the fixed code ended. */
  exit: Exit;
};

export async function repair(scene: Scene, failed: RunHandle<AuditOutput>): Promise<Repaired> {
  const { stemma, store, service, out } = scene;
  const before = await readLedger(service);
  out.line(`failure       ${await failureOf(failed)}`);
  const restartPlan = await stemma.plan(failed.id);
  out.line(`plan          a restart reuses ${restartPlan.totals.reuse} steps and runs ${restartPlan.totals.run}`);
  const told = toldToWorker(store);
  const worker = await start(scene, "worker.ts", told.args, told.env);
  out.line(`worker        process ${worker.pid}, with the summary fixed`);
  const reason = "the summary counts a licence also when it meets it for the first time";
  const restarted = await stemma.restart<AuditOutput>(failed.id, { reason, by: "npm start" });
  out.line(`restart       ${restarted.id}`);
  await follow(scene, restarted, worker);
  const output = await restarted.result();
  const between = await readLedger(service);
  out.line(`paid          ${between.requests - before.requests} requests for the restart`);

  const { forked, family, forkPlan, forkPlanned } = await explore(scene, restarted, worker);
  const after = await readLedger(service);
  const comparison = await stemma.compare(restarted.id, forked.id);
  const exit = await worker.stop();
  const bill = {
    first: { before: nothing(before), after: before },
    restart: { before, after: between },
    fork: { before: between, after },
  };
  return { failed, restarted, forked, output, restartPlan, forkPlan, forkPlanned, family, comparison, bill, exit };
}

/** The fork: what is asked about one family is changed, and nothing else. */
async function explore(
  scene: Scene,
  run: RunHandle<AuditOutput>,
  worker: Child,
): Promise<Pick<Repaired, "forked" | "family" | "forkPlan" | "forkPlanned">> {
  const { stemma, out } = scene;
  const { dir, folder } = scene.place;
  const family = secondFamily(await listFamilies(dir));
  const change = {
    patch: { out: join(folder, "report-of-the-fork"), prompts: { ...firstPrompts, [family]: textOnlyPrompt } },
    reason: `what do the texts alone say of ${family}?`,
    by: "npm start",
  };
  const forkPlan = await stemma.plan(run.id, change, { dryRun: true });
  const forkPlanned = forkPlan.steps.filter(isPaid).length;
  out.line(`plan          a fork with another prompt for ${family} asks about ${forkPlanned} packages again`);
  const forked = await stemma.fork<AuditOutput>(run.id, change);
  out.line(`fork          ${forked.id}`);
  await follow(scene, forked, worker);
  await forked.result();
  return { forked, family, forkPlan, forkPlanned };
}

function isPaid({ key, verdict }: Plan["steps"][number]): boolean {
  return verdict === "run" && key.startsWith("classify/");
}

/** Which steps ended a run, and how. */
async function failureOf(run: RunHandle): Promise<string> {
  try {
    await run.result();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error(`expected ${run.id} to fail: its workers have the summary with the bug`);
}

function nothing(ledger: LedgerFigures): LedgerFigures {
  return { ...ledger, requests: 0, charges: 0, charged: 0, amount: 0, byStatus: {} };
}
