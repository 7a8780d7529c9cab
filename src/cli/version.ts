import { readFileSync } from "node:fs";

/** The version in package.json, which lies two folders above this file in the package. */
export function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  const { version } = JSON.parse(text) as { readonly version: string };
  return version;
}

/** Answers `npu-diff --version` in one line. */
export function printVersion(): void {
  process.stdout.write(`npu-diff ${packageVersion()}\n`, (error) => {
    if (error === null || error === undefined) process.exitCode = 0;
  });
}
