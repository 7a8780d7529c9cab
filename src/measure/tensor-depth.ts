/**
 * One tensor of a pair in depth: a pass of its own over the bytes of both sides,
 * in one thread, so that nothing depends on how many measure the rest.
 */

import type { Pair, Unit } from "../align/align.ts";
import { extentOf, unravel } from "../align/shapes.ts";
import { tokenTexts } from "../align/texts.ts";
import type { TensorDepth, WorstElement, WorstToken } from "../core/depth.ts";
import { DTYPES, type DType, type FloatDType, isFloatDType } from "../core/dtype.ts";
import type { Dump } from "../dump/dump.ts";
import { ChannelErrors } from "./channel-errors.ts";
import { headsOf } from "./heads.ts";
import { addPairs, PairSums, type PairTraits } from "./pair-sums.ts";
import { relationOf } from "./relation.ts";
import { sourcesOf } from "./reread-rows.ts";
import type { Segment, SegmentReader } from "./segments.ts";
import { UlpHistogramMeter } from "./ulp-histogram.ts";
import { Worst } from "./worst.ts";

/** Elements and tokens that are listed. */
const LISTED = 20;

/** The two sides that are looked at. */
export interface DepthSides {
  readonly reference: Dump;
  readonly candidate: Dump;
}

/**
 * Measures `unit`, whose shapes agree and whose data is dense and float.
 *
 * Memory is three numbers a channel and the lists; sums are float64. Elements
 * that are NaN or infinite are in no sum: alike on both sides they count as equal,
 * else they are counted and listed first. Without rows every list is empty.
 *
 * @throws NpuDiffError where a file cannot be read.
 */
export function measureDepth(
  unit: Unit,
  { reference, candidate }: DepthSides,
  reader: SegmentReader,
): TensorDepth {
  const width = extentOf(unit.pairs[0]?.candidate.shape ?? []).width;
  const meter = new DepthMeter(width);
  for (const pair of unit.pairs) {
    const { rows } = extentOf(pair.candidate.shape);
    const sources = sourcesOf({ unit, dump: candidate, reference }, pair);
    meter.begin(pair, sources[1].entry.dtype);
    reader.walk(sources, rows, width, (segment) => {
      meter.add(segment);
    });
  }
  const heads = headsOf(unit.name, width, reference.run);
  const { total, channels } = meter;
  const texts = textsOf(unit, reference);
  return {
    tensor: unit.name,
    layer: unit.layer,
    step: unit.group,
    dtypes: {
      reference: dtypesOf(unit.pairs.map((pair) => pair.reference.dtype)),
      candidate: dtypesOf(unit.pairs.map((pair) => pair.candidate.dtype)),
    },
    samples: new Set(unit.pairs.map(({ sample }) => sample)).size,
    rows: unit.pairs.reduce((sum, pair) => sum + extentOf(pair.candidate.shape).rows, 0),
    width,
    relL2: total.count === 0 ? Number.NaN : relationOf(total).relL2,
    maxAbs: total.count === 0 ? null : total.maxAbs,
    ulp: meter.histogram.result(),
    elements: meter.elements.items.map((one) => ({ ...one, text: texts(one) })),
    tokens: meter.tokens.items.map((one) => ({ ...one, text: texts(one) })),
    channels: channels?.worst(LISTED) ?? null,
    heads: typeof heads === "number" ? (channels?.heads(heads) ?? null) : null,
    noHeads: typeof heads === "number" ? null : heads,
  };
}

function dtypesOf(dtypes: readonly DType[]): readonly FloatDType[] {
  return [...new Set(dtypes)].filter(isFloatDType);
}

/** What a row stands for, of prompts whose rows are their tokens. */
function textsOf(
  { pairs }: Unit,
  reference: Dump,
): (at: {
  readonly sample: number;
  readonly step: number;
  readonly token: number;
}) => string | null {
  const known = new Map<number, readonly string[] | null>();
  return ({ sample, step, token }) => {
    if (step !== 0) return null;
    let texts = known.get(sample);
    if (texts === undefined) {
      const pair = pairs.find((one) => one.sample === sample && one.step === 0);
      const found = tokenTexts(reference, sample);
      texts = found?.length === extentOf(pair?.reference.shape ?? []).rows ? found : null;
      known.set(sample, texts);
    }
    return texts?.[token] ?? null;
  };
}

/** The running figures of {@link measureDepth}. */
class DepthMeter {
  readonly total = new PairSums();
  readonly histogram = new UlpHistogramMeter();
  readonly elements = new Worst<Omit<WorstElement, "text">>(LISTED);
  readonly tokens = new Worst<Omit<WorstToken, "text">>(LISTED);
  readonly channels: ChannelErrors | null;
  private readonly row = new PairSums();
  private readonly width: number;
  private pair: Pair | null = null;
  private traits: PairTraits | null = null;

  constructor(width: number) {
    this.width = width;
    this.channels = ChannelErrors.of(width);
  }

  begin(pair: Pair, dtype: FloatDType): void {
    this.pair = pair;
    const wide = [pair.reference, pair.candidate].some((entry) => entry.dtype === "F64");
    this.traits = { wide, maxFinite: DTYPES[dtype].maxFinite, saturationDistance: 0 };
    this.histogram.begin(dtype);
  }

  add(segment: Segment): void {
    const { pair, traits } = this;
    if (pair === null || traits === null) return;
    const [r, x] = segment.values as readonly [Float64Array, Float64Array];
    const { columns, column } = segment;
    for (let row = 0; row < segment.rows; row += 1) {
      const start = row * columns;
      addPairs(this.row, r, x, start, columns, 0, traits);
      this.channels?.add(r, x, start, column, columns);
      this.addElements(r, x, start, columns, segment.row + row, column, pair);
      if (column + columns === this.width) this.endRow(segment.row + row, pair);
    }
  }

  private addElements(
    r: Float64Array,
    x: Float64Array,
    start: number,
    columns: number,
    token: number,
    column: number,
    pair: Pair,
  ): void {
    const { histogram, elements } = this;
    let { threshold } = elements;
    for (let i = start; i < start + columns; i += 1) {
      const [known, value] = [r[i] as number, x[i] as number];
      const ulp = histogram.add(known, value);
      if (ulp === 0) continue;
      const d = value - known;
      // What differs in kind has no difference, or an infinite one.
      const size = Number.isNaN(d) ? Number.POSITIVE_INFINITY : Math.abs(d);
      if (size <= threshold) continue;
      const { sample, step } = pair;
      const index = unravel(token * this.width + column + i - start, pair.reference.shape);
      elements.add(size, {
        sample,
        step,
        token,
        index,
        reference: known,
        candidate: value,
        d,
        ulp,
      });
      ({ threshold } = elements);
    }
  }

  private endRow(token: number, { sample, step }: Pair): void {
    const { row, tokens, total } = this;
    const { mismatched, count } = row;
    const { relL2, cosineDistance } = relationOf(row);
    const size = mismatched > 0 ? Number.POSITIVE_INFINITY : relL2;
    if (size > tokens.threshold) {
      const known = count > 0;
      tokens.add(size, {
        sample,
        step,
        token,
        relL2: known ? relL2 : Number.NaN,
        cosine: known ? 1 - cosineDistance : Number.NaN,
        mismatched,
      });
    }
    total.merge(row, 0);
    row.reset();
  }
}
