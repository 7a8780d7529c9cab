/** The report of a comparison as one page, which is read whole without its script. */

import { escapeText } from "../../core/escape.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { type Language, MESSAGES } from "../messages/index.ts";
import { verdictLines } from "../verdict-lines.ts";
import type { PageContext } from "./context.ts";
import { pageShell } from "./page-shell.ts";
import { reportBody } from "./report-body.ts";
import { PAGE_WORDS } from "./words/index.ts";

/** What the page is told beside the result. */
export interface PageOptions {
  readonly lang: Language;
  /** What repeats the comparison, without folders; null where it is not known. */
  readonly command: string | null;
}

/**
 * The report as one HTML file that loads nothing, ending with a newline; the same result
 * gives the same bytes. What it draws of single tokens and elements is there where the
 * comparison was made with `details`.
 */
export function renderHtml(result: ComparisonResult, given: Partial<PageOptions> = {}): string {
  const { lang, command }: PageOptions = { lang: "en", command: null, ...given };
  const context: PageContext = { m: MESSAGES[lang], w: PAGE_WORDS[lang], lang, pair: null };
  const { m } = context;
  const { headline } = verdictLines(result, lang);
  const title = `${m.verdict[result.verdict]}${m.colon}${escapeText(headline, 120)}`;
  const body = reportBody(result, { command, extent: "full" }, context);
  return pageShell({ title, tool: "npu-diff compare", body }, context);
}
