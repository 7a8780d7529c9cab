/** The verdict on a module's own error, under a forced reference or in an isolated replay. */

import type { Unit } from "../align/align.ts";
import { OWN_STATISTICS, type OwnFigures, type OwnStatistics } from "../core/own-figures.ts";
import { type TokenAt } from "../core/places.ts";
import type { OwnMeasurement } from "../measure/own.ts";
import { isWithin } from "./findings.ts";
import type { Report } from "./judge-tensor.ts";
import { embedLimit, fixedOwnLimit, ownLimit } from "./own-limits.ts";

/** What came of judging an own error. */
export interface OwnJudgement {
  /** The own figures, each statistic with its limit; null where none are known. */
  readonly figures: OwnFigures | null;
  /** What it was held to; null where nothing decided. */
  readonly decidedBy: "floor" | "fixed" | null;
}

/** Nothing was judged: no forced reference was given, or bit equality was asked for. */
export function unjudgedOwn({ figures }: OwnMeasurement): OwnJudgement {
  return { figures, decidedBy: null };
}

/**
 * Judges the own error of `unit`: against the floors' own errors where they are
 * known, else in units of the number format. Positions of another kind and
 * infinite errors are within no limit; a statistic that cannot be taken (of a
 * few rows, say) is held to none.
 *
 * @param u unit of the tensor's number format.
 */
export function judgeOwn(unit: Unit, own: OwnMeasurement, u: number, report: Report): OwnJudgement {
  const { figures, profile } = own;
  if (figures === null) return { figures, decidedBy: null };
  if (figures.gm === null && figures.mismatched === 0) return { figures, decidedBy: null };
  const notFinite = figures.mismatched + own.infiniteRows;
  if (notFinite > 0) {
    report("own/finite", { value: notFinite, limit: 0, limitFrom: "method" });
    return { figures, decidedBy: "fixed" };
  }
  if (unit.role === "embed") {
    judgeEmbedding(figures, u, report);
    return { figures, decidedBy: "fixed" };
  }
  const rows = profile?.rows ?? 0;
  if (figures.statistics !== null) {
    const statistics = limited(unit, figures.statistics, rows);
    judgeStatistics(statistics, own, report);
    return { figures: { ...figures, statistics }, decidedBy: "floor" };
  }
  const limit = fixedOwnLimit(unit.role, u, rows);
  if (limit === null) return { figures, decidedBy: null };
  if (!isWithin(figures.u ?? Number.NaN, limit)) {
    report("own/fixed", { value: figures.u, limit, limitFrom: "prior" });
  }
  return { figures, decidedBy: "fixed" };
}

function limited(unit: Unit, statistics: OwnStatistics, rows: number): OwnStatistics {
  return Object.fromEntries(
    OWN_STATISTICS.map((name) => {
      const statistic = statistics[name];
      if (statistic === null) return [name, null];
      return [name, { ...statistic, limit: ownLimit(name, statistic, unit.role, rows) }];
    }),
  ) as OwnStatistics;
}

function judgeStatistics(statistics: OwnStatistics, own: OwnMeasurement, report: Report): void {
  const { profile, worstSample } = own;
  for (const name of OWN_STATISTICS) {
    const statistic = statistics[name];
    if (statistic?.limit == null) continue;
    if (isWithin(statistic.value, statistic.limit)) continue;
    report(`own/${name}`, {
      value: statistic.value,
      limit: statistic.limit,
      limitFrom: "method",
      ...(name === "sample" ? { sample: worstSample } : {}),
      ...(name === "token" ? tokenParts(profile?.maxAt ?? null) : {}),
      ...(name === "element" ? tokenParts(profile?.elementAt ?? null) : {}),
    });
  }
}

function judgeEmbedding(figures: OwnFigures, u: number, report: Report): void {
  const { max, maxAt, floorGm } = figures;
  const value = (max ?? Number.NaN) / u;
  const limit = embedLimit(u, floorGm);
  if (isWithin(value, limit)) return;
  report("own/embed", { value, limit, limitFrom: "method", ...tokenParts(maxAt) });
}

function tokenParts(at: TokenAt | null): Parameters<Report>[1] {
  return at === null ? {} : { sample: at.sample, detail: { token: at.token } };
}
