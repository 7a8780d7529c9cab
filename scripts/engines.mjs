// @ts-check
/**
 * `npm run engines`: the tests of the capture side that run real engines, on
 * each version of vLLM that is supported and builds for the CPU; `npm test` runs
 * the newest. Shows what the tests measured. The last line is `N passed, N failed`.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ENGINES, ensureEngine, reasonAgainst } from "./lib/engines.mjs";
import { describe, Failure, main } from "./lib/failure.mjs";
import { oneOf, readOptions } from "./lib/options.mjs";
import { pytest } from "./lib/runners.mjs";
import { Steps } from "./lib/steps.mjs";
import { ensureBuild, ensureNodePackages } from "./setup.mjs";

/** @typedef {import("./lib/engines.mjs").Engine} Engine */

const NAMES = /** @type {Engine[]} */ (Object.keys(ENGINES));

const USAGE = `Usage: npm run engines [-- --only ${NAMES.join("|")}]

Runs the tests on real engines. NPU_DUMP_TEST_PASSAGES=30 makes them feed all
2,562 tokens of the demo instead of 8 passages.

  --only ENGINE   on this one alone
  --help          print this
`;

await main(async () => {
  const options = readOptions(
    { only: { type: "string" }, help: { type: "boolean" } },
    "npm run engines -- --help",
  );
  if (options.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const wanted =
    options.only === undefined
      ? NAMES
      : [/** @type {Engine} */ (oneOf("--only", options.only, NAMES))];
  const steps = new Steps();
  await ensureNodePackages(steps);
  await ensureBuild(steps);
  const folder = mkdtempSync(join(tmpdir(), "npu-diff-engines-"));
  let passed = 0;
  let failed = 0;
  for (const engine of wanted) {
    const reason = reasonAgainst(engine);
    try {
      if (reason !== undefined) {
        throw new Failure(`the tests on ${engine} cannot run here`, [["reason", reason]], "");
      }
      const { python, ...environment } = await ensureEngine(engine, steps);
      await steps.run(`tests on ${engine}`, async () => {
        const report = join(folder, `${engine}.json`);
        const count = await pytest(python, report, { ...environment, verbose: true });
        passed += count.passed;
        failed += count.failed;
        return `${count.passed} passed, ${count.failed} failed`;
      });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failed += 1;
      process.stderr.write(`${describe(error)}\n`);
    }
  }
  rmSync(folder, { recursive: true, force: true });
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
});
