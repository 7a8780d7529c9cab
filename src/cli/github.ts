/** What a run tells GitHub Actions beside its report: annotations, and its part of the job summary. */

import { appendFileSync, statSync } from "node:fs";
import type { NpuDiffError } from "../core/errors.ts";
import { reasonOf } from "../core/errors.ts";
import { escapeText } from "../core/escape.ts";
import { renderError } from "../report/error.ts";
import { fitSummary, renderAnnotations, SUMMARY_LIMIT } from "../report/github.ts";
import type { Language } from "../report/messages/index.ts";
import type { Arguments } from "./arguments.ts";
import type { Host } from "./host.ts";

export interface GithubParts {
  /** Workflow commands; null where they are the report itself. */
  readonly commands: string | null;
  readonly markdown: string;
  readonly lang: Language;
}

/** Whether GitHub Actions runs this, and nobody said `--no-github`. */
export function isOnGithub(args: Arguments, host: Host): boolean {
  return isRunner(host) && !args.flag("no-github");
}

function isRunner({ env }: Host): boolean {
  return env["GITHUB_ACTIONS"] === "true";
}

/** An error as a workflow command, where GitHub Actions runs this; empty elsewhere. */
export function errorCommand(error: NpuDiffError, argv: readonly string[], host: Host): string {
  if (!isRunner(host) || argv.includes("--no-github")) return "";
  const text = renderError(error, { debug: false }).trimEnd().split("\n").slice(1);
  const annotation = { level: "error", title: `npu-diff: error[${error.code}]` } as const;
  const lines = [escapeText(error.message, 400), ...text];
  return renderAnnotations([{ ...annotation, text: lines }], "en");
}

/**
 * Writes the commands to standard error, where the runner reads them as well as on
 * standard output, so that the report stays alone there. A summary that cannot be
 * written is a warning: the verdict does not depend on it.
 */
export async function tellGithub(
  { commands, markdown, lang }: GithubParts,
  host: Host,
): Promise<void> {
  if (commands !== null) await host.stderr.write(commands);
  const path = host.env["GITHUB_STEP_SUMMARY"] ?? "";
  if (path === "") return;
  try {
    const written = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    const part = fitSummary(markdown, SUMMARY_LIMIT - written - 1, lang);
    // A blank line before it: what another call wrote may end in a table.
    if (part !== "") appendFileSync(path, `\n${part}`);
  } catch (error) {
    const text = [reasonOf(error)];
    const title = "npu-diff: the job summary could not be written";
    await host.stderr.write(renderAnnotations([{ level: "warning", title, text }], lang));
  }
}
