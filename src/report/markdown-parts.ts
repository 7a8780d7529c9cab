/** Parts of a Markdown report: tables and titles. */

import { escapeMarkdown, escapeXml } from "../core/escape.ts";
import type { InputSummary } from "../core/inputs.ts";
import { deviceOf, dtypeOf } from "./input-label.ts";

/** A figure without a side of its own. */
export const NO_SIDE = "—";

/** `NPU (Ascend910B2), BF16`; the side's own word where the dump names no device. */
export function sideTitle(input: InputSummary, side: string): string {
  const device = deviceOf(input);
  const dtype = dtypeOf(input);
  const shown =
    device === null
      ? side
      : device.replace(/^(?:cpu|npu|gpu|cuda)\b/, (type) => type.toUpperCase());
  return dtype === null ? shown : `${shown}, ${dtype}`;
}

/**
 * `sections` behind a title that opens them. The blank line after the title lets
 * GitHub and model hubs read what follows as Markdown.
 */
export function folded(
  title: string,
  sections: readonly (readonly string[])[],
): readonly (readonly string[])[] {
  return [["<details>", `<summary>${escapeXml(title)}</summary>`], ...sections, ["</details>"]];
}

/** The first row is the head. */
export function markdownTable(rows: readonly (readonly string[])[]): readonly string[] {
  const [head = [], ...body] = rows;
  const line = (cells: readonly string[]): string => `| ${cells.map(escapeCell).join(" | ")} |`;
  return [line(head), `|${head.map(() => "---").join("|")}|`, ...body.map(line)];
}

/** A cell; our own `**` around a whole one stays. */
function escapeCell(text: string): string {
  const own = /^\*\*([^*]+)\*\*$/.exec(text);
  return own?.[1] === undefined ? escapeMarkdown(text) : `**${escapeMarkdown(own[1])}**`;
}

/** A command as code, so that no dash or quote of it is made nicer; as text where a name in it could end the code. */
export function commandText(command: string): string {
  return /^[\w ./*:=,+-]+$/.test(command) ? `\`${command}\`` : escapeMarkdown(command);
}
