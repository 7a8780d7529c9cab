import { basename } from "node:path";
import { type CheckResult, worstOf } from "../../core/check-result.ts";
import { escapeText } from "../../core/escape.ts";
import type { CheckFormat } from "../../report/check/render.ts";
import { renderError } from "../../report/error.ts";
import { renderNotices } from "../../report/notices.ts";
import type { Arguments } from "../arguments.ts";
import type { CheckObserver } from "../check-pairs.ts";
import { EXIT } from "../exit-code.ts";
import type { Host } from "../host.ts";
import { readJobs } from "../jobs.ts";
import { CONFIG_OPTIONS, UPDATES } from "../options.ts";
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

  async run(args, host) {
    const { loadConfig, resolvePairs } = await import("../config-options.ts");
    const { CHECK_FORMATS, renderCheck } = await import("../../report/check/render.ts");
    const loaded = loadConfig(args, host);
    const pairs = resolvePairs(loaded, args.positionals, args, host);
    const jobs = readJobs(args);
    const update = args.origin("update") === null ? null : args.choice("update", UPDATES, "all");
    const { Gate } = await import("../gate.ts");
    const gate = new Gate(loaded, update, host.env);
    const { checkPairs, filesOf } = await import("../check-pairs.ts");
    const request = readReportRequest(
      args,
      CHECK_FORMATS,
      [loaded.path, ...gate.files, ...filesOf(pairs)],
      host,
    );
    const observer = observe(args, host, request);
    const details = isDrawn(request);
    const outcomes = await checkPairs(pairs, { jobs, details }, observer, (pair, compared) =>
      gate.finish(pair, compared),
    );
    host.status(null);
    const result: CheckResult = {
      schemaVersion: 1,
      verdict: worstOf(outcomes.map(({ verdict }) => verdict)),
      config: basename(loaded.path),
      baseline: gate.write(outcomes, args.positionals.length === 0, host),
      pairs: outcomes,
    };
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
  return {
    compare: showsProgress ? makeObserver(host, toStderr) : {},
    compared: (name, result) => tell(name, renderNotices(result, toStderr)),
    failed: async (name, error) => {
      if (format === "text" && !debug) return;
      await tell(name, renderError(error, { debug, style: toStderr.style }));
    },
  };
}
