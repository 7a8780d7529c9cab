import type { CauseId } from "../cause-texts/ids.ts";
import type { Features } from "./features.ts";

/** A cause that fits. */
export interface Named {
  /** How sure the rule is, 0 … 1: a judgement from the study's cases, no probability. */
  readonly confidence: number;
  /** The numbers that the cause's text shows, by the names that it uses. */
  readonly detail: Readonly<Record<string, string | number>>;
}

/** One kind of error, known by its statistics. */
export interface Cause {
  readonly id: CauseId;
  /** Null where the specimen does not look like it. */
  find(features: Features): Named | null;
}
