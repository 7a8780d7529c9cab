/** Performance in Markdown. */

import { escapeLine } from "../../core/escape.ts";
import type { PerformanceResult } from "../../core/performance.ts";
import { markdownTable } from "../markdown-parts.ts";
import type { Language } from "../messages/index.ts";
import { PERFORMANCE_MESSAGES } from "./messages.ts";
import { performanceConditions, performanceTables } from "./tables.ts";

/**
 * Sections of lines: a title, the conditions, and the tables; empty where nothing was measured.
 *
 * @param heading the number signs of the title
 */
export function performanceSections(
  performance: PerformanceResult | null,
  lang: Language,
  heading = "###",
): readonly (readonly string[])[] {
  if (performance === null) return [];
  return [
    [`${heading} ${PERFORMANCE_MESSAGES[lang].title}`],
    performanceConditions(performance, lang).map((line) => `- ${escapeLine(line)}`),
    ...performanceTables(performance, lang).flatMap(({ title, rows, more }) => [
      [`**${escapeLine(title)}**`],
      markdownTable(rows),
      ...(more === null ? [] : [[escapeLine(more)]]),
    ]),
  ];
}
