/** All report formats by name. */

import type { ComparisonResult } from "../core/result.ts";
import { renderCsv } from "./csv.ts";
import { renderGithub } from "./github.ts";
import { type PageOptions, renderHtml } from "./html/page.ts";
import { renderJson } from "./json.ts";
import { renderJunit } from "./junit.ts";
import { renderMarkdown } from "./markdown.ts";
import { renderSarif, type SarifOptions } from "./sarif.ts";
import { renderText, type TextOptions } from "./text.ts";

export type Format = "text" | "json" | "md" | "html" | "junit" | "sarif" | "github" | "csv";

/** The formats that there are, in the order in which the help lists them. */
export const FORMATS = [
  "text",
  "json",
  "md",
  "html",
  "junit",
  "sarif",
  "github",
  "csv",
] as const satisfies readonly Format[];

export type RenderOptions = TextOptions & PageOptions & Pick<SarifOptions, "exitCode">;

/** Renders `result`; options that a format has no use for are ignored. */
export function render(result: ComparisonResult, format: Format, options: RenderOptions): string {
  switch (format) {
    case "text":
      return renderText(result, options);
    case "json":
      return renderJson(result);
    case "md":
      return renderMarkdown(result, options);
    case "html":
      return renderHtml(result, options);
    case "junit":
      return renderJunit(result);
    case "sarif":
      return renderSarif(result, options);
    case "github":
      return renderGithub(result, options);
    case "csv":
      return renderCsv(result);
  }
}
