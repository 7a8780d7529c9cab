/** The report of a comparison as one page, which is read whole without its script. */

import { escapeText } from "../../core/escape.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { type Language, MESSAGES } from "../messages/index.ts";
import { verdictLines } from "../verdict-lines.ts";
import type { PageContext } from "./context.ts";
import { pageShell } from "./page-shell.ts";
import { reportBody } from "./report-body.ts";
import { PAGE_WORDS } from "./words/index.ts";

export interface PageOptions {
  readonly lang: Language;
  /** What repeats the comparison, without folders; null where it is not known. */
  readonly command: string | null;
}

/** The report as HTML, ending with a newline; the same result gives the same bytes. */
export function renderHtml(result: ComparisonResult, { lang, command }: PageOptions): string {
  const context: PageContext = { m: MESSAGES[lang], w: PAGE_WORDS[lang], lang, pair: null };
  const { m } = context;
  const { headline } = verdictLines(result, lang);
  const title = `${m.verdict[result.verdict]}${m.colon}${escapeText(headline, 120)}`;
  const body = reportBody(result, { command, extent: "full" }, context);
  return pageShell({ title, tool: "npu-diff compare", body }, context);
}
