/** Both tools on real models: captured by the real `npu-dump`, compared by the real `npu-diff`. */

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ComparisonResult } from "../../src/core/result.ts";
import { cli, type Ended } from "./cli.ts";
import { scratch } from "./scratch.ts";

export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));
export const TINY_LLAMA: string = join(ROOT, "fixtures/tiny-llama");
export const HELD_OUT: string = join(ROOT, "fixtures/text/held-out.txt");

const PYTHON = join(ROOT, ".venv/bin/python");

/** A folder of the calling test file, and what is run in it. */
export interface BothTools {
  readonly folder: string;
  /** Runs a program without a network and gives what it prints; throws where it fails. */
  readonly run: (program: string, ...args: readonly string[]) => string;
  /** The same of the project's Python. */
  readonly python: (...args: readonly string[]) => string;
  /** One command of `npu-dump` on the tiny model of the fixtures, on one thread. */
  readonly tinyDump: (command: string, ...args: readonly string[]) => string;
  /** `npu-diff compare`, whatever it says. */
  readonly compareText: (...args: readonly string[]) => Promise<Ended>;
  /** `npu-diff compare --json`: its exit status, and its result. */
  readonly compare: (
    ...args: readonly string[]
  ) => Promise<readonly [number | null, ComparisonResult]>;
}

export function bothTools(): BothTools {
  const { folder } = scratch();
  const run: BothTools["run"] = (program, ...args) =>
    execFileSync(program, args, {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, HF_HUB_OFFLINE: "1", TQDM_DISABLE: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
  const python: BothTools["python"] = (...args) => run(PYTHON, ...args);
  const compareText: BothTools["compareText"] = async (...args) =>
    cli(["compare", ...args], { cwd: folder });
  return {
    folder,
    run,
    python,
    tinyDump: (command, ...args) => {
      const options = ["--model", TINY_LLAMA, "--threads", "1", "--no-progress"];
      return python("-m", "npu_dump", command, ...args, ...options);
    },
    compareText,
    compare: async (...args) => {
      const { code, stdout } = await compareText(...args, "--json");
      return [code, JSON.parse(stdout) as ComparisonResult];
    },
  };
}
