/** Reports of a comparison: on standard output, and in the files that were asked for. */

import { LANGUAGES } from "../report/messages/index.ts";
import type { Format } from "../report/render.ts";
import { PLAIN } from "../report/style.ts";
import type { TextOptions } from "../report/text.ts";
import type { Arguments } from "./arguments.ts";
import { makeStyle } from "./color.ts";
import { readFormat } from "./format.ts";
import { isOnGithub, tellGithub } from "./github.ts";
import type { Host } from "./host.ts";
import type { OptionName } from "./options.ts";
import { type OutputFile, type OutputRequest, parseOutputs, writeOutputs } from "./outputs.ts";
import { withSection } from "./section.ts";

/** Text on paper, in a file or a pipe. */
const DEFAULT_COLUMNS = 80;

/** The options that {@link readReportRequest} reads. */
export const REPORT_OPTIONS = [
  "format",
  "json",
  "output",
  "exit-zero",
  "lang",
  "color",
  "ascii",
  "no-github",
] as const satisfies readonly OptionName[];

/** What is to be written, and how. */
export interface ReportRequest<F extends Format> {
  readonly format: F;
  readonly files: readonly OutputRequest<F>[];
  /** The file of `--update`, in which the Markdown report replaces a part. */
  readonly section: OutputFile | null;
  readonly lang: TextOptions["lang"];
  readonly ascii: boolean;
  readonly exitZero: boolean;
  /** Whether GitHub Actions is told as well. */
  readonly onGithub: boolean;
  /** Style of one of the two streams, as `--color` and the environment ask for. */
  readonly style: (stream: { readonly isTTY: boolean }) => TextOptions["style"];
}

/**
 * @param formats what the command can write
 * @param inputs paths of the files that are read, which no report may replace
 * @param section the file of `--update`, where the command has it
 * @throws NpuDiffError `usage` or `output-unwritable`, before any work is done
 */
export function readReportRequest<F extends Format>(
  args: Arguments,
  formats: readonly F[],
  inputs: readonly string[],
  host: Host,
  section: OutputFile | null = null,
): ReportRequest<F | "text" | "json"> {
  const format = readFormat(args, formats);
  const files = parseOutputs(args.list("output"), inputs, host.cwd, formats, section);
  const lang = args.choice("lang", LANGUAGES, "en");
  const when = args.choice("color", ["auto", "always", "never"], "auto");
  return {
    format,
    files,
    section,
    lang,
    ascii: args.flag("ascii"),
    exitZero: args.flag("exit-zero"),
    onGithub: isOnGithub(args, host),
    style: ({ isTTY }) => makeStyle(when, host.env, isTTY),
  };
}

/** Whether a page is among the reports: it alone shows single tokens and elements. */
export function isDrawn({ format, files }: ReportRequest<Format>): boolean {
  return [format, ...files.map((file) => file.format)].includes("html");
}

/** How a text on standard output is to look. */
export function readTextOptions(args: Arguments, host: Host): TextOptions {
  return {
    lang: args.choice("lang", LANGUAGES, "en"),
    ascii: args.flag("ascii"),
    style: makeStyle(
      args.choice("color", ["auto", "always", "never"], "auto"),
      host.env,
      host.stdout.isTTY,
    ),
    columns: Math.min(DEFAULT_COLUMNS, host.stdout.columns ?? DEFAULT_COLUMNS),
  };
}

/** Renders all reports; only when that is done the first is written. Then GitHub Actions is told, where it runs this. */
export async function writeReports<F extends Format>(
  { format, files, section, lang, ascii, style, onGithub }: ReportRequest<F>,
  render: (format: NoInfer<F> | "md" | "github", options: TextOptions) => string,
  host: Host,
): Promise<void> {
  const plain = { lang, ascii, style: PLAIN, columns: DEFAULT_COLUMNS };
  const reports = files.map((request) => ({ request, text: render(request.format, plain) }));
  const updated = section === null ? [] : [withSection(section, render("md", plain))];
  await host.stdout.write(
    render(format, {
      lang,
      ascii,
      style: style(host.stdout),
      columns: Math.min(DEFAULT_COLUMNS, host.stdout.columns ?? DEFAULT_COLUMNS),
    }),
  );
  writeOutputs([...reports, ...updated], host);
  if (!onGithub) return;
  const commands = format === "github" ? null : render("github", plain);
  await tellGithub({ commands, markdown: render("md", plain), lang }, host);
}
