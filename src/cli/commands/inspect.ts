import { EXIT } from "../exit-code.ts";
import { readFormat } from "../format.ts";
import { inspectDump } from "../inspect-dump.ts";
import { renderInspectionJson, renderInspectionText } from "../inspect-report.ts";
import type { Command } from "./command.ts";

export const inspect: Command = {
  name: "inspect",
  describe: "Show what is in a dump: run metadata, samples, tensors",
  positionals: ["dump"],
  takesDumps: true,
  examples: ["npu-diff inspect npu.arrow", "npu-diff inspect npu.arrow --json"],
  options: ["format", "json", "debug"],
  describeOption: (option) => (option === "format" ? { describe: "Report: text, json" } : {}),
  async run(args, host) {
    const [path = ""] = args.positionals;
    const format = readFormat(args, ["text", "json"]);
    const { openDump } = await import("../../dump/open-dump.ts");
    const dump = openDump(path);
    try {
      const inspection = inspectDump(dump);
      const columns = Math.min(80, host.stdout.columns ?? 80);
      await host.stdout.write(
        format === "json"
          ? renderInspectionJson(inspection)
          : renderInspectionText(inspection, columns),
      );
    } finally {
      dump.close();
    }
    return EXIT.pass;
  },
};
