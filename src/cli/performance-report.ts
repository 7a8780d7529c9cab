/** How `npu-diff inspect` shows performance figures alone, of one file or of two. */

import type { PerformanceResult } from "../core/performance.ts";
import { machineJson } from "../report/json.ts";
import { performanceSections } from "../report/performance/markdown.ts";
import { performanceBlocks } from "../report/performance/text.ts";
import { makeContext, type TextOptions } from "../report/text.ts";

/** The formats that `npu-diff inspect` has; a dump without performance has no Markdown. */
export const INSPECT_FORMATS = ["text", "json", "md"] as const;

export type InspectFormat = (typeof INSPECT_FORMATS)[number];

/** The report as text that ends with a newline. */
export function renderPerformance(
  performance: PerformanceResult | null,
  format: InspectFormat,
  options: TextOptions,
): string {
  switch (format) {
    case "json":
      return machineJson({ schemaVersion: 1, performance });
    case "md":
      return joined(performanceSections(performance, options.lang));
    case "text":
      return joined([
        ["npu-diff inspect"],
        ...performanceBlocks(performance, makeContext(options)),
      ]);
  }
}

function joined(blocks: readonly (readonly string[])[]): string {
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}
