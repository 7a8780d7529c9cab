/** Keywords that a continuation must contain (`expect`), as the runs' metadata name them. */

import { NpuDiffError } from "../../core/errors.ts";
import type { KeywordTotals } from "../../core/generation.ts";
import type { Dump } from "../../dump/dump.ts";
import { isJsonObject } from "../../dump/json.ts";
import type { BothSides } from "./outcome.ts";

/** The keywords of each sample, by its number. */
export type Expected = ReadonlyMap<number, readonly string[]>;

/**
 * What either side expects, samples ascending, the reference's keywords first.
 *
 * @throws NpuDiffError `dump-metadata` where `expect` names no samples with lists of texts: a check
 *   that somebody asked for must not be left out in silence.
 */
export function expectedKeywords({ reference, candidate }: BothSides): Expected {
  const found = new Map<number, Set<string>>();
  for (const { dump } of [reference, candidate]) {
    for (const [sample, keywords] of keywordsOf(dump)) {
      found.set(sample, new Set([...(found.get(sample) ?? []), ...keywords]));
    }
  }
  const bySample = [...found].sort(([a], [b]) => a - b);
  return new Map(bySample.map(([sample, keywords]) => [sample, [...keywords]]));
}

function keywordsOf(dump: Dump): readonly (readonly [number, readonly string[]])[] {
  const expect = dump.run["expect"] ?? {};
  const wrong = (found: string): NpuDiffError =>
    new NpuDiffError("dump-metadata", {
      what: `${dump.file}: "expect" does not say which keywords the continuations must contain`,
      facts: [
        { label: "found", text: found },
        { label: "expected", text: '{"0": ["Paris"]}: a list of texts for a sample\'s number' },
      ],
      help: "capture the dump again, with the keywords in the file of prompts",
    });
  if (!isJsonObject(expect)) throw wrong(JSON.stringify(expect));
  return Object.entries(expect).map(([sample, keywords]) => {
    if (!/^\d{1,10}$/.test(sample) || !isTexts(keywords)) {
      throw wrong(`${JSON.stringify(sample)}: ${JSON.stringify(keywords)}`);
    }
    return [Number(sample), keywords];
  });
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

/**
 * Whether `text` contains each keyword: as a substring of the whole text, case
 * and all, both in Unicode's composed form (NFC). Null without a text.
 */
export function containsEach(
  text: string | null,
  keywords: readonly string[],
): readonly (boolean | null)[] {
  if (text === null || keywords.length === 0) return keywords.map(() => null);
  const composed = text.normalize("NFC");
  return keywords.map((keyword) => composed.includes(keyword.normalize("NFC")));
}

/** Whether the candidate lost a keyword that the reference has; null where a text is not there that decides it. */
export function isLost(reference: boolean | null, candidate: boolean | null): boolean | null {
  if (reference === false || candidate === true) return false;
  return reference === null || candidate === null ? null : true;
}

/** Adds up what was found. */
export class KeywordCount {
  private keywords = 0;
  private reference = 0;
  private candidate = 0;
  private lost = 0;
  private open = 0;
  private firstLost: number | null = null;
  private firstOpen: number | null = null;

  /** @returns whether the candidate lost this one; null where that is open. */
  add(sample: number, reference: boolean | null, candidate: boolean | null): boolean | null {
    this.keywords += 1;
    if (reference === true) this.reference += 1;
    if (candidate === true) this.candidate += 1;
    const lost = isLost(reference, candidate);
    if (lost === null) {
      this.open += 1;
      this.firstOpen ??= sample;
    } else if (lost) {
      this.lost += 1;
      this.firstLost ??= sample;
    }
    return lost;
  }

  /** Null where no keyword was added. */
  result(): KeywordTotals | null {
    const { keywords, reference, candidate, lost, open, firstLost, firstOpen } = this;
    if (keywords === 0) return null;
    return { keywords, reference, candidate, lost, open, firstLost, firstOpen };
  }
}
