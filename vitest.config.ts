import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig, type ViteUserConfig } from "vitest/config";

/** What is promised of runs holds on every store: these files run a second time, on PostgreSQL. */
const onEveryStore = [
  "test/{life-of-a-run,operations,retries,poison,streams,context,time-limits,versions,invariants,invariants-reuse,refused,restart-crashes}.test.ts",
  "test/{waits,children,cancel,cancel-bad-times,family.property,pause,pause-children,once,reconcile,compensation}.test.ts",
  "test/{carried-waits,checkpoints,feed,offer,resume-trace,bad-input,long-history}.test.ts",
  "test/{server/tail,behaviours/control-plane-streams}.test.ts",
  "test/{packs,recall/recall,lives/found,verify,verify-family,why,golden,replay,export,prune-*,missing-rows}.test.ts",
  "test/webhooks/{deliveries,heard,killed,secrets}.test.ts",
  "test/agents/{calls,nodes,course.property}.test.ts",
  "test/{graph-open-requests,graph-identity,behaviours/{trace-*,graph-storages,graph-durable}}.test.ts",
];

const config: ViteUserConfig = defineConfig({
  test: {
    pool: "forks",
    // More than the cores of a small machine: many files wait for processes, leases and a database.
    maxWorkers: Math.max(3, availableParallelism() - 1),
    allowOnly: false,
    // A slow machine is not a bug: a test that hangs fails, one that merely waits for its turn does not.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    // Processes that tests start load this package as it stands; what Node makes of a file is kept for the next of them.
    env: { NODE_COMPILE_CACHE: join(tmpdir(), "stemma-test-code") },
    globalSetup: ["test/postgres/server.ts"],
    reporters: ["default", "./scripts/totals.ts"],
    projects: [
      {
        extends: true,
        test: { name: "all", include: ["src/**/*.test.ts", "test/**/*.test.ts", "examples/**/*.test.ts"] },
      },
      {
        extends: true,
        test: { name: "postgres", include: onEveryStore, setupFiles: ["test/postgres/setup.ts"] },
      },
    ],
  },
});

export default config;
