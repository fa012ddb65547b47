/**
 * The definition of a store, as tests: every promise of the interface, kept and refused, each under its own title. A
 * store that passes all of it can be given to the engine; there is nothing else that it must do, and nothing to skip.
 */
import { StemmaError } from "../core/error.ts";
import { claimGuarantees } from "./conformance/claim.ts";
import { commitGuarantees } from "./conformance/commit.ts";
import { contentGuarantees } from "./conformance/content.ts";
import { createGuarantees } from "./conformance/create.ts";
import { effectsGuarantees } from "./conformance/effects.ts";
import { feedGuarantees } from "./conformance/feed.ts";
import type { Check, CreateStore } from "./conformance/fixture.ts";
import { openBench } from "./conformance/fixture.ts";
import { historyGuarantees } from "./conformance/history.ts";
import { leaseGuarantees } from "./conformance/lease.ts";
import { lifeGuarantees } from "./conformance/life.ts";
import { listGuarantees } from "./conformance/list.ts";
import { offeredGuarantees } from "./conformance/offered.ts";
import { packGuarantees } from "./conformance/packs.ts";
import { pruneGuarantees } from "./conformance/prune.ts";
import { releaseGuarantees } from "./conformance/release.ts";
import { reuseGuarantees } from "./conformance/reuse.ts";
import { sendGuarantees } from "./conformance/send.ts";
import { streamGuarantees } from "./conformance/stream.ts";

/** How a runner registers a group of tests, and one test. Those of `node:test` and of vitest fit. */
export type TestFunctions = {
  describe(title: string, body: () => void): unknown;
  it(title: string, body: () => Promise<void>): unknown;
};

export type StoreConformance = {
  /** Opens a fresh, empty store that takes its time from the given clock; called once for each guarantee. */
  create: CreateStore;
} & Partial<TestFunctions>;

const subjects: Readonly<Record<string, (check: Check) => void>> = {
  create: createGuarantees,
  claim: claimGuarantees,
  lease: leaseGuarantees,
  commit: commitGuarantees,
  release: releaseGuarantees,
  send: sendGuarantees,
  history: historyGuarantees,
  content: contentGuarantees,
  list: listGuarantees,
  offered: offeredGuarantees,
  reuse: reuseGuarantees,
  effects: effectsGuarantees,
  feed: feedGuarantees,
  stream: streamGuarantees,
  packs: packGuarantees,
  prune: pruneGuarantees,
  life: lifeGuarantees,
};

/**
 * Registers one test per guarantee of a store with a test runner.
 *
 * @param options `create` opens the store to be tested. `describe` and `it` are the runner's; the global ones if left
 * out.
 * @throws StemmaError `usage.invalid` if no `describe` and `it` are given and there are no global ones.
 * @example
 * import { describe, it } from "node:test";
 * storeConformance({
 *   describe,
 *   it,
 *   async create({ now }) {
 *     const store = sqlite({ path: ":memory:", now });
 *     return { store, cleanup: () => store.close() };
 *   },
 * });
 */
export function storeConformance(options: StoreConformance): void {
  const { describe, it } = testFunctions(options);
  for (const [subject, guarantees] of Object.entries(subjects)) {
    describe(`a store: ${subject}`, () => {
      guarantees((title, body) => {
        it(title, async () => {
          const { bench, cleanup } = await openBench(options.create);
          try {
            await body(bench);
          } finally {
            await cleanup();
          }
        });
      });
    });
  }
}

function testFunctions(options: StoreConformance): TestFunctions {
  const runner = globalThis as Partial<TestFunctions>;
  const describe = options.describe ?? runner.describe;
  const it = options.it ?? runner.it;
  if (describe !== undefined && it !== undefined) return { describe, it };
  throw new StemmaError(
    "usage.invalid",
    "storeConformance expected the describe and it of a test runner, and found none: give them as { create, describe, it }.",
  );
}
