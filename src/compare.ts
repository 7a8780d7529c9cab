/**
 * The pipeline: open → align → measure → judge → diagnose. The only file that
 * knows all stages.
 */

import { align, type Unit } from "./align/align.ts";
import { environmentDifferences } from "./align/environment.ts";
import { checkInputs } from "./align/inputs.ts";
import { refusePartOfARun } from "./align/runs.ts";
import { differingTexts } from "./align/texts.ts";
import { checkTokens, type Tokens, tokensSha256, tokenTable } from "./align/tokens.ts";
import { NpuDiffError } from "./core/errors.ts";
import { type CompareObserver, type CompareOptions, DEFAULT_OPTIONS } from "./core/options.ts";
import type {
  ComparisonResult,
  Finding,
  InputSummary,
  Quality,
  Role,
  TensorResult,
} from "./core/result.ts";
import { locateOrigin } from "./diagnose/origin.ts";
import type { Dump } from "./dump/dump.ts";
import { openDump } from "./dump/open-dump.ts";
import { judge } from "./judge/judge.ts";
import { inputFindings } from "./judge/judge-inputs.ts";
import { type JudgeContext, type JudgedUnit, judgeTensor } from "./judge/judge-tensor.ts";
import { sampleAllowance } from "./judge/limits.ts";
import { scaleOf } from "./judge/presets.ts";
import { openFloors, refuseReferenceAsFloor } from "./measure/floors.ts";
import { firstTokenAgreement, generationAgreement } from "./measure/generation.ts";
import { LogitsMeter } from "./measure/logits.ts";
import { measureTensor, type Sides, unmeasurable } from "./measure/measure-tensor.ts";
import { SegmentReader } from "./measure/segments.ts";

/**
 * Compares a candidate dump with a reference dump.
 *
 * Memory is bounded by the number of tensors and rows, not by the size of the
 * files. Reading and measuring are synchronous: run it in a worker thread where
 * the event loop matters.
 *
 * @param given the two dumps, and whatever differs from {@link DEFAULT_OPTIONS}.
 * @returns the result; a precision failure is a value of it.
 * @throws NpuDiffError where the two could not be compared.
 */
export async function compareDumps(
  given: Pick<CompareOptions, "reference" | "candidate"> & Partial<CompareOptions>,
  observer: CompareObserver = {},
): Promise<ComparisonResult> {
  const options: CompareOptions = { ...DEFAULT_OPTIONS, ...given };
  const open: Dump[] = [];
  const openOnce = (path: string): Dump => {
    const dump = openDump(path);
    open.push(dump);
    return dump;
  };
  try {
    const reference = openOnce(options.reference);
    const candidate = openOnce(options.candidate);
    // Lets whoever called draw before the first long stretch of work.
    await Promise.resolve();
    return comparePair(reference, candidate, openOnce, options, observer);
  } finally {
    for (const dump of open) dump.close();
  }
}

function comparePair(
  reference: Dump,
  candidate: Dump,
  open: (path: string) => Dump,
  options: CompareOptions,
  observer: CompareObserver,
): ComparisonResult {
  for (const dump of [reference, candidate]) refusePartOfARun(dump);
  const tokens = checkTokens(reference, candidate, "candidate");
  const inputs = checkInputs(reference, candidate, "candidate");
  const floors = openFloors(options.floors, open, reference, {
    dump: candidate,
    path: options.candidate,
  });
  const scale = scaleOf(options.preset, reference.run, candidate.run);
  const alignment = align(
    reference,
    candidate,
    floors.used.map(({ dump }) => dump),
    options,
  );
  const context: JudgeContext = {
    scale,
    layers: layerCount(reference, alignment.units),
    hasFloor: floors.used.length > 0,
    limits: options.limits,
  };
  const sides: Sides = { reference, candidate, floors: floors.used };
  const { units, logits, stopped } = measureUnits(
    alignment.units,
    sides,
    tokens,
    context,
    options,
    observer,
  );
  // A part of the tensors may well be equal, an embedding say.
  const whole = !stopped && options.only.length === 0 && options.skip.length === 0;
  refuseReferenceAsFloor(
    whole ? floors.used : [],
    units.flatMap(({ measured: { measurement } }) => (measurement === null ? [] : [measurement])),
    reference,
  );
  const quality: Quality = {
    ...logits.quality(),
    firstToken: firstTokenAgreement(reference, candidate, logits.lastRowAgreement),
    generation: generationAgreement(reference, candidate),
    determinism: null,
  };
  const overall = judge(
    alignment,
    units.map(({ judgement }) => judgement),
    quality,
    context,
    options,
    stopped,
  );
  if (!overall.decided) {
    throw nothingDecided(reference, candidate, options, alignment.units.length > 0);
  }
  const { origin, roles } = locateOrigin(units);
  const roleOf = new Map(
    units.map(({ measured: { unit } }, index): [string, Role | null] => [
      `${unit.group}:${unit.name}`,
      roles[index] ?? null,
    ]),
  );
  const differences = environmentDifferences(reference.run, candidate.run);
  return {
    schemaVersion: 1,
    verdict: overall.verdict,
    origin,
    findings: [
      ...inputFindings({
        reference,
        candidate,
        floors,
        differences,
        texts: differingTexts(reference, candidate),
        verified: tokens.samples > 0 || inputs > 0,
      }),
      ...overall.findings.map((finding): Finding => {
        const role = roleOf.get(`${finding.step ?? ""}:${finding.tensor ?? ""}`) ?? null;
        return finding.level === "error" ? { ...finding, role } : finding;
      }),
    ],
    quality,
    tensors: units.map((judged, index) => tensorResult(judged, roles[index] ?? null)),
    notCaptured: {
      reference: alignment.notCaptured.reference.flatMap(({ places }) => places),
      candidate: alignment.notCaptured.candidate.flatMap(({ places }) => places),
    },
    missing: {
      reference: alignment.missing.reference.flatMap(({ places }) => places),
      candidate: alignment.missing.candidate.flatMap(({ places }) => places),
    },
    inputs: {
      reference: summary(reference),
      candidate: summary(candidate),
      floors: floors.used.map(({ dump }) => summary(dump)),
    },
    tokens: { samples: tokens.samples === 0 ? inputs : tokens.samples, tokens: tokens.tokens },
    environment: { differences },
    performance: null,
    evidence: overall.evidence,
    preset: scale.preset,
    rules: overall.rules,
    stopped,
  };
}

/** Measures every unit in execution order; stops after the first failing one where that was asked for. */
function measureUnits(
  units: readonly Unit[],
  sides: Sides,
  tokens: Tokens,
  context: JudgeContext,
  options: CompareOptions,
  observer: CompareObserver,
): {
  readonly units: readonly JudgedUnit[];
  readonly logits: LogitsMeter;
  readonly stopped: boolean;
} {
  const reader = new SegmentReader();
  const logits = new LogitsMeter(
    sides.reference,
    tokens.table,
    sides.floors.map(({ scale }) => scale),
  );
  const judged: JudgedUnit[] = [];
  const totalBytes = units.reduce((total, unit) => total + bytesOf(unit), 0);
  let bytes = 0;
  for (const unit of units) {
    const reason = unmeasurable(unit);
    const tell = (read: number): void => {
      bytes += read;
      observer.progress?.({
        done: judged.length,
        total: units.length,
        bytes,
        totalBytes,
        tensor: unit.name,
      });
    };
    tell(0);
    const measurement =
      unit.shapeConflict !== null || reason !== null
        ? null
        : measureTensor(
            unit,
            sides,
            { u: context.scale.u, sampleAllowance, bits: context.scale.exact },
            reader,
            unit.role === "logits" && unit.group === "prefill" ? logits : null,
            tell,
          );
    const measured = { unit, measurement, unmeasurable: reason };
    const judgement = judgeTensor(measured, context);
    judged.push({ measured, judgement });
    if (judgement.verdict !== "fail") continue;
    observer.failure?.(
      unit.name,
      judgement.findings.find(({ level }) => level === "error")?.rule ?? "",
    );
    if (options.failFast) return { units: judged, logits, stopped: judged.length < units.length };
  }
  return { units: judged, logits, stopped: false };
}

function bytesOf(unit: Unit): number {
  return unit.pairs.reduce((total, { reference, candidate, floors }) => {
    const entries = [reference, candidate, ...floors.filter((entry) => entry !== null)];
    return (
      total +
      entries.reduce(
        (sum, entry) => sum + entry.chunks.reduce((size, chunk) => size + chunk.bytes, 0),
        0,
      )
    );
  }, 0);
}

/** More layers than any model has today, by far: a larger number would widen the limits of deep layers. */
const MAX_LAYERS = 1000;

/** Decoder layers by the model's own word, else by the tensors. */
function layerCount(reference: Dump, units: readonly Unit[]): number {
  const model = reference.run["model"];
  const layers: unknown =
    typeof model === "object" && model !== null && "layers" in model ? model.layers : null;
  const plausible = typeof layers === "number" && layers > 0 && layers <= MAX_LAYERS;
  // A tensor may claim any layer; how many there are is harder to exaggerate.
  return plausible ? layers : new Set(units.map(({ layer }) => layer)).size;
}

function tensorResult(
  { measured: { unit, measurement }, judgement }: JudgedUnit,
  role: Role | null,
): TensorResult {
  const figures = measurement?.figures ?? null;
  const { floor } = judgement;
  const [first] = unit.pairs;
  if (first === undefined) throw new RangeError(`${unit.name} was aligned without pairs`);
  return {
    name: unit.name,
    layer: unit.layer,
    step: unit.group,
    verdict: judgement.verdict,
    role,
    dtype: { reference: first.reference.dtype, candidate: first.candidate.dtype },
    samples: unit.pairs.length,
    rows: figures?.rows ?? 0,
    elements: figures?.elements ?? 0,
    relL2: figures?.relL2 ?? null,
    snrDb: figures?.snrDb ?? null,
    tokenRelL2: figures?.tokenRelL2 ?? null,
    cosine: figures?.cosine ?? null,
    cosineDistance: figures?.cosineDistance ?? null,
    tokenCosine: figures?.tokenCosine ?? null,
    mse: figures?.mse ?? null,
    rmse: figures?.rmse ?? null,
    meanAbs: figures?.meanAbs ?? null,
    bias: figures?.bias ?? null,
    maxAbs: figures?.maxAbs ?? null,
    maxAbsAt: figures?.maxAbsAt ?? null,
    normRatio: figures?.normRatio ?? null,
    slope: figures?.slope ?? null,
    floorRatio: floor?.floorRatio ?? null,
    floorRatioP99: floor?.floorRatioP99 ?? null,
    floor,
    priorLimit: judgement.priorLimit,
    own: null,
    nonFinite: measurement?.nonFinite ?? null,
    bitsDiffering: measurement?.bitsDiffering ?? null,
  };
}

function summary(dump: Dump): InputSummary {
  return {
    file: dump.file,
    bytes: dump.bytes,
    tokensSha256: tokensSha256(dump, tokenTable(dump, "input_ids")),
    run: dump.run,
    repaired: dump.repaired,
  };
}

function nothingDecided(
  reference: Dump,
  candidate: Dump,
  options: CompareOptions,
  aligned: boolean,
): NpuDiffError {
  const names = (dump: Dump): string =>
    [...new Set(dump.tensors.map(({ name }) => name))].slice(0, 6).join(" ");
  const filtered = options.only.length > 0 || options.skip.length > 0;
  const selection = filtered
    ? "widen --only, or drop --skip"
    : "capture both sides with the same --select, or check that the names agree";
  return new NpuDiffError("nothing-aligned", {
    what: aligned
      ? "of the tensors that both dumps hold, none could be compared"
      : "the dumps share no tensor that could be compared",
    facts: [
      { label: "reference", text: `${reference.file}   ${names(reference)}` },
      { label: "candidate", text: `${candidate.file}   ${names(candidate)}` },
    ],
    help: aligned
      ? "capture whole float tensors: these are empty, reduced to statistics, or integers"
      : selection,
  });
}
