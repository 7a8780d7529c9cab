import { existsSync } from "node:fs";
import { escapeText } from "../../core/escape.ts";
import { formatBytes, formatCount } from "../../report/format-number.ts";
import { EXIT } from "../exit-code.ts";
import type { Command } from "./command.ts";

/** Lines about what the output cannot hold. */
const SHOWN = 5;

export const convert: Command = {
  name: "convert",
  describe:
    "Write a dump, in whatever format it is, as .arrow, .safetensors, .npz, or a table of its tensors as .csv",
  positionals: ["in", "out"],
  takesDumps: true,
  examples: [
    "npu-diff convert captured.npz npu.arrow",
    "npu-diff convert npu.arrow npu.safetensors",
    "npu-diff convert npu.arrow tensors.csv",
  ],
  options: ["debug"],
  async run(args, host) {
    const [input = "", output = ""] = args.positionals;
    const [{ convertDump }, { PARTIAL }] = await Promise.all([
      import("../../dump/convert/convert-dump.ts"),
      import("../../dump/convert/exported.ts"),
    ]);
    // A file of that name that is there already is somebody else's.
    const temporary = `${output}${PARTIAL}`;
    if (!existsSync(temporary)) host.temporary(temporary);
    const { from, tensors, bytes, left } = convertDump(input, output);
    const lines = [
      `converted  ${escapeText(output)}`,
      `  from      ${escapeText(from, 60)}`,
      `  tensors   ${formatCount(tensors)}, ${formatBytes(bytes)}`,
      ...left
        .slice(0, SHOWN)
        .map(({ name, why }) => `  left out  ${escapeText(name, 200)}: ${escapeText(why, 200)}`),
      ...(left.length > SHOWN ? [`  left out  and ${formatCount(left.length - SHOWN)} more`] : []),
    ];
    await host.stdout.write(`${lines.join("\n")}\n`);
    return EXIT.pass;
  },
};
