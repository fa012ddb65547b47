import { defineConfig, type ViteUserConfig } from "vitest/config";

/** What is promised of runs holds on every store: these files run a second time, on PostgreSQL. */
const onEveryStore = [process.env["PGTEST"] ?? "none"];

const config: ViteUserConfig = defineConfig({
  test: {
    pool: "forks",
    allowOnly: false,
    // A slow machine is not a bug: a test that hangs fails, one that merely waits for its turn does not.
    testTimeout: 120_000,
    hookTimeout: 120_000,
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
