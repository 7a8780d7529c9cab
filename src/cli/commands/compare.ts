import { join, resolve } from "node:path";
import { escapeText } from "../../core/escape.ts";
import { type CompareOptions, DEFAULT_OPTIONS } from "../../core/options.ts";
import { renderNotices } from "../../report/notices.ts";
import { FORMATS, render } from "../../report/render.ts";
import { type Arguments, usageError } from "../arguments.ts";
import { EXIT } from "../exit-code.ts";
import type { Host } from "../host.ts";
import { readJobs } from "../jobs.ts";
import { readLensTokens } from "../lens-tokens.ts";
import { openReport } from "../open-report.ts";
import { JUDGING_OPTIONS } from "../options.ts";
import type { OutputRequest } from "../outputs.ts";
import { makeObserver } from "../progress.ts";
import { readMap } from "../read-map.ts";
import { repeatCommand } from "../repeat-command.ts";
import { isDrawn, REPORT_OPTIONS, readReportRequest, writeReports } from "../reports.ts";
import { DESCRIBE_SECTION, readSection } from "../section.ts";
import type { Command } from "./command.ts";

export const compare: Command = {
  name: "compare",
  describe:
    "Compare a candidate dump with a reference dump, or a reference set, and give a verdict",
  positionals: ["reference", "candidate"],
  takesDumps: true,
  examples: [
    "npu-diff compare ref/ npu.arrow    # ref/ is what npu-dump reference made",
    "npu-diff compare cpu.arrow npu.arrow --floor cpu-bf16.arrow",
    "npu-diff compare ref/ 'npu.rank*.arrow'    # one file a rank",
    "npu-diff compare cpu.arrow npu.arrow --lm-head model.safetensors    # logits from norm",
    "npu-diff compare cpu.arrow npu.arrow -o report.html --open",
    "npu-diff compare cpu.arrow npu.arrow --max-ppl-increase 0.5% --format md",
    "npu-diff compare cpu.arrow npu.arrow --update README.md",
  ],
  options: [
    "floor",
    "forced",
    "lm-head",
    "lens-tokens",
    "reference-performance",
    "candidate-performance",
    "map",
    ...JUDGING_OPTIONS,
    "only",
    "skip",
    "fail-fast",
    "jobs",
    ...REPORT_OPTIONS,
    "update",
    "open",
    "details",
    "no-progress",
    "debug",
  ],
  describeOption: (option) => (option === "update" ? DESCRIBE_SECTION : {}),

  async run(args, host) {
    const options = await readOptions(args, host);
    const { filesAt } = await import("../../dump/dump-folder.ts");
    const { reference, candidate, floors, forced } = options;
    const measured = [options.referencePerformance, options.candidatePerformance].filter(
      (path) => path !== null,
    );
    const map = args.text("map");
    const inputs = [
      ...[reference, candidate, ...floors, ...forced, ...measured].flatMap((path) =>
        filesAt(resolve(host.cwd, path)),
      ),
      ...[map, options.lmHead].flatMap((path) => (path === null ? [] : [resolve(host.cwd, path)])),
    ];
    const request = readReportRequest(args, FORMATS, inputs, host, readSection(args, host));
    const opened = args.flag("open") ? pageOf(request.files) : null;
    const showsProgress = host.stderr.isTTY && !args.flag("no-progress");
    const toStderr = { lang: request.lang, style: request.style(host.stderr) };

    const inJson = args.flag("details");
    const { compareDumps } = await import("../../compare.ts");
    const observer = showsProgress ? makeObserver(host, toStderr) : {};
    const result = await compareDumps(
      { ...options, details: inJson || isDrawn(request) },
      observer,
    );
    host.status(null);

    await host.stderr.write(renderNotices(result, toStderr));
    const exitCode = request.exitZero ? EXIT.pass : EXIT[result.verdict];
    const paths = {
      reference: pathOf(reference, result.inputs.reference.file),
      candidate: pathOf(candidate, result.inputs.candidate.file),
      map,
    };
    const facts = { command: repeatCommand(options, map), exitCode, paths };
    await writeReports(
      request,
      (format, shown) => {
        // The same options give the same JSON, whatever else is written.
        const told = format === "json" && !inJson ? { ...result, details: null } : result;
        return render(told, format, { ...shown, ...facts });
      },
      host,
    );
    const failure = opened === null ? null : await openReport(opened.path);
    if (failure !== null) await host.stderr.write(`${cannotOpen(failure)}\n`);
    return exitCode;
  },
};

/** Where the dump `file` lies that was given as `path`: in it, where that is a reference set. */
function pathOf(path: string, file: string): string {
  return file.endsWith(".arrow") && !path.endsWith(".arrow") ? join(path, file) : path;
}

/** The page that `--open` shows: the first that is written. */
function pageOf(files: readonly OutputRequest[]): OutputRequest {
  const page = files.find(({ format }) => format === "html");
  if (page !== undefined) return page;
  throw usageError(
    "--open has no report to show",
    { outputs: files.map(({ given }) => given).join(" ") || "none" },
    "say where to write one, such as -o report.html",
  );
}

/** The report is written, and so is the verdict: that nobody shows it changes neither. */
function cannotOpen(reason: string): string {
  return `warning[open]: the report cannot be shown: ${escapeText(reason)}`;
}

async function readOptions(args: Arguments, host: Host): Promise<Omit<CompareOptions, "details">> {
  const [reference = "", candidate = ""] = args.positionals;
  return {
    ...DEFAULT_OPTIONS,
    reference,
    candidate,
    floors: args.list("floor"),
    forced: args.list("forced"),
    referencePerformance: args.text("reference-performance"),
    candidatePerformance: args.text("candidate-performance"),
    lmHead: args.text("lm-head"),
    lensTokens: readLensTokens(args),
    preset: args.choice("preset", ["auto", "exact", "f64", "f32", "f16", "bf16", "fp8"], "auto"),
    decide: args.choice("decide", ["interval", "point"], "interval"),
    limits: args.limits(),
    map: await readMap(args, host),
    only: args.list("only"),
    skip: args.list("skip"),
    failFast: args.flag("fail-fast"),
    jobs: readJobs(args),
  };
}
