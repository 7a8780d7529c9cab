/** All report formats by name. */

import type { ComparisonResult } from "../core/result.ts";
import { renderJson } from "./json.ts";
import { renderMarkdown } from "./markdown.ts";
import { renderText, type TextOptions } from "./text.ts";

export type Format = "text" | "json" | "md";

/** The formats that there are, in the order in which the help lists them. */
export const FORMATS: readonly Format[] = ["text", "json", "md"];

/** Renders `result`; options that a format has no use for are ignored. */
export function render(result: ComparisonResult, format: Format, options: TextOptions): string {
  switch (format) {
    case "text":
      return renderText(result, options);
    case "json":
      return renderJson(result);
    case "md":
      return renderMarkdown(result, options);
  }
}
