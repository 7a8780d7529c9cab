/** Runs the real `npu-diff`, as a shell would. */

import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { fileURLToPath, pathToFileURL } from "node:url";

export const MAIN: string = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd?: string;
  /** Added to an environment without colours and without our own variables. */
  readonly env?: Readonly<Record<string, string>>;
  readonly stdio?: SpawnOptions["stdio"];
}

export function startCli(args: readonly string[], options: CliOptions = {}): ChildProcess {
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(?:NPU_DIFF_|NO_COLOR$|FORCE_COLOR$|NODE_OPTIONS$|VITEST|GITHUB_)/.test(name),
    ),
  );
  return spawn(process.execPath, [MAIN, ...args], {
    cwd: options.cwd,
    env: { ...inherited, ...options.env },
    stdio: options.stdio ?? ["ignore", "pipe", "pipe"],
  });
}

/** Collects what a process says until it has ended. */
export async function ended(child: ChildProcess): Promise<Ended> {
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      resolve({ code, signal, stdout, stderr });
    });
  });
}

export async function cli(args: readonly string[], options: CliOptions = {}): Promise<Ended> {
  return ended(startCli(args, options));
}

/**
 * NODE_OPTIONS under which the worker of `npu-diff` finds another `run`: the
 * module at `path`. Everything around it stays as it is.
 */
export function withRun(path: string): string {
  const hooks = `export const resolve = (specifier, context, next) =>
    /^\\.\\/run(-[^/]*)?\\.js$/.test(specifier) && context.parentURL?.endsWith("/run-worker.js")
      ? { url: ${JSON.stringify(pathToFileURL(path).href)}, shortCircuit: true }
      : next(specifier, context);`;
  const register = `import { register } from "node:module";
    register("data:text/javascript,${encodeURIComponent(hooks).replaceAll("'", "%27")}");`;
  return `--import "data:text/javascript,${encodeURIComponent(register)}"`;
}
