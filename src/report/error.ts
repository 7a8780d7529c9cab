import type { NpuDiffError } from "../core/errors.ts";
import { escapeText } from "../core/escape.ts";
import { PLAIN, type Style } from "./style.ts";
import { padEnd, width } from "./table.ts";

export interface ErrorOptions {
  /** Whether the stack follows. */
  readonly debug: boolean;
  readonly style?: Style;
}

/** A fact may quote a name of 64 KiB; nobody reads more than this of it. */
const FACT_LENGTH = 400;

/**
 * An error in its three parts: what, the facts with their labels aligned, what
 * to do. Every text is escaped; ends with a newline.
 */
export function renderError(error: NpuDiffError, { debug, style = PLAIN }: ErrorOptions): string {
  const labels = error.facts.map((fact) => escapeText(fact.label, FACT_LENGTH));
  const labelWidth = Math.max(0, ...labels.map(width));
  const lines = [
    `${style.red(style.bold(`error[${error.code}]`))}: ${escapeText(error.message, FACT_LENGTH)}`,
    ...error.facts.map(
      (fact, i) =>
        `  ${padEnd(labels[i] ?? "", labelWidth)}  ${escapeText(fact.text, FACT_LENGTH)}`,
    ),
    `  ${style.bold("help:")} ${escapeText(error.help, FACT_LENGTH)}`,
  ];
  if (debug) {
    const cause = error.cause instanceof Error ? error.cause : error;
    for (const line of (cause.stack ?? "").split("\n")) lines.push(`  ${escapeText(line)}`);
  }
  return `${lines.join("\n")}\n`;
}
