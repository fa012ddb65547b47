/** What the parts of the story have in common: processes that are started, and runs that are followed to their ends. */
import { setTimeout as sleep } from "node:timers/promises";
import type { RunHandle, Stemma } from "../../src/index.ts";
import { startChild } from "./child.ts";
import type { Child, Exit } from "./child.ts";
import type { LedgerFigures } from "./ledger.ts";
import type { Progress } from "./progress.ts";
import { answerCommand } from "./show.ts";
import type { StorePlace } from "./store.ts";

/** How often the ledger is read while a run is followed. */
const followMs = 50;

/** Where everything is while the story is told. */
export type Scene = {
  stemma: Stemma;
  store: StorePlace;
  /** Address of the paid service. */
  service: string;
  /** The directory to audit, and the folder for what comes of it. */
  place: { dir: string; folder: string };
  /** How many packages there are. */
  total: number;
  out: Progress;
  /** Everything that is open, closed in the opposite order, whatever happens. */
  open: AsyncDisposableStack;
};

/** Follows a run to its end, however it ends, and answers what it asks. The worker must not end meanwhile. */
export async function follow<O>(scene: Scene, run: RunHandle<O>, worker: Child): Promise<void> {
  const { stemma, service, out, total } = scene;
  const charged = (await readLedger(service)).charged;
  const end = settling(run.result());
  let answered = false;
  await until(worker, followMs, async () => {
    const [ledger, status] = await Promise.all([readLedger(service), run.status()]);
    out.bar(Math.min(ledger.charged, total), total, ledger.charged > charged ? `${status}, charged` : status);
    if (!answered && status === "suspended" && (await stemma.waits({ run: run.id })).waits.length > 0) {
      await answer(scene, run.id);
      answered = true;
    }
    return end.settled;
  });
}

/** Shows what the run asks and how one answers it, and then answers, as a person would. */
async function answer({ stemma, store, out }: Scene, run: string): Promise<void> {
  const [open] = (await stemma.waits({ run })).waits;
  if (open === undefined) throw new Error(`expected ${run} to ask something`);
  const yes = { approve: true };
  out.line(`question      ${open.prompt} Whoever may decide that would ${"file" in store ? "type" : "call"}`);
  out.line(answerCommand(run, open.key, yes, store));
  await stemma.resume(run, open.key, yes, { by: "npm start" });
  out.line("answer        yes, given by this demonstration");
}

export async function start(
  { open }: Pick<Scene, "open">,
  program: string,
  args: readonly string[],
  env?: Readonly<Record<string, string>>,
): Promise<Child> {
  const child = await startChild(new URL(program, import.meta.url), args, env);
  open.defer(async () => {
    await child.stop();
  });
  return child;
}

export async function readLedger(service: string): Promise<LedgerFigures> {
  const response = await fetch(new URL("/ledger", service));
  if (!response.ok) throw new Error(`the paid service does not show its ledger: ${response.status}`);
  return (await response.json()) as LedgerFigures;
}

/** Asks `done` again and again; a worker that ends meanwhile, unasked, ends the demonstration. */
export async function until(worker: Child, everyMs: number, done: () => Promise<boolean>): Promise<void> {
  let end: Exit | undefined;
  void worker.exit.then((exit) => {
    end = exit;
  });
  while (!(await done())) {
    if (end) throw new Error(`worker ${worker.pid} ended with ${end.signal ?? end.code}:\n${worker.complaints()}`);
    await sleep(everyMs);
  }
}

/** A promise that can be asked whether it has settled; its failure is thrown where it is awaited, and nowhere else. */
function settling<T>(promise: Promise<T>): { promise: Promise<T>; settled: boolean } {
  const watched = { promise, settled: false };
  const settle = (): void => {
    watched.settled = true;
  };
  promise.then(settle, settle);
  return watched;
}
