/** The formats of a check by name. */

import type { CheckResult } from "../../core/check-result.ts";
import type { Format } from "../render.ts";
import type { SarifOptions } from "../sarif.ts";
import type { TextOptions } from "../text.ts";
import { renderCheckGithub } from "./github.ts";
import { type CheckPageOptions, renderCheckHtml } from "./html.ts";
import { renderCheckJson } from "./json.ts";
import { renderCheckJunit } from "./junit.ts";
import { renderCheckMarkdown } from "./markdown.ts";
import { renderCheckSarif } from "./sarif.ts";
import { renderCheckText } from "./text.ts";

/** The formats that there are, in the order in which the help lists them. */
export const CHECK_FORMATS = [
  "text",
  "json",
  "md",
  "html",
  "junit",
  "sarif",
  "github",
] as const satisfies readonly Format[];

export type CheckFormat = (typeof CHECK_FORMATS)[number];

export type CheckRenderOptions = TextOptions & CheckPageOptions & Pick<SarifOptions, "exitCode">;

/** Renders `check`; options that a format has no use for are ignored. */
export function renderCheck(
  check: CheckResult,
  format: CheckFormat,
  options: CheckRenderOptions,
): string {
  switch (format) {
    case "text":
      return renderCheckText(check, options);
    case "json":
      return renderCheckJson(check);
    case "md":
      return renderCheckMarkdown(check, options);
    case "html":
      return renderCheckHtml(check, options);
    case "junit":
      return renderCheckJunit(check);
    case "sarif":
      return renderCheckSarif(check, options);
    case "github":
      return renderCheckGithub(check, options);
  }
}
