/** The logit lens as a folded part of a model card. */

import { escapeLine } from "../../core/escape.ts";
import type { LensResult } from "../../core/lens.ts";
import { formatCount } from "../format-number.ts";
import { folded, markdownTable } from "../markdown-parts.ts";
import type { Language } from "../messages/index.ts";
import { lensLines, lensTable } from "./lines.ts";
import { LENS_MESSAGES } from "./messages.ts";

/** Empty without a lens, or where nobody wanted one. */
export function lensSections(
  lens: LensResult | null,
  lang: Language,
): readonly (readonly string[])[] {
  if (lens === null || lens.notAvailable === "switched-off") return [];
  const w = LENS_MESSAGES[lang];
  const lines = lensLines(lens, lang).map((line) => `- ${escapeLine(line)}`);
  const table = lensTable(lens, lang);
  if (table.length === 0) return [[`#### ${w.title}`], lines];
  const title = w.rows(w.title, formatCount(table.length - 1));
  return folded(title, [lines, markdownTable(table)]);
}
