/** What programs of other authors find in our reports. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { python } from "./python.ts";

export interface JunitReading {
  /** What the schema of our JUnit XML has against it. */
  readonly rejected: readonly string[];
  readonly told: Readonly<Record<"tests" | "failures" | "errors", number>>;
  readonly counted: JunitReading["told"];
  readonly cases: readonly {
    readonly suite: string;
    readonly classname: string;
    readonly name: string;
    readonly result: readonly string[];
    readonly type: string | null;
    readonly message: string | null;
  }[];
}

export interface SarifReading {
  /** What the official schema has against it. */
  readonly rejected: readonly string[];
}

export interface MarkdownReading {
  /** Kinds of tokens: paragraphs, tables, links. */
  readonly kinds: readonly string[];
  readonly html: string;
}

/** Readings by the names of `reports`, which end in `.xml`, `.sarif` or `.md`. */
export function readReports(
  folder: string,
  reports: Readonly<Record<string, string>>,
): Readonly<Record<string, JunitReading & SarifReading & MarkdownReading>> {
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(reports)) writeFileSync(join(folder, name), text);
  return JSON.parse(python("read_reports.py", folder)) as ReturnType<typeof readReports>;
}

/**
 * The commands that CI systems see in a log: GitHub's runner looks for `::name …::`
 * where a line begins, blanks aside, and for the older `##[name …]` anywhere; others
 * have a word before the bracket.
 */
export function commandsIn(log: string): readonly string[] {
  return log.split(/\r\n|\r|\n/).flatMap((line) => {
    const command = /^\s*::(.*?)::/.exec(line)?.[1];
    const older = /##\w*\[[^\]]*\]?/.exec(line)?.[0];
    return [command, older].filter((one) => one !== undefined);
  });
}
