/** Levels of rules as a config sets them: what is switched off is not found, but said. */

import { NpuDiffError } from "../core/errors.ts";
import type { AppliedRule, Finding } from "../core/findings.ts";
import { nearest } from "../core/nearest.ts";
import { isOpen } from "../core/open-finding.ts";
import type { LevelSetting } from "../core/options.ts";
import { matchesAny } from "../dump/contract.ts";
import { finding } from "./findings.ts";
import { RULE_IDS, RULES, type RuleId } from "./rules.ts";

/** Rules that say what nobody compared, or what a config did: without them something would pass unseen. */
const FIXED = new Set<RuleId>([
  "layer/undecided",
  "quality/undecided",
  "quality/undefined",
  "config/switched-off",
  "config/lowered",
]);

/** The rules whose level may be set. */
export const SETTABLE_RULES: readonly RuleId[] = RULE_IDS.filter((id) => !FIXED.has(id));

/** @throws NpuDiffError `usage` where the level of a rule is set that has none, or must not be */
export function checkLevels(settings: readonly LevelSetting[]): void {
  const isSettable = new Set<string>(SETTABLE_RULES);
  const wrong = settings.find(({ rule }) => !isSettable.has(rule));
  if (wrong === undefined) return;
  const meant = nearest(wrong.rule, SETTABLE_RULES);
  throw new NpuDiffError("usage", {
    what: `no level can be set for the rule ${JSON.stringify(wrong.rule)}`,
    facts: [
      { label: "set at", text: wrong.at },
      {
        label: "expected",
        text: "a rule that npu-diff explain lists, other than those that say what is open",
      },
    ],
    help: meant === null ? "leave it out" : `did you mean ${meant}?`,
  });
}

export class Levels {
  private readonly settings: readonly LevelSetting[];

  /** @param settings of several for one finding the last counts. */
  constructor(settings: readonly LevelSetting[]) {
    this.settings = settings;
  }

  /** `found` at the level that is set for it; null where its rule is switched off. */
  of(found: Finding): Finding | null {
    // What a router leaves open belongs to the rule that it leaves open.
    const { rule: inner } = found.detail;
    const rules =
      found.rule === "layer/routed" && typeof inner === "string"
        ? [found.rule, inner]
        : [found.rule];
    let levelled = found;
    for (const rule of rules) {
      const setting = this.settingOf(rule, found.tensor);
      if (setting?.level === "off") return null;
      if (setting !== null) levelled = withLevel(levelled, setting);
    }
    return levelled;
  }

  /** All of `found` at the levels that are set for them, without those of rules that are switched off. */
  all(found: readonly Finding[]): readonly Finding[] {
    return found.map((one) => this.of(one)).filter((one) => one !== null);
  }

  /** `rules` with those that are switched off for all tensors as not applied. */
  applied(rules: readonly AppliedRule[]): readonly AppliedRule[] {
    return rules.map((rule) =>
      this.settingOf(rule.rule, null)?.level === "off"
        ? {
            ...rule,
            applied: false,
            limit: null,
            limitFrom: null,
            decide: null,
            reason: "switched-off",
          }
        : rule,
    );
  }

  /** What a reader must know of the levels that are set: each rule that is switched off, or lowered, and where. */
  notices(): readonly Finding[] {
    return this.settings
      .filter(
        ({ rule, level, tensors }, index) =>
          (level === "off" || (level === "warning" && isError(rule))) &&
          // A later setting for the same tensors takes its place.
          !this.settings
            .slice(index + 1)
            .some((later) => later.rule === rule && sameGlobs(later.tensors, tensors)),
      )
      .map(({ rule, level, tensors, at }) =>
        finding(level === "off" ? "config/switched-off" : "config/lowered", {
          detail: { rule, at, tensors: tensors === null ? "*" : tensors.join(" ") },
        }),
      );
  }

  private settingOf(rule: string, tensor: string | null): LevelSetting | null {
    return (
      this.settings.findLast(
        (one) =>
          one.rule === rule &&
          (one.tensors === null || (tensor !== null && matchesAny(one.tensors, tensor))),
      ) ?? null
    );
  }
}

function withLevel(found: Finding, { level, at }: LevelSetting): Finding {
  if (level === "warning") {
    if (found.level === "info") return found;
    return { ...found, level, detail: { ...found.detail, setAt: at } };
  }
  // That something is open is no proof of a fault.
  if (level === "error" && found.level !== "error" && !isOpen(found)) {
    return { ...found, level, detail: { ...found.detail, setAt: at } };
  }
  return found;
}

/** Whether a rule fails a comparison by itself, or leaves it open. */
function isError(rule: string): boolean {
  return (
    rule === "layer/routed" || RULE_IDS.some((id) => id === rule && RULES[id].level === "error")
  );
}

function sameGlobs(a: readonly string[] | null, b: readonly string[] | null): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
