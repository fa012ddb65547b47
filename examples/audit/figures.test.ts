import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { broken, components, figures } from "./figures.ts";
import type { Figures, Graph } from "./figures.ts";

const good: Figures = {
  store: "sqlite",
  packages: 100,
  charged: 100,
  chargedTwice: 0,
  requests: 110,
  repeated: 3,
  chargedBeforeCrash: 43,
  crashes: 1,
  run: "run_x",
  status: "succeeded",
  connected: true,
  components: 1,
  approved: true,
  publications: 1,
  restartRequests: 0,
  forkPlanned: 7,
  forkRequests: 7,
};

describe("connected components", () => {
  test("edges join, whatever their direction and order", () => {
    const nodes = ["a", "b", "c", "d"].map((id) => ({ id }));
    expect(components({ nodes, edges: [] })).toBe(4);
    expect(
      components({
        nodes,
        edges: [
          { from: "a", to: "b" },
          { from: "d", to: "c" },
        ],
      }),
    ).toBe(2);
    expect(
      components({
        nodes,
        edges: [
          { from: "a", to: "b" },
          { from: "d", to: "c" },
          { from: "d", to: "b" },
        ],
      }),
    ).toBe(1);
  });

  test("an edge into nothing joins nothing and is never connected", () => {
    const nodes = [{ id: "a" }, { id: "b" }];
    expect(
      components({
        nodes,
        edges: [
          { from: "a", to: "x" },
          { from: "x", to: "b" },
        ],
      }),
    ).toBe(3);
  });

  test("agrees with walking the graph, on any graph", () => {
    const edge = fc.record({ from: fc.nat(19), to: fc.nat(19) });
    fc.assert(
      fc.property(fc.array(edge, { maxLength: 40 }), (pairs) => {
        const nodes = Array.from({ length: 20 }, (_, n) => ({ id: `${n}` }));
        const edges = pairs.map(({ from, to }) => ({ from: `${from}`, to: `${to}` }));
        expect(components({ nodes, edges })).toBe(walked({ nodes, edges }));
      }),
    );
  });
});

function walked({ nodes, edges }: Graph): number {
  const seen = new Set<string>();
  let count = 0;
  for (const { id } of nodes) {
    if (seen.has(id)) continue;
    count += 1;
    const pending = [id];
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      if (seen.has(at)) continue;
      seen.add(at);
      for (const { from, to } of edges) if (from === at || to === at) pending.push(from, to);
    }
  }
  return count;
}

describe("the figures", () => {
  test("come from the ledger, the store and the trace", () => {
    const charges = {
      requests: 110,
      charges: 100,
      charged: 100,
      chargedTwice: 0,
      repeated: 3,
      amount: 1,
      byStatus: {},
    };
    const ledger = { ...charges, publications: 1, publishRequests: 1 };
    const trace = { nodes: [{ id: "a" }, { id: "b" }], edges: [{ from: "a", to: "b" }] };
    const ledgerAtCrash = { ...ledger, charged: 43 };
    const afterFork = { ...ledger, requests: 120, byStatus: { "429": 2, "500": 1 } };
    const bill = {
      first: { before: ledger, after: ledger },
      restart: { before: ledger, after: ledger },
      fork: { before: ledger, after: afterFork },
    };
    expect(
      figures({
        store: "sqlite",
        packages: 100,
        ledger,
        ledgerAtCrash,
        crashes: 1,
        run: "run_x",
        status: "succeeded",
        trace,
        approved: true,
        bill,
        forkPlanned: 7,
      }),
    ).toEqual(good);
  });

  test("good ones break no promise", () => {
    expect(broken(good, 8)).toEqual([]);
  });

  test.each<Partial<Figures>>([
    { status: "failed" },
    { charged: 99 },
    { chargedTwice: 1 },
    { repeated: 9 },
    { crashes: 0 },
    { crashes: 2 },
    { chargedBeforeCrash: 19 },
    { chargedBeforeCrash: 81 },
    { connected: false, components: 2 },
    { restartRequests: 1 },
    { forkRequests: 8 },
    { forkPlanned: 0, forkRequests: 0 },
  ])("%j is a broken promise, and the only one", (worse) => {
    expect(broken({ ...good, ...worse }, 8)).toHaveLength(1);
  });
});
