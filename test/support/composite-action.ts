/** The composite action as a runner reads and runs it: `action.yml`, its steps and their shell. */

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export interface Step {
  readonly name?: string;
  readonly id?: string;
  readonly if?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly shell?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly with?: Readonly<Record<string, string>>;
  readonly "working-directory"?: string;
}

export interface Action {
  readonly inputs: Readonly<
    Record<string, { readonly description: string; readonly default: string }>
  >;
  readonly outputs: Readonly<
    Record<string, { readonly description: string; readonly value: string }>
  >;
  readonly runs: { readonly using: string; readonly steps: readonly Step[] };
}

export interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, { readonly steps: readonly Step[] }>>;
}

export function text(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

export const ACTION = parse(text("action.yml")) as Action;

/** What a step with a shell has ended with. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What the step has written to GITHUB_OUTPUT and GITHUB_STEP_SUMMARY. */
  readonly output: string;
  readonly outputs: Readonly<Record<string, string>>;
  readonly summary: string;
}

/** Replaces the expressions of a value, of which the action uses these two alone. */
function evaluate(value: string, inputs: Readonly<Record<string, string>>, path: string): string {
  return value.replaceAll(/\$\{\{ *([\w.-]+) *\}\}/g, (whole, expression: string) => {
    if (expression === "github.action_path") return path;
    const [context, name = ""] = expression.split(".");
    const declared = ACTION.inputs[name];
    if (context !== "inputs" || declared === undefined) throw new Error(`unknown: ${whole}`);
    return inputs[name] ?? declared.default;
  });
}

/**
 * Runs a step of the action by its name as the runner does with `shell: bash`.
 *
 * @param cwd the workspace
 * @param inputs given with `with:`; the others have their defaults
 * @param path of the action's own files
 */
export async function runStep(
  name: string,
  cwd: string,
  inputs: Readonly<Record<string, string>>,
  path: string = ROOT,
): Promise<Ran> {
  const step = ACTION.runs.steps.find((one) => one.name === name);
  if (step?.run === undefined || step.shell !== "bash")
    throw new Error(`no step with a shell: ${name}`);
  const folder = mkdtempSync(join(cwd, "runner-"));
  const file = (suffix: string, content = ""): string => {
    const made = join(folder, suffix);
    writeFileSync(made, content);
    return made;
  };
  const [script, output, summary] = [file("step.sh", step.run), file("output"), file("summary")];
  const given = Object.entries(step.env ?? {}).map(([key, value]) => [
    key,
    evaluate(value, inputs, path),
  ]);
  const inherited = Object.entries(process.env).filter(
    ([key]) => !/^(NPU_DIFF_|GITHUB_|VITEST|NODE_OPTIONS$)/.test(key),
  );
  const env = {
    ...(Object.fromEntries([...inherited, ...given]) as Record<string, string>),
    GITHUB_ACTIONS: "true",
    GITHUB_OUTPUT: output,
    GITHUB_STEP_SUMMARY: summary,
  };
  const at = join(cwd, evaluate(step["working-directory"] ?? ".", inputs, path));
  const ended = await new Promise<Pick<Ran, "code" | "stdout" | "stderr">>((resolve) => {
    const args = ["--noprofile", "--norc", "-eo", "pipefail", script];
    execFile("bash", args, { cwd: at, env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
  const written = readFileSync(output, "utf8");
  const outputs = Object.fromEntries(
    written
      .trimEnd()
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  ) as Record<string, string>;
  return { ...ended, output: written, outputs, summary: readFileSync(summary, "utf8") };
}
