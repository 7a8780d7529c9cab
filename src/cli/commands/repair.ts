import { existsSync } from "node:fs";
import { escapeText } from "../../core/escape.ts";
import { formatBytes, formatCount } from "../../report/format-number.ts";
import { EXIT } from "../exit-code.ts";
import type { Command } from "./command.ts";

/** Names of incomplete tensors that are listed. */
const SHOWN = 5;

export const repair: Command = {
  name: "repair",
  describe: "Write a whole dump from one whose end is missing",
  positionals: ["in", "out"],
  examples: ["npu-diff repair npu.arrow.partial npu.arrow"],
  options: ["debug"],
  async run(args, host) {
    const [input = "", output = ""] = args.positionals;
    const { repairDump } = await import("../../dump/repair.ts");
    // Where repairDump writes before it knows that all is well. A file of that
    // name that is there already is somebody else's.
    const temporary = `${output}.repairing`;
    if (!existsSync(temporary)) host.temporary(temporary);
    const report = repairDump(input, output);
    const { incomplete } = report;
    const lines = [
      `repaired  ${escapeText(output)}`,
      `  kept     ${formatCount(report.batches)} record batches, ${formatCount(report.tensors)} complete tensors`,
      `  dropped  ${formatBytes(report.bytesDropped)} behind the last whole batch`,
      ...incomplete.slice(0, SHOWN).map((name) => `  missing  ${escapeText(name, 200)}`),
      ...(incomplete.length > SHOWN
        ? [`  missing  and ${formatCount(incomplete.length - SHOWN)} more`]
        : []),
    ];
    await host.stdout.write(`${lines.join("\n")}\n`);
    return EXIT.pass;
  },
};
