/**
 * The own error of the candidate beside the own errors of the floors, seen in
 * eight ways, so that a fault shows whatever its form: a larger error
 * throughout, one bad sample, one bad row, one bad element, a wrong gain, a few
 * wrong channels, a constant, a wrong weight of a norm.
 */

import {
  OWN_STATISTICS,
  type OwnStatistic,
  type OwnStatisticName,
  type OwnStatistics,
} from "../core/own-figures.ts";
import type { OwnChannels, OwnProfile } from "./own-profile.ts";

/** A median's share that is added to the base's error of each channel: silent channels make no ratio. */
const SILENT_CHANNEL = 0.25;

/** The least that a channel's error is measured in: this share of what each has where all have the same. */
const LEAST_SHARE = 0.1;

/** Each statistic of one dump beside the base; NaN where it cannot be taken. */
type Values = Readonly<Record<OwnStatisticName, number>>;

/** What errors are measured in: the floors pooled, so that their order does not matter. */
interface Base {
  /** The largest of the floors. */
  readonly gm: number;
  readonly p50: number;
  readonly p99: number;
  /** ln of each sample's geometric mean, the largest of the floors. */
  readonly samples: ReadonlyMap<number, number>;
  readonly channels: BaseChannels | null;
}

interface BaseChannels {
  /** Root mean square of each channel's error, silent channels raised. */
  readonly unit: Float64Array;
  /** Mean gain, and root mean square of the values. */
  readonly gain: Float64Array;
  readonly size: Float64Array;
}

/** The statistics of an own error, and the sample that one of them speaks of. */
export interface OwnComparison {
  readonly statistics: OwnStatistics;
  readonly worstSample: number | null;
}

/**
 * The statistics of `candidate`, and the largest of each among `floors`.
 *
 * @param floors their own errors in the candidate's precision.
 * @param sampleAllowance factor that a sample of so many rows may lie above the whole.
 * @returns null without a floor.
 */
export function compareOwn(
  candidate: OwnProfile,
  floors: readonly OwnProfile[],
  sampleAllowance: (rows: number) => number,
): OwnComparison | null {
  if (floors.length === 0) return null;
  const base = pool(floors);
  const mine = valuesOf(candidate, base, sampleAllowance);
  const theirs = floors.map((floor) => valuesOf(floor, base, sampleAllowance));
  const statistics = Object.fromEntries(
    OWN_STATISTICS.map((name): [OwnStatisticName, OwnStatistic | null] => {
      const value = mine[name];
      if (Number.isNaN(value)) return [name, null];
      const known = theirs.map((values) => values[name]).filter((one) => !Number.isNaN(one));
      return [name, { value, floor: known.length === 0 ? null : Math.max(...known), limit: null }];
    }),
  ) as OwnStatistics;
  return {
    statistics,
    worstSample: worstSample(candidate, base, sampleAllowance)?.sample ?? null,
  };
}

/** `profile` in another precision: its errors times `factor`. */
export function scaledProfile(profile: OwnProfile, factor: number): OwnProfile {
  if (factor === 1) return profile;
  const { channels } = profile;
  return {
    ...profile,
    gm: profile.gm * factor,
    p50: profile.p50 * factor,
    p99: profile.p99 * factor,
    max: profile.max * factor,
    element: profile.element * factor,
    slope: profile.slope * factor,
    samples: profile.samples.map((sample) => ({
      ...sample,
      logMean: sample.logMean + Math.log(factor),
    })),
    channels:
      channels === null
        ? null
        : {
            ...channels,
            gain: channels.gain.map((gain) => gain * factor),
            size: channels.size.map((size) => size / factor),
          },
  };
}

function pool(floors: readonly OwnProfile[]): Base {
  const largest = (figure: (floor: OwnProfile) => number): number =>
    Math.max(...floors.map(figure));
  const samples = new Map<number, number>();
  for (const { sample, logMean } of floors.flatMap((floor) => floor.samples)) {
    samples.set(sample, Math.max(samples.get(sample) ?? Number.NEGATIVE_INFINITY, logMean));
  }
  const channels = floors.flatMap((floor) => (floor.channels === null ? [] : [floor.channels]));
  return {
    gm: largest(({ gm }) => gm),
    p50: largest(({ p50 }) => p50),
    p99: largest(({ p99 }) => p99),
    samples,
    channels: channels.length < floors.length ? null : poolChannels(channels),
  };
}

function poolChannels(floors: readonly OwnChannels[]): BaseChannels {
  const mean = (figure: (floor: OwnChannels) => Float64Array, power: 1 | 2): Float64Array =>
    Float64Array.from(floors[0]?.rms ?? [], (_, j) => {
      const sum = floors.reduce((total, floor) => total + (figure(floor)[j] as number) ** power, 0);
      return (sum / floors.length) ** (1 / power);
    });
  const rms = mean((floor) => floor.rms, 2);
  const middle = Float64Array.from(rms).sort()[Math.floor(rms.length / 2)] ?? 0;
  const least = LEAST_SHARE / Math.sqrt(rms.length);
  return {
    unit: rms.map((size) => Math.max(size + SILENT_CHANNEL * middle, least)),
    gain: mean((floor) => floor.gain, 1),
    size: mean((floor) => floor.size, 2),
  };
}

function valuesOf(
  profile: OwnProfile,
  base: Base,
  sampleAllowance: (rows: number) => number,
): Values {
  const energy = profile.gm / base.gm;
  const { channels } = profile;
  return {
    energy,
    sample: worstSample(profile, base, sampleAllowance)?.ratio ?? Number.NaN,
    token: profile.max / base.p99,
    element: profile.element / base.p50,
    slope: Math.abs(profile.slope) / base.gm,
    ...(channels !== null && channels.rms.length === base.channels?.unit.length
      ? besideChannels(channels, base.channels, energy)
      : { channel: Number.NaN, offset: Number.NaN, gain: Number.NaN }),
  };
}

/** The sample whose error stands highest above the base's, its allowance taken off; null where none can be told. */
function worstSample(
  { samples }: OwnProfile,
  base: Base,
  sampleAllowance: (rows: number) => number,
): { readonly sample: number; readonly ratio: number } | null {
  return samples.reduce<{ sample: number; ratio: number } | null>(
    (worst, { sample, logMean, rows }) => {
      const other = base.samples.get(sample);
      if (other === undefined) return worst;
      const ratio = Math.exp(logMean - other) / sampleAllowance(rows);
      return worst !== null && worst.ratio >= ratio ? worst : { sample, ratio };
    },
    null,
  );
}

function besideChannels(
  channels: OwnChannels,
  base: BaseChannels,
  energy: number,
): Pick<Values, "channel" | "offset" | "gain"> {
  let channel = 0;
  let offset = 0;
  let gain = 0;
  for (let j = 0; j < base.unit.length; j += 1) {
    const unit = base.unit[j] as number;
    channel = Math.max(channel, (channels.rms[j] as number) / unit);
    offset = Math.max(offset, Math.abs(channels.mean[j] as number) / unit);
    const difference = Math.abs((channels.gain[j] as number) - (base.gain[j] as number));
    gain = Math.max(gain, (difference * (base.size[j] as number)) / unit);
  }
  return { channel, offset: offset * energy, gain };
}
