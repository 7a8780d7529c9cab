/** The logit lens: the residual stream after every layer, through the final norm and the head, on all sides. */

import type { Pair, Unit } from "../../align/align.ts";
import { extentOf } from "../../align/shapes.ts";
import type { LensLayer, LensResult } from "../../core/lens.ts";
import type { Dump } from "../../dump/dump.ts";
import { Spool } from "../../dump/spool.ts";
import { Helpers } from "../kernel/helpers.ts";
import { FailedJob, JobStream } from "../kernel/job-stream.ts";
import { LogitsMeter } from "../logits.ts";
import { isMeasurable, measureTensor, planTensor, type Sides } from "../measure-tensor.ts";
import { readingError, slotSizes } from "../plan.ts";
import { type FinalNorm, recognizeNorm } from "./final-norm.ts";
import { HeadDump, type HeadRows, logitsEntries, rowCount } from "./head-dump.ts";
import { type LmHead, normsOf, toleranceOf } from "./lm-head.ts";
import { readRows } from "./project.ts";

/** The factor over the floor that counts as beyond it, as for the error of a layer. */
const BEYOND_FLOOR = 1.5;

/** Rows that the final norm is recognized by. */
const NORM_ROWS = 64;

export interface LensOptions {
  /** Positions at most; null for all. */
  readonly positions: number | null;
  /** Whether every tensor stands for itself, so that no layer leads to a prediction. */
  readonly isolated: boolean;
  readonly stopped: boolean;
  /** Of the run's number format. */
  readonly u: number;
}

/** What the lens looks at in one unit: of each pair the rows. */
interface Selected {
  readonly pair: Pair;
  readonly rows: readonly number[];
}

/**
 * Looks through the head at every layer whose residual stream `units` hold.
 *
 * Predictions are measured as those of the model are: KL(P_ref ‖ P_cand) = Σ p·((x − y) − (lse_x − lse_y)) in
 * float64, from float32 logits, and the share of positions with the same first token. Only rows of prompts count.
 *
 * @param progress called with the rows of logits done and in all.
 */
export async function lookThrough(
  head: LmHead,
  units: readonly Unit[],
  sides: Sides,
  options: LensOptions,
  progress: (done: number, total: number) => void,
): Promise<LensResult> {
  const looked = units.filter((unit) => isStream(unit, head.weights.width));
  const [first] = looked;
  const selected = first === undefined ? [] : select(first, options.positions);
  const nothing: LensResult = {
    layers: [],
    positions: selected.reduce((sum, { rows }) => sum + rows.length, 0),
    positionsInAll: first?.pairs.reduce((sum, { reference }) => sum + rowsOf(reference), 0) ?? 0,
    head: head.weights.name,
    norm: null,
    parting: null,
    notAvailable: null,
  };
  const reason = reasonAgainst(options, nothing.positions);
  if (reason !== null) return { ...nothing, notAvailable: reason };
  const norm = finalNorm(head, looked, sides.reference);
  if (typeof norm === "string") return { ...nothing, notAvailable: norm };
  const rowsInAll = looked
    .flatMap((unit) => select(unit, options.positions))
    .reduce((sum, { pair, rows }) => sum + rows.length * entriesOf(pair).length, 0);
  head.requireRoom(rowsInAll / looked.length);
  const layers: LensLayer[] = [];
  let done = 0;
  for (const unit of looked) {
    const rows = select(unit, options.positions);
    const figures = await measureLayer(head, rows, sides, norm, options.u, (count) => {
      done += count;
      progress(done, rowsInAll);
    });
    if (figures !== null) layers.push({ tensor: unit.name, layer: unit.layer, ...figures });
  }
  return { ...nothing, layers, norm: norm.facts, parting: partingOf(layers) };
}

function reasonAgainst(options: LensOptions, positions: number): string | null {
  if (options.positions === 0) return "switched-off";
  if (options.isolated) return "isolated";
  if (options.stopped) return "stopped";
  return positions === 0 ? "no-layers" : null;
}

function isStream(unit: Unit, width: number): boolean {
  const [pair] = unit.pairs;
  return (
    (unit.role === "layer" || unit.role === "embed") &&
    unit.group === "prefill" &&
    pair !== undefined &&
    extentOf(pair.reference.shape).width === width &&
    isMeasurable(unit)
  );
}

function rowsOf({ shape }: { readonly shape: readonly number[] }): number {
  return extentOf(shape).rows;
}

function entriesOf({ reference, candidate, floors }: Pair): readonly HeadRows["entry"][] {
  return [reference, candidate, ...floors.filter((entry) => entry !== null)];
}

/** `most` rows of `unit`, evenly spaced over all its samples; null for all. */
function select({ pairs }: Unit, most: number | null): readonly Selected[] {
  const total = pairs.reduce((sum, { reference }) => sum + rowsOf(reference), 0);
  const count = Math.min(most ?? total, total);
  const wanted = Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * total) / count));
  let from = 0;
  let next = 0;
  return pairs.flatMap((pair) => {
    const end = from + rowsOf(pair.reference);
    const rows: number[] = [];
    for (; (wanted[next] ?? end) < end; next += 1) rows.push((wanted[next] as number) - from);
    from = end;
    return rows.length === 0 ? [] : [{ pair, rows }];
  });
}

async function measureLayer(
  head: LmHead,
  selected: readonly Selected[],
  sides: Sides,
  norm: FinalNorm,
  u: number,
  progress: (rows: number) => void,
): Promise<Pick<LensLayer, "kl" | "top1Agreement"> | null> {
  const { projector, weights } = head;
  const spool = Spool.create();
  try {
    let position = 0;
    const project = async (
      dump: Dump,
      entry: (pair: Pair) => HeadRows["entry"] | null,
    ): Promise<HeadDump> => {
      const from = selected.flatMap(({ pair, rows }): readonly HeadRows[] => {
        const found = entry(pair);
        return found?.encoding === "dense" ? [{ entry: found, rows }] : [];
      });
      const logits = logitsEntries(from, weights.vocabulary, position);
      const rows = from.reduce((sum, one) => sum + rowCount(one), 0);
      position += rows * weights.vocabulary * Float32Array.BYTES_PER_ELEMENT;
      await projector.project(dump, from, norm.apply, spool, progress);
      return new HeadDump(dump, logits, spool);
    };
    const reference = await project(sides.reference, (pair) => pair.reference);
    const candidate = await project(sides.candidate, (pair) => pair.candidate);
    const floors = [];
    for (const [i, { dump, scale }] of sides.floors.entries()) {
      floors.push({ dump: await project(dump, (pair) => pair.floors[i] ?? null), scale });
    }
    return await measureLogits({ reference, candidate, floors }, u);
  } finally {
    spool.close();
  }
}

/** The figures of the `logits` that `sides` hold, by this thread alone: the kernel is not what takes the time here. */
async function measureLogits(
  sides: Sides,
  u: number,
): Promise<Pick<LensLayer, "kl" | "top1Agreement"> | null> {
  const logitsOf = (dump: Dump): readonly HeadRows["entry"][] =>
    dump.tensors.filter(({ name }) => name === "logits");
  const candidates = logitsOf(sides.candidate);
  const floors = sides.floors.map(({ dump }) => logitsOf(dump));
  const pairs = logitsOf(sides.reference).map((reference, i): Pair => {
    const { sample, step } = reference;
    return {
      sample,
      step,
      reference,
      candidate: candidates[i] as HeadRows["entry"],
      floors: floors.map((entries) => entries.find((one) => one.sample === sample) ?? null),
    };
  });
  const unit: Unit = {
    name: "logits",
    role: "logits",
    layer: null,
    group: "prefill",
    pairs,
    shapeConflict: null,
  };
  const meter = new LogitsMeter(sides.floors.map(({ scale }) => scale));
  const plan = planTensor(unit, sides, { truth: () => -1 });
  const jobs = new JobStream(plan, new Helpers(1, 0), slotSizes(1 + sides.floors.length, 0, 1));
  try {
    const measuring = { u, sampleAllowance: () => 1 };
    await measureTensor(unit, sides, measuring, jobs, meter, () => undefined);
  } catch (error) {
    throw error instanceof FailedJob ? readingError(error.planned, error.cause) : error;
  } finally {
    await jobs.close();
  }
  const { kl, top1Agreement } = meter.quality();
  return kl === null || top1Agreement === null ? null : { kl, top1Agreement };
}

/** The final norm, or why it is not known, by a stable word. */
function finalNorm(head: LmHead, units: readonly Unit[], reference: Dump): FinalNorm | string {
  const weights = head.weights.finalNorm();
  const { epsilon } = head.weights.config;
  if (weights === null) return "no-norm-weight";
  if (epsilon === null) return "no-epsilon";
  const last = units.reduce<Unit | null>((deepest, unit) => {
    return (unit.layer ?? -1) > (deepest?.layer ?? -1) ? unit : deepest;
  }, null);
  const model = reference.run["model"] as { readonly layers?: unknown } | null | undefined;
  const layers = typeof model?.layers === "number" ? model.layers : null;
  if (last === null || (layers !== null && last.layer !== layers - 1)) return "no-last-layer";
  const norms = normsOf(reference).filter(({ step }) => step === 0);
  if (norms.length === 0) return "no-norm";
  const { width } = head.weights;
  const rows = select(last, NORM_ROWS).flatMap(({ pair, rows: chosen }) => {
    const norm = norms.find(({ sample }) => sample === pair.sample);
    if (norm === undefined || rowsOf(norm) !== rowsOf(pair.reference)) return [];
    return [{ last: pair.reference, norm, rows: chosen }];
  });
  const read = (side: "last" | "norm"): Float64Array => {
    const parts = rows.map((one) => {
      const values = new Float64Array(one.rows.length * width);
      readRows(reference, { entry: one[side], rows: one.rows }, 0, width, values);
      return values;
    });
    return Float64Array.from(parts.flatMap((part) => [...part]));
  };
  const entries = rows.flatMap((one) => [one.last, one.norm]);
  const tolerance = toleranceOf(reference, entries);
  return (
    recognizeNorm({ weights, epsilon }, read("last"), read("norm"), tolerance) ?? "unknown-norm"
  );
}

/** The first layer of the last run of layers, up to the last one, that are beyond the floor. */
function partingOf(layers: readonly LensLayer[]): LensResult["parting"] {
  let parting: LensResult["parting"] = null;
  for (const { tensor, layer, kl } of layers.toReversed()) {
    // Not beyond where there is no floor, and beyond where the ratio is no number.
    if (kl.floorRatio === null || kl.floorRatio <= BEYOND_FLOOR) break;
    parting = { tensor, layer };
  }
  return parting;
}
