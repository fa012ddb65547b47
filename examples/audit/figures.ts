/**
 * What the demonstration claims, and whether it is so. Money comes from the ledger of the paid service, the run from
 * the store, the crash from the operating system; connectedness is counted here, independently of the engine.
 */
import type { LedgerFigures } from "./ledger.ts";
import type { Bill } from "./repair.ts";

/** The one JSON object that `npm start --silent -- --once --json` prints. */
export type Figures = {
  /** Where the run is kept. */
  store: string;
  packages: number;
  charged: number;
  chargedTwice: number;
  requests: number;
  /** Requests for a key that the service had already answered with 200. */
  repeated: number;
  chargedBeforeCrash: number;
  crashes: number;
  run: string;
  status: string;
  connected: boolean;
  components: number;
  /** Whether a person approved of the report, and how often it was published. */
  approved: boolean;
  publications: number;
  /** Requests to the paid service for the restart, whatever came of them. */
  restartRequests: number;
  /** Packages that the fork was to ask about again, by its plan, and for which it did ask. */
  forkPlanned: number;
  forkRequests: number;
};

export type Graph = { nodes: readonly { id: string }[]; edges: readonly { from: string; to: string }[] };

export type Measured = {
  store: string;
  packages: number;
  ledger: LedgerFigures;
  ledgerAtCrash: LedgerFigures;
  crashes: number;
  run: string;
  status: string;
  trace: Graph;
  approved: boolean;
  bill: Bill;
  forkPlanned: number;
};

export function figures(measured: Measured): Figures {
  const { store, packages, ledger, ledgerAtCrash, crashes, run, status, trace, approved } = measured;
  const { bill, forkPlanned } = measured;
  const count = components(trace);
  return {
    store,
    packages,
    charged: ledger.charged,
    chargedTwice: ledger.chargedTwice,
    requests: ledger.requests,
    repeated: ledger.repeated,
    chargedBeforeCrash: ledgerAtCrash.charged,
    crashes,
    run,
    status,
    connected: count === 1,
    components: count,
    approved,
    publications: bill.fork.after.publications,
    restartRequests: bill.restart.after.requests - bill.restart.before.requests,
    forkPlanned,
    forkRequests: asked(bill.fork.after) - asked(bill.fork.before),
  };
}

/** Requests but those that the service refused because it was busy or broken, and that were made again. */
export function asked({ requests, byStatus }: LedgerFigures): number {
  return requests - (byStatus["429"] ?? 0) - (byStatus["500"] ?? 0);
}

/** What the figures should show and do not, in sentences; empty if all is well. */
export function broken(found: Figures, inFlightMax: number): string[] {
  const share = found.chargedBeforeCrash / found.charged;
  const promises: [boolean, string][] = [
    [found.status === "succeeded", `the run is ${found.status}, not succeeded`],
    [found.charged === found.packages, `${found.charged} keys were charged for ${found.packages} packages`],
    [found.chargedTwice === 0, `${found.chargedTwice} keys were charged twice`],
    [
      found.repeated <= inFlightMax,
      `${found.repeated} paid requests were repeated; at most ${inFlightMax} were in flight`,
    ],
    [found.crashes === 1, `${found.crashes} workers were killed, not 1`],
    [
      share >= 0.2 && share <= 0.8,
      `the worker was killed with ${found.chargedBeforeCrash} of ${found.charged} charged`,
    ],
    [found.connected, `the trace has ${found.components} components, not 1`],
    [found.approved, "nobody approved of the report"],
    [found.restartRequests === 0, `the restart made ${found.restartRequests} requests to the paid service, not 0`],
    [found.forkPlanned > 0, "the plan of the fork asks about no package"],
    [
      found.forkRequests === found.forkPlanned,
      `the fork made ${found.forkRequests} requests to the paid service, and ${found.forkPlanned} were planned`,
    ],
    [found.publications === 1, `the report was published ${found.publications} times, not once`],
  ];
  return promises.filter(([kept]) => !kept).map(([, complaint]) => complaint);
}

/**
 * Connected components of a graph, by union-find with path halving. The end of an edge that is no node joins nothing
 * and counts as a component of its own: an edge into nothing must not pass for a connection.
 */
export function components({ nodes, edges }: Graph): number {
  const parent = new Map<string, string>(nodes.map(({ id }) => [id, id]));
  const find = (start: string): string => {
    let at = start;
    for (let above = parent.get(at) ?? at; above !== at; above = parent.get(at) ?? at) {
      const next = parent.get(above) ?? above;
      parent.set(at, next);
      at = next;
    }
    return at;
  };
  const missing = new Set<string>();
  let count = parent.size;
  for (const { from, to } of edges) {
    for (const end of [from, to]) if (!parent.has(end)) missing.add(end);
    if (!parent.has(from) || !parent.has(to)) continue;
    const [a, b] = [find(from), find(to)];
    if (a === b) continue;
    parent.set(a, b);
    count -= 1;
  }
  return count + missing.size;
}
