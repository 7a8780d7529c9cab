import type { MapRule } from "../../core/name-map.ts";
import type { PerformanceSource } from "../../dump/performance/source.ts";
import type { TextOptions } from "../../report/text.ts";
import { usageError } from "../arguments.ts";
import { EXIT } from "../exit-code.ts";
import { readFormat } from "../format.ts";
import { inspectDump } from "../inspect-dump.ts";
import { renderInspectionJson, renderInspectionText } from "../inspect-report.ts";
import type { OptionName } from "../options.ts";
import { INSPECT_FORMATS, type InspectFormat, renderPerformance } from "../performance-report.ts";
import { readMap } from "../read-map.ts";
import { readTextOptions } from "../reports.ts";
import type { Command } from "./command.ts";

/** What this command says differently. */
const DESCRIPTIONS: Partial<Record<OptionName, string>> = {
  map: "Names where the files' own differ, for --tensor",
  format: "Report: text, json; of performance figures also md",
};

export const inspect: Command = {
  name: "inspect",
  describe:
    "Show what is in a dump: run metadata, samples, tensors; of two dumps one tensor in depth, or performance figures side by side",
  positionals: ["dump"],
  optional: ["candidate"],
  takesDumps: true,
  examples: [
    "npu-diff inspect npu.arrow",
    "npu-diff inspect npu.arrow --json",
    "npu-diff inspect cpu.arrow npu.arrow --tensor layers.7.mlp",
    "npu-diff inspect cpu-bench.arrow npu-bench.arrow --format md",
  ],
  options: ["tensor", "map", "format", "json", "lang", "color", "ascii", "debug"],
  describeOption: (option) => {
    const describe = DESCRIPTIONS[option];
    return describe === undefined ? {} : { describe };
  },
  async run(args, host) {
    const format = readFormat(args, INSPECT_FORMATS);
    const shown = readTextOptions(args, host);
    const [first = "", second] = args.positionals;
    const tensor = args.text("tensor");
    if (tensor === null && args.isFlagged("map")) {
      throw usageError(
        "--map is about two dumps",
        { given: "--map without --tensor" },
        "npu-diff inspect REFERENCE CANDIDATE --tensor NAME --map FILE",
      );
    }
    const report =
      tensor !== null
        ? await inspectDepth(first, second, tensor, format, shown, await readMap(args, host))
        : second === undefined
          ? await inspectOne(first, format, shown)
          : await inspectPair(first, second, format, shown);
    await host.stdout.write(report);
    return EXIT.pass;
  },
};

/** One tensor of a pair. */
async function inspectDepth(
  reference: string,
  candidate: string | undefined,
  tensor: string,
  format: InspectFormat,
  options: TextOptions,
  map: readonly MapRule[],
): Promise<string> {
  if (candidate === undefined) {
    throw usageError(
      "--tensor compares two dumps",
      { given: reference, "--tensor": tensor },
      "npu-diff inspect REFERENCE CANDIDATE --tensor NAME",
    );
  }
  if (format === "md") {
    throw usageError(
      "one tensor in depth is not written as Markdown",
      { given: "--format md", expected: "text, json" },
      "give --format text or json",
    );
  }
  const [{ inspectTensor }, { renderDepthJson }, { renderDepthText }] = await Promise.all([
    import("../inspect-tensor.ts"),
    import("../../report/depth/schema.ts"),
    import("../../report/depth/text.ts"),
  ]);
  const report = inspectTensor({ reference, candidate }, tensor, map);
  return format === "json" ? renderDepthJson(report) : renderDepthText(report, options);
}

async function inspectOne(
  path: string,
  format: InspectFormat,
  options: TextOptions,
): Promise<string> {
  const { holdsBenchJson, openPerformance } = await import(
    "../../dump/performance/open-performance.ts"
  );
  const { comparePerformance } = await import("../../measure/performance.ts");
  const alone = (reference: PerformanceSource | null) =>
    comparePerformance({ reference, candidate: null });
  if (holdsBenchJson(path)) {
    return renderPerformance(alone(openPerformance(path)), format, options);
  }
  const { openDump } = await import("../../dump/open-dump.ts");
  const { readDumpPerformance } = await import("../../dump/performance/perf-tensors.ts");
  const dump = openDump(path);
  try {
    const performance = alone(readDumpPerformance(dump));
    if (format === "md") {
      if (performance === null) throw noMarkdown(dump.file);
      return renderPerformance(performance, format, options);
    }
    const inspection = { ...inspectDump(dump), performance };
    return format === "json"
      ? renderInspectionJson(inspection)
      : renderInspectionText(inspection, options);
  } finally {
    dump.close();
  }
}

/** Two files that hold performance figures alone. */
async function inspectPair(
  reference: string,
  candidate: string,
  format: InspectFormat,
  options: TextOptions,
): Promise<string> {
  const { openPerformance } = await import("../../dump/performance/open-performance.ts");
  const { comparePerformance } = await import("../../measure/performance.ts");
  const alone = { alone: true };
  const performance = comparePerformance({
    reference: openPerformance(reference, alone),
    candidate: openPerformance(candidate, alone),
  });
  return renderPerformance(performance, format, options);
}

function noMarkdown(file: string): Error {
  return usageError(
    "only performance figures are inspected as Markdown",
    { given: "--format md", found: `${file} without perf.*` },
    "give --format text or json",
  );
}
