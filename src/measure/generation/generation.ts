/** What the model wrote on both sides, over all samples. */

import { Distribution } from "../../core/distribution.ts";
import type { GenerationResult } from "../../core/generation.ts";
import type { FloorSource } from "../measure-tensor.ts";
import { containsEach, type Expected, expectedKeywords, KeywordCount } from "./keywords.ts";
import { MarginMeter } from "./margin.ts";
import { type BothSides, type Outcome, outcomeOf } from "./outcome.ts";
import { sampleTexts } from "./sample-texts.ts";

/** Samples that the result lists: with two texts each, what a person looks through. */
const LISTED = 50;

/**
 * Compares the continuations of every sample, sample by sample in bounded memory.
 *
 * @param floors give the size of a logit's error where they hold whole logits.
 * @returns null where neither side continues any prompt.
 * @throws NpuDiffError `dump-corrupt` where a continuation holds what cannot be,
 *   `dump-metadata` where the keywords are none.
 */
export function measureGeneration(
  sides: BothSides,
  floors: readonly FloorSource[],
): GenerationResult | null {
  const { reference, candidate } = sides;
  const mine = new Set(reference.samples);
  const theirs = new Set(candidate.samples);
  const samples = [...new Set([...mine, ...theirs])].sort((a, b) => a - b);
  if (samples.length === 0) return null;
  const expected = expectedKeywords(sides);
  const margins = new MarginMeter(sides, floors);
  const counts = new Counts();
  const shortlist = new Shortlist();
  for (const sample of samples) {
    const outcome = outcomeOf(sample, sides, margins);
    counts.add(outcome);
    shortlist.add(sample, outcome, counts.addKeywords(sample, sides, expected));
  }
  // Keywords of prompts that nobody continued are as open as those of a missing text.
  for (const sample of expected.keys()) {
    if (!mine.has(sample) && !theirs.has(sample)) counts.addKeywords(sample, sides, expected);
  }
  const listed = shortlist.samples();
  return {
    ...counts.result(),
    sampled: (["reference", "candidate"] as const).filter((side) => sides[side].sampled),
    only: {
      reference: samples.filter((sample) => !theirs.has(sample)).length,
      candidate: samples.filter((sample) => !mine.has(sample)).length,
    },
    listed: listed.map((sample) =>
      sampleTexts(sample, sides, expected.get(sample) ?? [], outcomeOf(sample, sides, margins)),
    ),
    omitted: samples.length - listed.length,
  };
}

/** Totals over the samples. */
class Counts {
  private compared = 0;
  private exact = 0;
  private byText = 0;
  private tokenSum = 0;
  private readonly tokens = new Distribution();
  private readonly margins = { nearTies: 0, real: 0, unknown: 0 };
  private readonly keywords = new KeywordCount();

  add(outcome: Outcome): void {
    if (outcome.kind === "notCompared") return;
    this.compared += 1;
    if (outcome.kind === "identical") {
      this.exact += 1;
      if (outcome.byText) this.byText += 1;
      return;
    }
    const { token, margin } = outcome;
    if (token === null) {
      this.byText += 1;
    } else {
      this.tokenSum += token;
      this.tokens.add(token);
    }
    this.margins[margin.nearTie === null ? "unknown" : margin.nearTie ? "nearTies" : "real"] += 1;
  }

  /** @returns whether the candidate lost a keyword of the sample, or may have. */
  addKeywords(sample: number, { reference, candidate }: BothSides, expected: Expected): boolean {
    const keywords = expected.get(sample) ?? [];
    if (keywords.length === 0) return false;
    const mine = containsEach(reference.text(sample), keywords);
    const theirs = containsEach(candidate.text(sample), keywords);
    const lost = keywords.map((_keyword, i) =>
      this.keywords.add(sample, mine[i] ?? null, theirs[i] ?? null),
    );
    return lost.some((one) => one !== false);
  }

  result(): Omit<GenerationResult, "sampled" | "only" | "listed" | "omitted"> {
    const { tokens } = this;
    return {
      samples: this.compared,
      exact: this.exact,
      firstDivergence:
        tokens.count === 0
          ? null
          : {
              mean: this.tokenSum / tokens.count,
              p50: tokens.quantile(0.5),
              min: tokens.quantile(0),
            },
      byText: this.byText,
      divergences: { ...this.margins },
      keywords: this.keywords.result(),
    };
  }
}

/** What a reader asks for first. */
const URGENCY = ["lost", "real", "unknown", "nearTie", "notCompared", "identical"] as const;

/** The most urgent samples, as many as are listed. */
class Shortlist {
  private readonly ranks = new Map(URGENCY.map((urgency) => [urgency, [] as number[]] as const));

  add(sample: number, outcome: Outcome, lost: boolean): void {
    const rank = this.ranks.get(lost ? "lost" : urgencyOf(outcome));
    if (rank !== undefined && rank.length < LISTED) rank.push(sample);
  }

  /** Ascending. */
  samples(): readonly number[] {
    const ranked = URGENCY.flatMap((urgency) => this.ranks.get(urgency) ?? []);
    return ranked.slice(0, LISTED).sort((a, b) => a - b);
  }
}

function urgencyOf(outcome: Outcome): (typeof URGENCY)[number] {
  if (outcome.kind !== "parts") return outcome.kind;
  const { nearTie } = outcome.margin;
  return nearTie === null ? "unknown" : nearTie ? "nearTie" : "real";
}
