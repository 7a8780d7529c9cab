import type { CheckObserver } from "../../check.ts";
import type { CheckResult } from "../../core/check-result.ts";
import { escapeText } from "../../core/escape.ts";
import { BASELINE_UPDATES } from "../../core/options.ts";
import type { CheckFormat } from "../../report/check/render.ts";
import { renderError } from "../../report/error.ts";
import { renderNotices } from "../../report/notices.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit-code.ts";
import type { Host } from "../host.ts";
import { readJobs } from "../jobs.ts";
import { CONFIG_OPTIONS, type OptionName } from "../options.ts";
import { makeObserver } from "../progress.ts";
import { repeatCheckCommand } from "../repeat-command.ts";
import {
  isDrawn,
  REPORT_OPTIONS,
  type ReportRequest,
  readReportRequest,
  writeReports,
} from "../reports.ts";
import type { Command } from "./command.ts";

/** A check has no table of tensors. */
const DESCRIPTIONS: Partial<Record<OptionName, string>> = {
  format: "Report on standard output: text, json, md, html, junit, sarif, github",
  output:
    "Also write a report here: PATH.html, .json, .md, .txt, .xml (JUnit), .sarif, or FORMAT=PATH (repeatable)",
};

export const check: Command = {
  name: "check",
  describe: "The gate of a CI: compare the pairs of npu-diff.jsonc, all of them or those named",
  positionals: [],
  rest: "name",
  examples: [
    "npu-diff check",
    "npu-diff check smollm2 --format md    # one pair",
    "npu-diff check -u    # accept the new figures into the baseline",
  ],
  options: [...CONFIG_OPTIONS, "update", "jobs", ...REPORT_OPTIONS, "no-progress", "debug"],
  describeOption: (option) => {
    const describe = DESCRIPTIONS[option];
    return describe === undefined ? {} : { describe };
  },

  async run(args, host) {
    const { readGiven } = await import("../config-options.ts");
    const { checkPairs, filesOfCheck } = await import("../../check.ts");
    const { CHECK_FORMATS, renderCheck } = await import("../../report/check/render.ts");
    const options = {
      config: args.text("config"),
      folder: host.cwd,
      pairs: args.positionals,
      ...readGiven(args, host),
      update:
        args.origin("update") === null ? null : args.choice("update", BASELINE_UPDATES, "all"),
      needsBaseline: isSet(host.env["CI"]),
      jobs: readJobs(args),
    };
    const request = readReportRequest(args, CHECK_FORMATS, filesOfCheck(options), host);
    const observer = observe(args, host, request);
    const result = await checkPairs({ ...options, details: isDrawn(request) }, observer);
    host.status(null);
    const exitCode =
      request.exitZero && result.verdict !== "error" ? EXIT.pass : EXIT[result.verdict];
    const facts = {
      commandOf: (pair: string | null) => repeatCheckCommand(args, pair),
      exitCode,
    };
    await writeReports(
      request,
      (format, shown) =>
        // The same options give the same JSON, whatever else is written.
        renderCheck(format === "json" ? withoutDetails(result) : result, format, {
          ...shown,
          ...facts,
        }),
      host,
    );
    return exitCode;
  },
};

/** As continuous integration sets it; some tools set it to `false` for «no». */
function isSet(ci: string | undefined): boolean {
  return ci !== undefined && !/^(?:|0|false)$/i.test(ci);
}

function withoutDetails(check: CheckResult): CheckResult {
  const pairs = check.pairs.map((pair) => ({
    ...pair,
    result: pair.result === null ? null : { ...pair.result, details: null },
  }));
  return { ...check, pairs };
}

/** Tells on standard error what is under way, what the inputs are warned of, and, where the report is not for people, what failed. */
function observe(args: Arguments, host: Host, request: ReportRequest<CheckFormat>): CheckObserver {
  const { lang, style, format } = request;
  const toStderr = { lang, style: style(host.stderr) };
  const showsProgress = host.stderr.isTTY && !args.flag("no-progress");
  const debug = args.flag("debug");
  const tell = async (name: string, text: string): Promise<void> => {
    host.status(null);
    const mark = `${escapeText(name)}: `;
    await host.stderr.write(text.replaceAll(/^(?=\S)/gm, mark));
  };
  const progress = showsProgress ? makeObserver(host, toStderr) : {};
  return {
    comparing: () => progress,
    compared: (name, result) => tell(name, renderNotices(result, toStderr)),
    failed: async (name, error) => {
      if (format === "text" && !debug) return;
      await tell(name, renderError(error, { debug, style: toStderr.style }));
    },
    temporary: (path) => {
      host.temporary(path);
    },
  };
}
