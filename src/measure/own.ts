/**
 * The own error of a tensor: a dump beside its forced reference, and how it
 * stands to the floor's own error.
 */

import {
  type Index,
  indexOf,
  type Pair,
  placeOf,
  shapeConflict,
  type Unit,
  unitId,
} from "../align/align.ts";
import type { RunRelation } from "../align/runs.ts";
import { extentOf } from "../align/shapes.ts";
import { DTYPES } from "../core/dtype.ts";
import type { OwnFigures } from "../core/own-figures.ts";
import type { TensorRole } from "../dump/contract.ts";
import type { Dump, TensorEntry } from "../dump/dump.ts";
import type { ForcedReferences } from "./forced.ts";
import {
  isMeasurable,
  type Jobs,
  type MeasureOptions,
  measureTensor,
  planTensor,
  type Sides,
  type TensorMeasurement,
  unmeasurable,
} from "./measure-tensor.ts";
import { leastOwnError, OwnMeter, type OwnProfile } from "./own-profile.ts";
import { compareOwn, scaledProfile } from "./own-statistics.ts";
import type { PlannedJob } from "./plan.ts";
import { LEAST_ROW_ERROR } from "./row-figures.ts";

/** Why an own error, or its ratio to the floor's, is not known. */
export type OwnUnknown =
  | "forced-lacks"
  | "forced-shape"
  | "forced-not-finite"
  | "floor-own-unknown"
  | "floor-own-too-large"
  | "reduced"
  | "integer";

/** What came of measuring the own error of one tensor. */
export interface OwnMeasurement {
  /** Null where the candidate has no forced reference of this tensor. */
  readonly figures: OwnFigures | null;
  /** Why a figure that a forced reference was given for is not known; null where all are. */
  readonly unknown: OwnUnknown | null;
  /** Of the shape of the candidate's own error, what the judge asks for; null where it is not known. */
  readonly profile: Pick<OwnProfile, "rows" | "maxAt" | "elementAt"> | null;
  /** The sample that the statistic `sample` speaks of. */
  readonly worstSample: number | null;
  /** Rows that are zero in the forced reference alone: their errors are infinite. */
  readonly infiniteRows: number;
}

/** How a floor's own error is told from a fault. */
export interface OwnOptions extends MeasureOptions {
  /** The largest own error, as a geometric mean of ρ_t, that a correct engine's tensor of this role may have. */
  readonly ownFloorLimit: (role: TensorRole, u: number, rows: number) => number;
}

/** Nothing to measure: no forced reference was given. */
export const NO_OWN: OwnMeasurement = {
  figures: null,
  unknown: null,
  profile: null,
  worstSample: null,
  infiniteRows: 0,
};

/** What is computed, and so rounded, in the run's format; a sum or a look-up may well be exact. */
const COMPUTED: ReadonlySet<TensorRole> = new Set(["attn", "router", "mlp", "norm", "logits"]);

/** A dump with its forced reference. */
interface Forced {
  readonly dump: Dump;
  readonly reference: Dump;
  readonly index: Index;
  /** Factor that brings its errors to the candidate's precision. */
  readonly scale: number;
  entry(pair: Pair): TensorEntry | null;
}

/** A tensor of a dump beside its forced reference, which stands in the reference's place. */
export interface OwnPair {
  readonly unit: Unit;
  readonly dump: Dump;
  readonly reference: Dump;
  /** Factor that brings its errors to the candidate's precision. */
  readonly scale: number;
}

/** A tensor of the candidate and of the floors, each beside its forced reference. */
export interface OwnPairs {
  readonly candidate: OwnPair | null;
  readonly floors: readonly OwnPair[];
}

/** Measures own errors, tensor by tensor, in the same bounded memory as `measureTensor`. */
export class OwnErrors {
  private readonly candidate: Forced | null;
  private readonly floors: readonly Forced[];
  private readonly known = new Map<Unit, OwnPairs>();

  /** @param relation where it is `isolated`, both sides read one stream: the reference is what every run is forced beside. */
  constructor(forced: ForcedReferences, sides: Sides, relation: RunRelation = "plain") {
    const all = { only: [], skip: [] };
    const isolated = relation === "isolated" ? sides.reference : null;
    const ofCandidate = forced.candidate ?? isolated;
    this.candidate =
      ofCandidate === null
        ? null
        : {
            dump: sides.candidate,
            reference: ofCandidate,
            index: indexOf(ofCandidate, all),
            scale: 1,
            entry: (pair) => pair.candidate,
          };
    this.floors = sides.floors.flatMap(({ dump, scale }, floor): readonly Forced[] => {
      const reference = forced.floors[floor] ?? isolated;
      if (reference === null) return [];
      const index = indexOf(reference, all);
      return [{ dump, reference, index, scale, entry: (pair) => pair.floors[floor] ?? null }];
    });
  }

  /** What {@link measure} reads for `unit`: the candidate and each floor beside its forced reference. */
  units(unit: Unit): readonly Unit[] {
    const { candidate, floors } = this.pairs(unit);
    return [candidate, ...floors].flatMap((own) => (own === null ? [] : [own.unit]));
  }

  /** `unit` of the candidate and of each floor beside its forced reference, where the two can be measured. */
  pairs(unit: Unit): OwnPairs {
    const known = this.known.get(unit) ?? this.findPairs(unit);
    this.known.set(unit, known);
    return known;
  }

  private findPairs(unit: Unit): OwnPairs {
    const candidate = this.candidate === null ? null : ownPair(unit, this.candidate);
    if (candidate === null) return { candidate, floors: [] };
    return {
      candidate,
      floors: this.floors.map((floor) => ownPair(unit, floor)).filter((own) => own !== null),
    };
  }

  /** The jobs that {@link measure} takes for `unit`. */
  *plan(unit: Unit, options: MeasureOptions): Generator<PlannedJob, void, undefined> {
    const { candidate, floors } = this.pairs(unit);
    for (const own of [candidate, ...floors]) {
      if (own === null) continue;
      const leastRowError = leastOwnError(coarsest(own.unit, options.u / own.scale));
      yield* planTensor(own.unit, sidesOf(own), { leastRowError });
    }
  }

  /**
   * Measures `unit` by the next jobs, those of {@link plan}. Where the forced
   * reference and the dump differ in kind anywhere (a NaN on one side only) no
   * figure is known: what came of such a module is no number.
   */
  async measure(
    unit: Unit,
    options: OwnOptions,
    jobs: Jobs,
    progress: (bytes: number) => void,
  ): Promise<OwnMeasurement> {
    if (this.candidate === null) return NO_OWN;
    const pairs = this.pairs(unit);
    if (pairs.candidate === null) return { ...NO_OWN, unknown: whyNone(unit, this.candidate) };
    const measured = await measureForced(pairs.candidate, options, jobs, progress);
    const known: FloorOwn[] = [];
    for (const floor of pairs.floors) {
      const ofFloor = await floorOwn(floor, options, jobs, progress);
      if (ofFloor !== null) known.push(ofFloor);
    }
    const figures = ownFigures(measured.measurement);
    if (figures.gm === null) return { ...NO_OWN, figures, unknown: "forced-not-finite" };
    const u = measured.measurement.figures?.u ?? options.u;
    // A floor that is at fault itself must excuse nothing.
    const floors = known.filter(({ gm, rows }) => gm <= options.ownFloorLimit(unit.role, u, rows));
    // The larger floor counts.
    const largest = floors.length === 0 ? null : Math.max(...floors.map(({ gm }) => gm));
    const { profile } = measured;
    const beside =
      profile === null
        ? null
        : compareOwn(
            profile,
            floors.map((floor) => floor.profile),
            options.sampleAllowance,
          );
    return {
      figures: {
        ...figures,
        floorGm: largest,
        gmOverFloor: largest === null ? null : raised(figures.gm, u) / largest,
        statistics: beside?.statistics ?? null,
      },
      unknown:
        largest !== null || this.floors.length === 0
          ? null
          : known.length > 0
            ? "floor-own-too-large"
            : "floor-own-unknown",
      // Not the channels, of which a wide tensor has megabytes.
      profile:
        profile === null
          ? null
          : { rows: profile.rows, maxAt: profile.maxAt, elementAt: profile.elementAt },
      worstSample: beside?.worstSample ?? null,
      infiniteRows: measured.measurement.figures?.infiniteRows ?? 0,
    };
  }
}

/** `unit` of a dump with its forced reference in the reference's place; null where that lacks any of it. */
function besideForced(unit: Unit, forced: Forced): Unit | null {
  const entries = forced.index.get(unitId(unit.name, unit.group));
  const pairs: Pair[] = [];
  for (const pair of unit.pairs) {
    const reference = entries?.get(placeOf(pair.reference));
    const candidate = forced.entry(pair);
    if (reference === undefined || candidate === null) return null;
    pairs.push({ ...pair, reference, candidate, floors: [] });
  }
  return { ...unit, pairs, shapeConflict: shapeConflict(pairs) };
}

/** Why {@link ownPair} gives none. */
function whyNone(unit: Unit, forced: Forced): OwnUnknown | null {
  const own = besideForced(unit, forced);
  if (own === null) return "forced-lacks";
  return own.shapeConflict !== null ? "forced-shape" : unmeasurable(own);
}

function ownPair(unit: Unit, forced: Forced): OwnPair | null {
  const own = besideForced(unit, forced);
  return own !== null && isMeasurable(own) ? { ...forced, unit: own } : null;
}

/** The figures of a tensor beside its forced reference, and the shape of its error; null where no row has a size. */
async function measureForced(
  own: OwnPair,
  options: MeasureOptions,
  jobs: Jobs,
  progress: (bytes: number) => void,
): Promise<{ readonly measurement: TensorMeasurement; readonly profile: OwnProfile | null }> {
  const meter = meterOf(own, options);
  const u = options.u / own.scale;
  const measurement = await measureTensor(
    own.unit,
    sidesOf(own),
    { ...options, u },
    jobs,
    meter,
    progress,
  );
  const { figures } = measurement;
  return { measurement, profile: figures === null ? null : meter.profile(figures) };
}

/** Of one whose rows say nothing, the profile is null. */
function meterOf({ unit, scale }: OwnPair, { u }: MeasureOptions): OwnMeter {
  const [first] = unit.pairs;
  const width = first === undefined ? 1 : extentOf(first.reference.shape).width;
  return new OwnMeter(coarsest(unit, u / scale), width);
}

function sidesOf({ dump, reference }: OwnPair): Sides {
  return { reference, candidate: dump, floors: [] };
}

/** The unit of the run, or of the tensor where that is coarser. */
function coarsest(unit: Unit, u: number): number {
  return unit.pairs.reduce(
    (largest, { candidate }) => Math.max(largest, DTYPES[candidate.dtype].u ?? 0),
    u,
  );
}

/** The own figures of a dump, without those that need a floor. */
function ownFigures({ figures, nonFinite }: TensorMeasurement): OwnFigures {
  const { mismatched } = nonFinite;
  const known = mismatched === 0 ? figures : null;
  const gm = known?.tokenRelL2.gm ?? null;
  const slope = known?.slope ?? Number.NaN;
  return {
    gm,
    p50: known?.tokenRelL2.p50 ?? null,
    p99: known?.tokenRelL2.p99 ?? null,
    max: known?.tokenRelL2.max ?? null,
    maxAt: known?.tokenRelL2.maxAt ?? null,
    u: gm === null || known === null ? null : gm / known.u,
    slope: Number.isNaN(slope) ? null : slope,
    gmOverFloor: null,
    floorGm: null,
    mismatched,
    statistics: null,
  };
}

/** The own error of a floor in the candidate's precision. */
interface FloorOwn {
  readonly gm: number;
  readonly rows: number;
  readonly profile: OwnProfile;
}

/**
 * The own error of a floor; null where a row of it is not known, or is no finite
 * number: what a floor does not cover it must not excuse.
 */
async function floorOwn(
  own: OwnPair,
  options: MeasureOptions,
  jobs: Jobs,
  progress: (bytes: number) => void,
): Promise<FloorOwn | null> {
  const { measurement, profile } = await measureForced(own, options, jobs, progress);
  const { figures, nonFinite } = measurement;
  if (figures === null || nonFinite.mismatched > 0 || figures.measuredRows < figures.rows) {
    return null;
  }
  // The reference did not run finer there, or the floor did not run at all: no own error is known.
  const { gm: ofRows } = figures.tokenRelL2;
  if (COMPUTED.has(own.unit.role) && ofRows === 0 && !figures.zero.candidate) return null;
  const gm = own.scale * raised(ofRows, figures.u);
  return Number.isFinite(gm) && profile !== null
    ? { gm, rows: figures.measuredRows, profile: scaledProfile(profile, own.scale) }
    : null;
}

/** `gm` as a ratio needs it: rows that are all equal stand at the least error too. */
function raised(gm: number, u: number): number {
  return Math.max(gm, LEAST_ROW_ERROR * u);
}
