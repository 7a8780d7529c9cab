import { readFileSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { type CheckResult, worstOf } from "../../core/check-result.ts";
import { NpuDiffError, reasonOf } from "../../core/errors.ts";
import type { Decide, Limits } from "../../core/options.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { FORMATS, render } from "../../report/render.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import type { Host } from "../host.ts";
import { LIMITS } from "../options.ts";
import { REPORT_OPTIONS, readReportRequest, writeReports } from "../reports.ts";
import type { Command } from "./command.ts";

/** A report of ten thousand tensors with all details has a tenth of it. */
const MAX_BYTES = 256 << 20;

export const report: Command = {
  name: "report",
  describe: "Render a stored result again, or judge it again under other limits, without the dumps",
  positionals: ["result.json"],
  examples: [
    "npu-diff report result.json --format md --lang zh",
    "npu-diff report result.json --max-ppl-increase 0.5% --min-top1 98%",
  ],
  options: [...LIMITS.map(({ option }) => option), "decide", ...REPORT_OPTIONS, "debug"],

  async run(args, host) {
    const [given = ""] = args.positionals;
    const path = resolve(host.cwd, given);
    const limits = args.limits();
    const decide =
      args.origin("decide") === null
        ? null
        : args.choice("decide", ["interval", "point"], "interval");
    const { readStored } = await import("../../report/stored.ts");
    const stored = readStored(readText(path), basename(path));
    const isAnew = Object.keys(limits).length > 0 || decide !== null;
    const judged = isAnew ? await judgeAnew(limits, decide) : same;
    const note = isAnew
      ? "note[report]: judged again from the stored figures; where an error begins, and why, is as it was compared\n"
      : "";
    if (stored.kind === "comparison") {
      return writeComparison(judged(stored.result), note, path, args, host);
    }
    const pairs = stored.result.pairs.map((pair) => {
      if (pair.result === null) return pair;
      const result = judged(pair.result);
      return { ...pair, result, verdict: result.verdict };
    });
    const verdict = worstOf(pairs.map((pair) => pair.verdict));
    return writeCheck({ ...stored.result, pairs, verdict }, note, path, args, host);
  },
};

function same(result: ComparisonResult): ComparisonResult {
  return result;
}

async function judgeAnew(
  limits: Limits,
  decide: Decide | null,
): Promise<(result: ComparisonResult) => ComparisonResult> {
  const { rejudge } = await import("../../judge/rejudge.ts");
  return (result) => rejudge(result, { limits, ...(decide === null ? {} : { decide }) });
}

async function writeComparison(
  result: ComparisonResult,
  note: string,
  path: string,
  args: Arguments,
  host: Host,
): Promise<ExitCode> {
  const request = readReportRequest(args, FORMATS, [path], host);
  const exitCode = request.exitZero ? EXIT.pass : EXIT[result.verdict];
  const facts = { command: null, exitCode };
  await host.stderr.write(note);
  await writeReports(
    request,
    (format, shown) => render(result, format, { ...shown, ...facts }),
    host,
  );
  return exitCode;
}

async function writeCheck(
  result: CheckResult,
  note: string,
  path: string,
  args: Arguments,
  host: Host,
): Promise<ExitCode> {
  const { CHECK_FORMATS, renderCheck } = await import("../../report/check/render.ts");
  const request = readReportRequest(args, CHECK_FORMATS, [path], host);
  const exitCode =
    request.exitZero && result.verdict !== "error" ? EXIT.pass : EXIT[result.verdict];
  const facts = { commandOf: () => null, exitCode };
  await host.stderr.write(note);
  await writeReports(
    request,
    (format, shown) => renderCheck(result, format, { ...shown, ...facts }),
    host,
  );
  return exitCode;
}

function readText(path: string): string {
  const unreadable = (found: string, expected: string, cause?: unknown): NpuDiffError =>
    new NpuDiffError("file-unreadable", {
      what: `${basename(path)} cannot be read as a result`,
      facts: [
        { label: "file", text: path },
        { label: "found", text: found },
        { label: "expected", text: expected },
      ],
      help: "give the file that npu-diff compare … -o result.json wrote",
      cause,
    });
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw unreadable("no regular file", "a JSON file");
    if (stat.size > MAX_BYTES) throw unreadable(`${stat.size} bytes`, `at most ${MAX_BYTES}`);
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof NpuDiffError) throw error;
    throw unreadable(reasonOf(error), "a file in UTF-8 that this process may read", error);
  }
}
