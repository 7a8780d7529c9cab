import { resolve } from "node:path";
import type { TaskResultsComparison, TaskResultsOptions } from "../../core/task-results.ts";
import type { TextOptions } from "../../report/text.ts";
import { type Arguments, usageError } from "../arguments.ts";
import { EXIT } from "../exit-code.ts";
import type { OptionName } from "../options.ts";
import { REPORT_OPTIONS, readReportRequest, writeReports } from "../reports.ts";
import { DESCRIBE_SECTION, readSection } from "../section.ts";
import type { Command } from "./command.ts";

/** What task results can be shown as. SARIF says where in the code something is, which they do not. */
const FORMATS = ["text", "json", "md", "junit", "github"] as const;

const MAX_PASS_AT = 10_000;

/** What this command says differently. */
const DESCRIPTIONS: Partial<Record<OptionName, string>> = {
  only: "Only tasks that match this glob (repeatable)",
  skip: "No tasks that match this glob (repeatable)",
  format: `Report on standard output: ${FORMATS.join(", ")}`,
  output:
    "Also write a report here: PATH.json, .md, .txt, .xml (JUnit), or FORMAT=PATH (repeatable)",
};

export const evaluate: Command = {
  name: "eval",
  describe:
    "Compare the task results of both sides item by item: accuracy, flips, and whether it fell",
  leading: "reference",
  positionals: ["candidate"],
  examples: [
    "npu-diff eval cpu/ npu/    # folders of lm_eval --log_samples",
    "npu-diff eval cpu.jsonl npu.jsonl --max-drop 1%",
    "npu-diff eval --baseline 22% npu.jsonl    # of the reference only a number",
    "npu-diff eval --baseline 22% greedy.jsonl --candidate-run t07.jsonl --pass-at 2",
  ],
  options: [
    "baseline",
    "reference-run",
    "candidate-run",
    "max-drop",
    "decide",
    "only",
    "skip",
    "metric",
    "filter",
    "pass-at",
    ...REPORT_OPTIONS,
    "update",
    "debug",
  ],
  describeOption: (option) => {
    if (option === "update") return DESCRIBE_SECTION;
    const describe = DESCRIPTIONS[option];
    return describe === undefined ? {} : { describe };
  },

  async run(args, host) {
    const options = readOptions(args);
    const { taskFilesAt } = await import("../../dump/task-results/task-files.ts");
    const inputs = [...options.reference, ...options.candidate].flatMap((path) =>
      taskFilesAt(resolve(host.cwd, path)),
    );
    const request = readReportRequest(args, FORMATS, inputs, host, readSection(args, host));

    const { compareTaskResults } = await import("../../compare-task-results.ts");
    const result = compareTaskResults(options);
    await writeReports(request, await renderer(result), host);
    return request.exitZero ? EXIT.pass : EXIT[result.verdict];
  },
};

function readOptions(args: Arguments): TaskResultsOptions {
  const baseline = args.number("baseline", 0, 1);
  const [first = "", second] = args.positionals;
  const referenceRuns = args.list("reference-run");
  if (baseline !== null && (second !== undefined || referenceRuns.length > 0)) {
    throw usageError(
      "--baseline stands for the reference",
      {
        baseline: String(baseline),
        reference: second === undefined ? (referenceRuns[0] ?? "") : first,
      },
      "give the candidate alone with --baseline; more runs of it by --candidate-run",
    );
  }
  if (baseline === null && second === undefined) {
    throw usageError(
      "npu-diff eval takes 2 arguments, or 1 with --baseline",
      { expected: "<reference> <candidate>", given: JSON.stringify(first) },
      "give the results of both sides, or --baseline and those of the candidate",
    );
  }
  return {
    reference: baseline === null ? [first, ...referenceRuns] : [],
    candidate: [second ?? first, ...args.list("candidate-run")],
    baseline,
    passAt: args.integer("pass-at", 1, MAX_PASS_AT) ?? 1,
    maxDrop: readMaxDrop(args),
    decide: args.choice("decide", ["interval", "point"], "interval"),
    metric: args.text("metric"),
    filter: args.text("filter"),
    only: args.list("only"),
    skip: args.list("skip"),
  };
}

/** A limit of half of all items or more is one in points whose sign was forgotten. */
function readMaxDrop(args: Arguments): number | null {
  const drop = args.number("max-drop", 0, 1);
  const given = args.text("max-drop") ?? "";
  if (drop === null || drop < 0.5 || given.endsWith("%")) return drop;
  throw usageError(
    "--max-drop is a share, or points with %",
    { given, meaning: `${String(drop * 100)} points` },
    `write --max-drop ${given}% for ${given} points, or ${String(drop * 100)}% if that is meant`,
  );
}

/** The renderers of task results; other commands start sooner without them. */
async function renderer(
  result: TaskResultsComparison,
): Promise<(format: (typeof FORMATS)[number], options: TextOptions) => string> {
  const [
    { renderTaskText },
    { renderTaskJson },
    { renderTaskMarkdown },
    { renderTaskJunit },
    { renderTaskGithub },
  ] = await Promise.all([
    import("../../report/task-results/text.ts"),
    import("../../report/task-results/json.ts"),
    import("../../report/task-results/markdown.ts"),
    import("../../report/task-results/junit.ts"),
    import("../../report/task-results/github.ts"),
  ]);
  return (format, options) => {
    switch (format) {
      case "text":
        return renderTaskText(result, options);
      case "json":
        return renderTaskJson(result);
      case "md":
        return renderTaskMarkdown(result, options);
      case "junit":
        return renderTaskJunit(result);
      case "github":
        return renderTaskGithub(result, options);
    }
  };
}
