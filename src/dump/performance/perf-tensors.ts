/** The `perf.*` tensors of a dump, and what `run.performance` says of them. */

import { counted } from "../../core/counted.ts";
import { DTYPES, isFloatDType } from "../../core/dtype.ts";
import { NpuDiffError } from "../../core/errors.ts";
import {
  PERFORMANCE_METRIC_NAMES,
  PERFORMANCE_METRICS,
  type PerformanceMetricName,
} from "../../core/performance.ts";
import { MAX_PERFORMANCE_VALUES, MAX_SWEEP_POINTS } from "../bounds.ts";
import { decodeInto } from "../decode.ts";
import type { Dump, TensorEntry } from "../dump.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import { amount, pointOf, truth, words } from "./facts.ts";
import type { Measured, PerformanceSource, SweepSource } from "./source.ts";

const PREFIX = "perf.";

// Six digits are more points than are allowed; a leading zero would give one point two names.
const SWEEP = /^perf\.sweep\.(0|[1-9]\d{0,5})\.(.+)$/;

/** Whether a tensor of this name holds performance figures. */
export function isPerformance(name: string): boolean {
  return name.startsWith(PREFIX);
}

/** Whether a dump holds performance figures and nothing else. */
export function isPerformanceOnly(dump: Dump): boolean {
  return dump.tensors.length > 0 && dump.tensors.every(({ name }) => isPerformance(name));
}

/**
 * Reads the performance of a dump: the metrics that this version knows, of the main point and of every
 * point of a sweep.
 *
 * @returns null where the dump holds no such metric.
 * @throws NpuDiffError `performance-invalid` where a metric is no list of numbers ≥ 0 (NaN is one that was
 *   not defined), there are too many, or a point is not described in `run.performance.sweep` or twice.
 */
export function readDumpPerformance(dump: Dump): PerformanceSource | null {
  const points = new Map<number, Map<PerformanceMetricName, Measured>>();
  let values = 0;
  for (const entry of dump.tensors) {
    if (!isPerformance(entry.name) || entry.sample !== -1 || entry.step !== 0) continue;
    if (entry.repeat !== 0 || entry.rank !== 0) continue;
    const sweep = SWEEP.exec(entry.name);
    const point = sweep === null ? MAIN : Number(sweep[1]);
    const metric = sweep === null ? entry.name.slice(PREFIX.length) : (sweep[2] ?? "");
    if (!isMetric(metric)) continue;
    values += entry.elements;
    if (values > MAX_PERFORMANCE_VALUES) {
      throw invalid(dump, "too many performance figures", {
        found: `${counted(values, "value")} up to ${entry.name}`,
        expected: `at most ${MAX_PERFORMANCE_VALUES}`,
      });
    }
    const measured = points.get(point) ?? new Map<PerformanceMetricName, Measured>();
    measured.set(metric, readMetric(dump, entry));
    points.set(point, measured);
  }
  if (points.size === 0) return null;
  const said = objectAt(dump.run, "performance") ?? {};
  return {
    side: sideOf(dump, said),
    measured: points.get(MAIN) ?? new Map<never, never>(),
    sweep: sweepOf(dump, said, points),
    absent: absentOf(said),
  };
}

/** Number of the main point, which is none of a sweep. */
const MAIN = -1;

function isMetric(name: string): name is PerformanceMetricName {
  return Object.hasOwn(PERFORMANCE_METRICS, name);
}

function readMetric(dump: Dump, entry: TensorEntry): Measured {
  const { name, dtype, encoding, shape, elements } = entry;
  if (encoding !== "dense" || !isFloatDType(dtype) || shape.length > 1) {
    throw invalid(dump, `${name} is no list of numbers`, {
      found: `${dtype} [${shape.join(", ")}], ${encoding}`,
      expected: "F64 [n], or F64 [] of a single number, dense",
    });
  }
  const bytes = new Uint8Array(elements * DTYPES[dtype].bytes);
  dump.read(entry, 0, bytes);
  const values = new Float64Array(elements);
  decodeInto(dtype, bytes, values);
  const wrong = values.find((value) => value < 0 || value === Number.POSITIVE_INFINITY);
  if (wrong !== undefined) {
    throw invalid(dump, `${name} holds what cannot have been measured`, {
      found: String(wrong),
      expected: "numbers from 0 on, or NaN where there is none",
    });
  }
  const [value = Number.NaN] = values;
  return shape.length === 0 ? { kind: "scalar", value } : { kind: "values", values };
}

function sideOf(dump: Dump, said: JsonObject): PerformanceSource["side"] {
  return {
    file: dump.file,
    source: "dump",
    engine: words(said["engine"]) ?? words(objectAt(dump.run, "engine")?.["name"]),
    point: pointOf(objectAt(said, "point") ?? {}),
    warmup: amount(said["warmup"]),
    ignoreEos: truth(said["ignore_eos"]),
    tokens: words(said["tokens"]),
    requestRate: amount(said["request_rate"]),
    completed: amount(said["completed"]),
    failed: amount(said["failed"]),
  };
}

function sweepOf(
  dump: Dump,
  said: JsonObject,
  points: ReadonlyMap<number, ReadonlyMap<PerformanceMetricName, Measured>>,
): readonly SweepSource[] {
  const list: readonly unknown[] = Array.isArray(said["sweep"]) ? said["sweep"] : [];
  if (list.length > MAX_SWEEP_POINTS) {
    throw invalid(dump, "run.performance.sweep is too long", {
      found: `${list.length} points`,
      expected: `at most ${MAX_SWEEP_POINTS}`,
    });
  }
  for (const number of points.keys()) {
    if (number === MAIN || isJsonObject(list[number])) continue;
    throw invalid(dump, "a point of a sweep is not described", {
      found: `perf.sweep.${number}.*`,
      expected: `run.performance.sweep[${number}]; it has ${list.length} points`,
    });
  }
  const seen = new Map<string, number>();
  return list.map((one, number) => {
    const described = isJsonObject(one) ? one : {};
    const kind = words(described["kind"]);
    const point = pointOf(described);
    if (kind === null) {
      throw invalid(dump, "a point of a sweep does not say of which", {
        found: `run.performance.sweep[${number}] without a kind`,
        expected: "a kind, such as batch",
      });
    }
    const key = sweepKey(kind, point);
    const twin = seen.get(key);
    if (twin !== undefined) {
      throw invalid(dump, "two points of a sweep are the same", {
        found: `run.performance.sweep[${twin}] and [${number}]: ${key}`,
        expected: "another kind, batch, or number of tokens at each",
      });
    }
    seen.set(key, number);
    return { kind, point, measured: points.get(number) ?? new Map<never, never>() };
  });
}

/** What the points of both sides are matched by. */
export function sweepKey(kind: string, point: SweepSource["point"]): string {
  return JSON.stringify([kind, point.batch, point.inputTokens, point.outputTokens]);
}

function absentOf(said: JsonObject): ReadonlyMap<PerformanceMetricName, string> {
  const reasons = objectAt(said, "absent") ?? {};
  return new Map(
    PERFORMANCE_METRIC_NAMES.flatMap((name) => {
      const reason = words(reasons[name]);
      return reason === null ? [] : [[name, reason] as const];
    }),
  );
}

function objectAt(value: JsonObject, key: string): JsonObject | null {
  const inner = value[key];
  return isJsonObject(inner) ? inner : null;
}

function invalid(
  dump: Dump,
  what: string,
  { found, expected }: { readonly found: string; readonly expected: string },
): NpuDiffError {
  return new NpuDiffError("performance-invalid", {
    what: `${dump.file}: ${what}`,
    facts: [
      { label: "file", text: dump.file },
      { label: "found", text: found },
      { label: "expected", text: expected },
    ],
    help: "measure it again with npu-dump bench",
  });
}
