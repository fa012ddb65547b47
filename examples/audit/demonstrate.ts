/**
 * The story that `npm start` tells: an audit that is paid by the request, whose worker is killed in the middle with
 * SIGKILL, and which another worker finishes, up to the question whether the report may be published. Returns what was
 * measured on the way; what it shows goes to a screen.
 */
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Stemma } from "../../src/index.ts";
import { audit } from "./audit.ts";
import type { AuditOutput } from "./audit.ts";
import { startChild } from "./child.ts";
import type { Child, Exit } from "./child.ts";
import { figures } from "./figures.ts";
import type { Figures } from "./figures.ts";
import type { LedgerFigures } from "./ledger.ts";
import { listPackages } from "./packages.ts";
import type { Progress } from "./progress.ts";
import { answerCommand } from "./show.ts";
import { openStore, placeAt, toldToWorker } from "./store.ts";
import type { StoreChoice, StorePlace } from "./store.ts";
import { traceTree } from "./tree.ts";

/** The worker is killed when this share of the packages is charged. */
const killShare = 0.4;
/** How often the ledger is read: often enough to meet the moment of the kill, calmly afterwards. */
const huntMs = 5;
const followMs = 50;
/** With fewer packages there is no middle in which to kill a worker that has eight in flight. */
const packagesMin = 20;

export type Place = {
  /** The directory to audit. */
  dir: string;
  /** Where the ledger and the report are kept, and the runs if they are kept in a file. */
  folder: string;
  store: StoreChoice;
  out: Progress;
  /** Everything that is open, closed in the opposite order by the caller, whatever happens. */
  open: AsyncDisposableStack;
};

export type Story = { figures: Figures; output: AuditOutput; tree: string[]; store: StorePlace };

export async function demonstrate(place: Place): Promise<Story> {
  const { dir, folder, out } = place;
  const total = (await listPackages(dir)).length;
  if (total < packagesMin) throw new Error(`expected at least ${packagesMin} packages in ${dir}, found ${total}`);

  const store = await keep(place);
  const runs = place.open.adopt(openStore(store), (opened) => opened.close());
  // A database that cannot be used is an error before anything is paid for.
  await runs.list({ limit: 1 });
  out.line(`store         ${runs.name}`);

  const paid = await start(place, "paid-service.ts", ["--database", join(folder, "ledger.db")]);
  const service = String(paid.ready["url"]);
  out.line(`paid service  ${service}, process ${paid.pid}`);

  const stemma = place.open.use(new Stemma({ store: runs, workflows: [audit] }));
  const run = await stemma.run(audit, { dir, service, out: join(folder, "report") });
  out.line(`run           ${run.id}: ${total} packages of ${relative(process.cwd(), dir) || dir}`);

  const told = toldToWorker(store);
  const first = await start(place, "worker.ts", told.args, told.env);
  out.line(`worker        process ${first.pid}`);
  await until(first, huntMs, async () => {
    const { charged } = await readLedger(service);
    out.bar(charged, total, "classified and charged");
    return charged >= total * killShare;
  });
  const exits: Exit[] = [await first.kill()];
  const ledgerAtCrash = await readLedger(service);
  out.line(
    `crash         process ${first.pid} got ${exits[0]?.signal} with ${ledgerAtCrash.charged} of ${total} charged`,
  );

  const second = await start(place, "worker.ts", told.args, told.env);
  out.line(`worker        process ${second.pid} takes over`);
  const result = settling(run.result());
  const follow = (done: () => boolean | Promise<boolean>): Promise<void> =>
    until(second, followMs, async () => {
      const [{ charged }, status] = await Promise.all([readLedger(service), run.status()]);
      out.bar(charged, total, status);
      return result.settled || (await done());
    });
  await follow(async () => (await stemma.waits({ run: run.id })).waits.length > 0);
  if (!result.settled) await answer(stemma, run.id, store, out);
  await follow(() => false);
  const output = await result.promise;
  exits.push(await second.stop());

  const trace = await run.trace();
  const measured = figures({
    store: runs.name,
    packages: output.packages,
    ledger: await readLedger(service),
    ledgerAtCrash,
    crashes: exits.filter(({ signal }) => signal === "SIGKILL").length,
    run: run.id,
    status: await run.status(),
    trace,
    approved: output.approved,
  });
  return { figures: measured, output, tree: traceTree(trace), store };
}

/** Where the runs are kept; starts a server for them if that is what was asked for. */
async function keep(place: Place): Promise<StorePlace> {
  const { store, folder, out } = place;
  if (store === "sqlite") return { file: join(folder, "stemma.db") };
  if (store !== "postgres") return placeAt(store.url, true);
  const server = await start(place, "postgres-server.ts", []);
  const { url, pid, folder: data } = server.ready;
  out.line(
    `postgres      process ${Number(pid)} of process ${server.pid}, for as long as this takes, in ${String(data)}`,
  );
  return placeAt(String(url), false);
}

/** Shows what the run asks and how one answers it, and then answers, as a person would. */
async function answer(stemma: Stemma, run: string, store: StorePlace, out: Progress): Promise<void> {
  const [open] = (await stemma.waits({ run })).waits;
  if (open === undefined) throw new Error(`expected ${run} to ask something`);
  const yes = { approve: true };
  out.line(`question      ${open.prompt} Whoever may decide that would ${"file" in store ? "type" : "call"}`);
  out.line(answerCommand(run, open.key, yes, store));
  await stemma.resume(run, open.key, yes, { by: "npm start" });
  out.line("answer        yes, given by this demonstration");
}

async function start(
  place: Place,
  program: string,
  args: readonly string[],
  env?: Readonly<Record<string, string>>,
): Promise<Child> {
  const child = await startChild(new URL(program, import.meta.url), args, env);
  place.open.defer(async () => {
    await child.stop();
  });
  return child;
}

async function readLedger(service: string): Promise<LedgerFigures> {
  const response = await fetch(new URL("/ledger", service));
  if (!response.ok) throw new Error(`the paid service does not show its ledger: ${response.status}`);
  return (await response.json()) as LedgerFigures;
}

/** Asks `done` again and again; a worker that ends meanwhile, unasked, ends the demonstration. */
async function until(worker: Child, everyMs: number, done: () => Promise<boolean>): Promise<void> {
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
