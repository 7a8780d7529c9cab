/** What both sides would say next where they differ most. */

import type { Pair, Unit } from "../align/align.ts";
import { extentOf } from "../align/shapes.ts";
import { tokenTexts } from "../align/texts.ts";
import { readIds, tokenKey, tokenTable } from "../align/tokens.ts";
import type { LikelyToken, LogitPosition } from "../core/details.ts";
import { DTYPES } from "../core/dtype.ts";
import type { TokenAt } from "../core/places.ts";
import { decodeInto } from "../dump/decode.ts";
import type { Dump } from "../dump/dump.ts";
import { isMeasurable } from "./measure-tensor.ts";
import { sourcesOf } from "./reread-rows.ts";
import { SEGMENT_ELEMENTS, type Source } from "./segments.ts";
import { TopK } from "./top-k.ts";
import { Worst } from "./worst.ts";

/** Positions that are shown, of which half are flips where there are as many. */
const SHOWN = 12;
/** Tokens listed of each side. */
const LISTED = 5;
/** Tokens of the prompt up to the position. */
const CONTEXT = 8;

/** What was seen of a position when it was measured. */
type Seen = Pick<
  LogitPosition,
  "sample" | "step" | "token" | "kl" | "margin" | "nearTie" | "agrees"
>;

/** Picks positions while they are measured: the largest KL, and the flips with the largest margin. */
export class PositionPicker {
  private readonly byKl = new Worst<Seen>(SHOWN);
  private readonly flips = new Worst<Seen>(SHOWN / 2);

  /** A figure that is NaN counts as the largest. */
  add(at: TokenAt, figures: Omit<Seen, keyof TokenAt>): void {
    const { kl, margin, agrees } = figures;
    const [size, depth] = [kl, margin].map((one) =>
      Number.isNaN(one) ? Number.POSITIVE_INFINITY : one,
    ) as [number, number];
    if (size > this.byKl.threshold) this.byKl.add(size, { ...at, ...figures });
    if (!agrees && depth > this.flips.threshold) this.flips.add(depth, { ...at, ...figures });
  }

  /** The largest KL first. */
  get positions(): readonly Seen[] {
    const flips = this.flips.items;
    const taken = new Set(flips.map(keyOf));
    const others = this.byKl.items.filter((one) => !taken.has(keyOf(one)));
    return [...flips, ...others.slice(0, SHOWN - flips.length)].toSorted((a, b) =>
      a.kl === b.kl ? 0 : b.kl - a.kl,
    );
  }
}

function keyOf({ sample, step, token }: TokenAt): string {
  return `${sample}.${step}.${token}`;
}

/**
 * Reads the rows of `picked` once more.
 *
 * @param logits the whole logits of the prompts.
 * @throws NpuDiffError where a file cannot be read.
 */
export function readPositions(
  picked: readonly Seen[],
  logits: Unit | undefined,
  { reference, candidate }: { readonly reference: Dump; readonly candidate: Dump },
): readonly LogitPosition[] {
  if (logits === undefined || !isMeasurable(logits)) return [];
  return picked.flatMap((seen): readonly LogitPosition[] => {
    const pair = logits.pairs.find((one) => one.sample === seen.sample && one.step === seen.step);
    if (pair === undefined) return [];
    const compared = { unit: logits, dump: candidate, reference };
    const sources = sourcesOf(compared, pair);
    const { context, words } = textsAt(reference, pair, seen.token);
    const [ofReference, ofCandidate] = sources.map((source) =>
      likeliest(source, pair, seen.token, words),
    ) as [readonly LikelyToken[], readonly LikelyToken[]];
    return [{ ...seen, context, reference: ofReference, candidate: ofCandidate }];
  });
}

/** The prompt up to `token`, and the ids of the prompt with their texts. */
function textsAt(
  dump: Dump,
  { sample, reference }: Pair,
  token: number,
): { readonly context: readonly string[] | null; readonly words: ReadonlyMap<number, string> } {
  const texts = tokenTexts(dump, sample);
  const { rows } = extentOf(reference.shape);
  if (texts?.length !== rows) return { context: null, words: new Map() };
  const entry = tokenTable(dump, "input_ids").get(tokenKey(sample, 0));
  const ids = entry?.elements === rows ? readIds(dump, entry, 0, rows) : new Float64Array(0);
  return {
    context: texts.slice(Math.max(0, token + 1 - CONTEXT), token + 1),
    words: new Map(Array.from(ids, (id, i) => [id, texts[i] ?? ""])),
  };
}

/** The likeliest tokens of a row with their probabilities; NaN in the row makes these NaN. */
function likeliest(
  source: Source,
  { reference }: Pair,
  row: number,
  words: ReadonlyMap<number, string>,
): readonly LikelyToken[] {
  const { width } = extentOf(reference.shape);
  const { dtype } = source.entry;
  const { bytes: size } = DTYPES[dtype];
  const best = new TopK(LISTED);
  // The sum of exponentials, as so many times that of the largest seen.
  let [most, sum] = [Number.NEGATIVE_INFINITY, 0];
  for (let from = 0; from < width; from += SEGMENT_ELEMENTS) {
    const count = Math.min(SEGMENT_ELEMENTS, width - from);
    const bytes = new Uint8Array(count * size);
    const values = new Float64Array(count);
    source.dump.read(source.entry, (row * width + from) * size, bytes);
    decodeInto(dtype, bytes, values);
    for (const [i, value] of values.entries()) {
      if (Number.isNaN(value)) {
        sum = Number.NaN;
        continue;
      }
      best.add(value, from + i);
      if (value > most) {
        sum = most === Number.NEGATIVE_INFINITY ? sum + 1 : sum * Math.exp(most - value) + 1;
        most = value;
      } else if (value > Number.NEGATIVE_INFINITY) {
        sum += Math.exp(value - most);
      }
    }
  }
  return Array.from({ length: best.count }, (_, i) => {
    const id = best.indices[i] as number;
    const probability = Math.exp((best.values[i] as number) - most) / sum;
    return { id, text: words.get(id) ?? null, probability };
  });
}
