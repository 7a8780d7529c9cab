import { VERSION } from "../core/version.ts";

/** Answers `npu-diff --version` in one line. */
export function printVersion(): void {
  process.stdout.write(`npu-diff ${VERSION}\n`, (error) => {
    if (error === null || error === undefined) process.exitCode = 0;
  });
}
