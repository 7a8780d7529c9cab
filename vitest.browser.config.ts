import { defineConfig } from "vitest/config";

/** Tests that show the HTML report to a browser: CHROMIUM is its path. */
export default defineConfig({
  test: {
    include: ["test/browser/**/*.test.ts"],
    globalSetup: ["test/support/build-cli.ts"],
    expect: { requireAssertions: true },
    testTimeout: 60_000,
    maxWorkers: 1,
  },
});
