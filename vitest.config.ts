import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/browser/**"],
    globalSetup: ["test/support/build-cli.ts"],
    expect: { requireAssertions: true },
    testTimeout: 60_000,
    // Two cores are the smallest machine that the suite is meant for, and the
    // command-line tests start processes of their own.
    maxWorkers: 2,
  },
});
