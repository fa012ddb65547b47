import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "examples/**/*.test.ts"],
    pool: "forks",
    globalSetup: ["test/postgres/server.ts"],
    allowOnly: false,
    // A slow machine is not a bug: a test that hangs fails, one that merely waits for its turn does not.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    reporters: ["default", "./scripts/totals.ts"],
  },
});

export default config;
