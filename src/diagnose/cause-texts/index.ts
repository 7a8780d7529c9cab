/**
 * The table of causes: every kind of error that a comparison or a probe can
 * name, by a stable id. The diagnosis takes ids and messages from here; the
 * reports and `npu-diff explain` take the words.
 */

import { fillTemplate } from "../../core/template.ts";
import type { CauseText } from "./cause-text.ts";
import { COMPARE_EN } from "./en/compare.ts";
import { PROBE_EN } from "./en/probe.ts";
import { CAUSE_FACTS, type CauseFacts } from "./facts.ts";
import { CAUSE_IDS, type CauseId } from "./ids.ts";
import { COMPARE_ZH } from "./zh/compare.ts";
import { PROBE_ZH } from "./zh/probe.ts";

const EN: Readonly<Record<CauseId, CauseText>> = { ...COMPARE_EN, ...PROBE_EN };
const ZH: Readonly<Record<CauseId, CauseText>> = { ...COMPARE_ZH, ...PROBE_ZH };

/** A cause with all that there is to say about it. */
export interface CauseEntry extends CauseFacts {
  readonly id: CauseId;
  readonly en: CauseText;
  readonly zh: CauseText;
}

/** The table of causes. */
export const CAUSES: Readonly<Record<CauseId, CauseEntry>> = Object.fromEntries(
  CAUSE_IDS.map((id): [CauseId, CauseEntry] => [
    id,
    { ...CAUSE_FACTS[id], id, en: EN[id], zh: ZH[id] },
  ]),
) as Record<CauseId, CauseEntry>;

/** Whether `id` names a cause. */
export function isCauseId(id: string): id is CauseId {
  return Object.hasOwn(CAUSE_FACTS, id);
}

/** The message of a cause with the numbers of `detail`; null where one that it names is lacking. */
export function causeMessage(
  id: CauseId,
  lang: "en" | "zh",
  detail: Readonly<Record<string, string | number>>,
): string | null {
  return fillTemplate(CAUSES[id][lang].message, detail);
}
