/** What is known of a rule: what it looks at, how its figures are written, the condition that breaks it. */

import type { RuleLevel } from "../core/findings.ts";

/** How a rule's `value` and `limit` are written. */
export type RuleUnit =
  /** A dimensionless quotient, 1 meaning «as large as expected». */
  | "ratio"
  /** A relative error, shown in e notation. */
  | "relative"
  | "cosine"
  /** A share of 1, shown in per cent. */
  | "share"
  /** A relative change, shown in per cent with its sign. */
  | "change"
  | "nats"
  | "count"
  /** In the unit of the tensor itself, or of its square. */
  | "absolute"
  /** A number of standard errors. */
  | "z";

export interface RuleFacts {
  /** The field of the result that the rule looks at, null where it is none. */
  readonly metric: string | null;
  /** Null where a finding has no `value`. */
  readonly unit: RuleUnit | null;
  readonly level: RuleLevel;
  /** The condition that breaks the rule; formulas are the same in every language. */
  readonly formula: string;
  /** Names in `Finding.detail` that the rule's texts use. */
  readonly detail: readonly string[];
}

/** The facts of one rule. */
export function facts(
  level: RuleLevel,
  metric: string | null,
  unit: RuleUnit | null,
  formula: string,
  ...detail: readonly string[]
): RuleFacts {
  return { metric, unit, level, formula, detail };
}
