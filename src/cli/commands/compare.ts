import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { CompareOptions, LimitName } from "../../core/options.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { LANGUAGES } from "../../report/messages/index.ts";
import { renderNotices } from "../../report/notices.ts";
import { FORMATS, render } from "../../report/render.ts";
import { PLAIN } from "../../report/style.ts";
import type { Arguments } from "../arguments.ts";
import { makeStyle } from "../color.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { readFormat } from "../format.ts";
import { LIMITS } from "../options.ts";
import { parseOutputs, writeOutputs } from "../outputs.ts";
import { makeObserver } from "../progress.ts";
import type { Command } from "./command.ts";

/** More threads than this wait for the memory that they share. */
const DEFAULT_JOBS = 8;
const MAX_JOBS = 64;

/** Text on paper, in a file or a pipe. */
const DEFAULT_COLUMNS = 80;

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
    "npu-diff compare cpu.arrow npu.arrow --max-ppl-increase 0.5% --format md",
  ],
  options: [
    "floor",
    "forced",
    "preset",
    "max-rel-l2",
    "min-cosine",
    "max-abs",
    "max-mse",
    "max-floor-ratio",
    "max-ppl-increase",
    "max-kl",
    "min-top1",
    "min-first-token",
    "min-determinism",
    "decide",
    "only",
    "skip",
    "fail-fast",
    "jobs",
    "format",
    "json",
    "output",
    "exit-zero",
    "lang",
    "color",
    "ascii",
    "no-progress",
    "debug",
  ],

  async run(args, host) {
    const options = readOptions(args);
    const format = readFormat(args, FORMATS);
    const { filesAt } = await import("../../dump/dump-folder.ts");
    const { reference, candidate, floors, forced } = options;
    const inputs = [reference, candidate, ...floors, ...forced].flatMap((path) =>
      filesAt(resolve(host.cwd, path)),
    );
    const requests = parseOutputs(args.list("output"), inputs, host.cwd);
    const lang = args.choice("lang", LANGUAGES, "en");
    const when = args.choice("color", ["auto", "always", "never"], "auto");
    const exitZero = args.flag("exit-zero");
    const ascii = args.flag("ascii");
    const showsProgress = host.stderr.isTTY && !args.flag("no-progress");
    const toStderr = { lang, style: makeStyle(when, host.env, host.stderr.isTTY) };

    const { compareDumps } = await import("../../compare.ts");
    const observer = showsProgress ? makeObserver(host, toStderr) : {};
    const result = await compareDumps(options, observer);
    host.status(null);

    const file = { lang, ascii, style: PLAIN, columns: DEFAULT_COLUMNS };
    const reports = requests.map((request) => ({
      request,
      text: render(result, request.format, file),
    }));
    await host.stderr.write(renderNotices(result, toStderr));
    await host.stdout.write(
      render(result, format, {
        lang,
        ascii,
        style: makeStyle(when, host.env, host.stdout.isTTY),
        columns: Math.min(DEFAULT_COLUMNS, host.stdout.columns ?? DEFAULT_COLUMNS),
      }),
    );
    writeOutputs(reports, host);
    return exitCode(result, exitZero);
  },
};

function readOptions(args: Arguments): CompareOptions {
  const [reference = "", candidate = ""] = args.positionals;
  const limits: Partial<Record<LimitName, number>> = {};
  for (const { option, limit, min, max } of LIMITS) {
    const value = args.number(option, min, max);
    if (value !== null) limits[limit] = value;
  }
  return {
    reference,
    candidate,
    floors: args.list("floor"),
    forced: args.list("forced"),
    preset: args.choice("preset", ["auto", "exact", "f64", "f32", "f16", "bf16", "fp8"], "auto"),
    decide: args.choice("decide", ["interval", "point"], "interval"),
    limits,
    only: args.list("only"),
    skip: args.list("skip"),
    failFast: args.flag("fail-fast"),
    jobs: args.integer("jobs", 1, MAX_JOBS) ?? Math.min(DEFAULT_JOBS, availableParallelism()),
  };
}

function exitCode(result: ComparisonResult, exitZero: boolean): ExitCode {
  return exitZero ? EXIT.pass : EXIT[result.verdict];
}
