/**
 * The story that `npm start` tells: an audit that is paid by the request, whose worker is killed in the middle with
 * SIGKILL, and which another worker takes over. When everything is paid for it fails, because of a bug in its summary;
 * `repair.ts` tells how it goes on. Returns what was measured on the way; what it shows goes to a screen.
 */
import { join, relative } from "node:path";
import { Stemma } from "../../src/index.ts";
import { audit } from "./audit.ts";
import type { AuditOutput } from "./audit.ts";
import type { Exit } from "./child.ts";
import { figures } from "./figures.ts";
import type { Figures } from "./figures.ts";
import { follow, readLedger, start, until } from "./following.ts";
import type { Scene } from "./following.ts";
import { listPackages } from "./packages.ts";
import type { Progress } from "./progress.ts";
import { repair } from "./repair.ts";
import type { Repaired } from "./repair.ts";
import { openStore, placeAt, toldToWorker } from "./store.ts";
import type { StoreChoice, StorePlace } from "./store.ts";
import { traceTree } from "./tree.ts";

/** The worker is killed when this share of the packages is charged. */
const killShare = 0.4;
/** How often the ledger is read: often enough to meet the moment of the kill. */
const huntMs = 5;
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

export type Story = {
  figures: Figures;
  output: AuditOutput;
  tree: string[];
  store: StorePlace;
  repaired: Repaired;
};

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

  const scene: Scene = { stemma, store, service, place, total, out, open: place.open };
  const told = toldToWorker(store);
  // The code of these workers has a bug, which nobody knows of yet.
  const args = [...told.args, "--summary", "first"];
  const first = await start(place, "worker.ts", args, told.env);
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

  const second = await start(place, "worker.ts", args, told.env);
  out.line(`worker        process ${second.pid} takes over`);
  await follow(scene, run, second);
  exits.push(await second.stop());

  const repaired = await repair(scene, run);
  exits.push(repaired.exit);
  const { restarted, output } = repaired;
  const trace = await stemma.trace(run.id, { family: true });
  const measured = figures({
    store: runs.name,
    packages: output.packages,
    ledger: repaired.bill.restart.after,
    ledgerAtCrash,
    crashes: exits.filter(({ signal }) => signal === "SIGKILL").length,
    run: restarted.id,
    status: await restarted.status(),
    trace,
    approved: output.approved,
    bill: repaired.bill,
    forkPlanned: repaired.forkPlanned,
  });
  return { figures: measured, output, tree: traceTree(await restarted.trace()), store, repaired };
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
