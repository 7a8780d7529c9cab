/**
 * The pipeline: open → align → measure → judge → diagnose. The only file that
 * knows all stages.
 */

import { align, bytesOf, isWanted, type Unit } from "./align/align.ts";
import { modelDifferences } from "./align/configuration.ts";
import { environmentDifferences } from "./align/environment.ts";
import { checkInputs } from "./align/inputs.ts";
import { layerCount } from "./align/layer-count.ts";
import { originalOf } from "./align/naming/mapped-dump.ts";
import { type NamedPair, namePair, namingOf } from "./align/naming/name-pair.ts";
import { nothingDecided } from "./align/nothing-decided.ts";
import { performanceSources, refusePerformanceAlone } from "./align/performance.ts";
import { checkPrompts, knownByPrompts } from "./align/prompts.ts";
import { type ReferenceSet, withReferenceSet } from "./align/reference-set.ts";
import { relationOfRuns } from "./align/runs.ts";
import { atScoredRows, isScored, onScoredRows, scoredOf } from "./align/scored-rows.ts";
import { differingTexts } from "./align/texts.ts";
import { checkTokens, type Tokens, tokensSha256, tokenTable } from "./align/tokens.ts";
import type { Finding } from "./core/findings.ts";
import type { InputSummary } from "./core/inputs.ts";
import { type CompareObserver, type CompareOptions, DEFAULT_OPTIONS } from "./core/options.ts";
import { COMPARE_OPTIONS_SCHEMA, checkOptions } from "./core/options-schema.ts";
import type { ComparisonResult } from "./core/result.ts";
import type { Role } from "./core/verdict.ts";
import { diagnose } from "./diagnose/groups.ts";
import type { Dump } from "./dump/dump.ts";
import { bytesOfFiles } from "./dump/dump-folder.ts";
import { openDump } from "./dump/open-dump.ts";
import { refuseRanksApart } from "./dump/rank-paths.ts";
import type { ScoredLogits } from "./dump/scored-logits.ts";
import { judge } from "./judge/judge.ts";
import { forcedFindings, refuseEchoAsForced } from "./judge/judge-forced.ts";
import { headFindings } from "./judge/judge-head.ts";
import { inputFindings } from "./judge/judge-inputs.ts";
import { performanceFindings } from "./judge/judge-performance.ts";
import { type JudgeContext, type JudgedUnit, judgeTensor } from "./judge/judge-tensor.ts";
import { checkLevels, Levels } from "./judge/levels.ts";
import { sampleAllowance } from "./judge/limits.ts";
import { ownFloorLimit } from "./judge/own-limits.ts";
import { scaleOf } from "./judge/presets.ts";
import { failsByPropagationAlone, settlePropagation, streamOf } from "./judge/propagated.ts";
import { firstRouter } from "./judge/routing.ts";
import { tensorResult } from "./judge/tensor-result.ts";
import { readDetails } from "./measure/details.ts";
import { openFloors, refuseReferenceAsFloor, refuseTooMany } from "./measure/floors.ts";
import { openForced } from "./measure/forced.ts";
import { Helpers } from "./measure/kernel/helpers.ts";
import { FailedJob, JobStream } from "./measure/kernel/job-stream.ts";
import { type Head, openHead } from "./measure/lm-head/head.ts";
import { LogitsMeter } from "./measure/logits.ts";
import { isMeasurable, measureTensor, type Sides, unmeasurable } from "./measure/measure-tensor.ts";
import { OwnErrors } from "./measure/own.ts";
import { comparePerformance } from "./measure/performance.ts";
import { readingError, slotSizes } from "./measure/plan.ts";
import { planUnits, widestOwn } from "./measure/plan-units.ts";
import { type LogitsMeters, qualityOf } from "./measure/quality.ts";
import { reducedGroups } from "./measure/reduced-quality.ts";
import { SegmentReader } from "./measure/segments.ts";
import { readSpecimen } from "./measure/specimen.ts";
import { measureStatistics } from "./measure/stats-figures.ts";
import { TrueTokens } from "./measure/true-tokens.ts";

/**
 * Compares a candidate dump with a reference dump, or with a reference set.
 *
 * Memory is bounded by the number of tensors and rows, not by the size of the
 * files. Between its jobs it holds the event loop: run it in a worker thread where
 * the event loop matters.
 *
 * @param given the two dumps, and whatever differs from {@link DEFAULT_OPTIONS}.
 * @returns the result; a precision failure is a value of it.
 * @throws NpuDiffError where the two could not be compared, and `usage` for an option that is unknown or out
 *   of its range.
 */
export async function compareDumps(
  given: Pick<CompareOptions, "reference" | "candidate"> & Partial<CompareOptions>,
  observer: CompareObserver = {},
): Promise<ComparisonResult> {
  const filled = { ...DEFAULT_OPTIONS, ...given };
  checkOptions(filled, COMPARE_OPTIONS_SCHEMA);
  checkLevels(filled.levels);
  const { options, set } = withReferenceSet(filled);
  const files = [options.reference, options.candidate, ...options.floors, ...options.forced];
  refuseTooMany(options);
  refuseRanksApart(files);
  const open: Dump[] = [];
  const openOnce = (path: string): Dump => {
    const dump = openDump(path);
    open.push(dump);
    return dump;
  };
  const helpers = new Helpers(options.jobs, bytesOfFiles(files));
  let head: Head | null = null;
  try {
    const reference = openOnce(options.reference);
    const candidate = openOnce(options.candidate);
    // Lets whoever called draw before the first long stretch of work.
    await Promise.resolve();
    const whole = namePair(reference, candidate, options.map);
    const named = atScoredRows(whole);
    const openBeside = (path: string): Dump => named.likeReference(openOnce(path));
    head = await openHead(options, whole, scoredOf(whole), observer);
    return await comparePair(head.sides(named), set, openBeside, options, observer, helpers, head);
  } finally {
    // They may be reading.
    await helpers.end();
    await head?.close();
    for (const dump of open) dump.close();
  }
}

async function comparePair(
  named: NamedPair,
  set: ReferenceSet | null,
  open: (path: string) => Dump,
  options: CompareOptions,
  observer: CompareObserver,
  helpers: Helpers,
  head: Head,
): Promise<ComparisonResult> {
  const { reference, candidate } = named;
  const scored = scoredOf(named);
  refusePerformanceAlone(reference, candidate, options);
  const performance = comparePerformance(performanceSources(options, reference, candidate));
  const relation = relationOfRuns(reference, candidate);
  const byPrompts = knownByPrompts(reference, candidate);
  const tokens = byPrompts
    ? checkPrompts(reference, candidate)
    : checkTokens(reference, candidate, "candidate");
  const inputs = checkInputs(reference, candidate, "candidate");
  const floors = openFloors(
    options.floors,
    (path) => head.floor(onScoredRows(open(path), scored)),
    reference,
    { dump: candidate, path: options.candidate },
    relation,
  );
  const sides: Sides = { reference, candidate, floors: floors.used };
  const openOwn = (path: string): Dump => head.forced(onScoredRows(open(path), scored));
  const forced = openForced(options.forced, openOwn, sides, relation, set !== null);
  const allForced = [forced.candidate, ...forced.floors].filter((dump) => dump !== null);
  const dumps = [reference, candidate, ...floors.used.map(({ dump }) => dump), ...allForced];
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
    isolated: relation === "isolated",
    firstRouter: firstRouter([reference, candidate]),
    limits: options.limits,
    limitsOfConfig: options.limitsOfConfig,
    overrides: options.overrides,
    levels: new Levels(options.levels),
  };
  const ownErrors = new OwnErrors(forced, sides, relation);
  const reader = new SegmentReader();
  await head.compute([reference, candidate, ...floors.used.map(({ dump }) => dump)]);
  const measured = await measureUnits(
    alignment.units,
    sides,
    ownErrors,
    reader,
    tokens,
    scored,
    context,
    options,
    observer,
    helpers,
    Math.max(...dumps.map((dump) => dump.ranks)),
  );
  const { logits, stopped } = measured;
  // What was not reached may be what is at fault.
  const { units, propagated, carrying, settled } = stopped
    ? {
        units: measured.units,
        propagated: [],
        carrying: new Set<never>(),
        settled: new Set<never>(),
      }
    : settlePropagation(
        measured.units,
        streamOf([candidate, ...(forced.candidate === null ? [] : [forced.candidate])]),
      );
  // A part of the tensors may well be equal, an embedding say.
  const whole = !stopped && options.only.length === 0 && options.skip.length === 0;
  refuseReferenceAsFloor(
    whole ? floors.used : [],
    units.flatMap(({ measured: { measurement } }) => (measurement === null ? [] : [measurement])),
    reference,
  );
  refuseEchoAsForced(forced.candidate, candidate, units);
  const reduced =
    !stopped && isWanted("logits", options)
      ? reducedGroups(reference, candidate)
      : new Set<never>();
  const quality = qualityOf(sides, tokens.table, logits, {
    isolated: context.isolated,
    reduced,
  });
  const logProbabilities = alignment.units.some((unit) => isScored(unit, scored));
  const overall = judge(
    alignment,
    units.map(({ judgement }) => judgement),
    quality,
    context,
    options,
    { stopped, reduced, logProbabilities, settled },
  );
  if (!overall.compared) {
    throw nothingDecided(reference, candidate, options, units.length > 0);
  }
  const lens = await head.lens(alignment.units, sides, { ...context, stopped, u: scale.u });
  const model = modelDifferences(reference.run, candidate.run);
  const beside = context.levels.all([
    ...inputFindings({
      reference,
      candidate,
      set,
      floors,
      isolated: context.isolated,
      model,
      texts: differingTexts(reference, candidate),
      naming: namingOf(named),
      verified: byPrompts ? "prompts" : tokens.verified || inputs > 0 ? "inputs" : null,
    }),
    ...headFindings(head.facts),
    ...performanceFindings(performance),
    ...forcedFindings(forced, { reference, candidate, set }, units),
    ...propagated,
  ]);
  const { origin, groups, roles } = diagnose(units, {
    specimen: (unit) => readSpecimen(unit, sides, ownErrors, reader),
    configuration: model.configuration,
    findings: [...beside, ...overall.findings],
    relation,
    layers: context.layers,
  });
  const roleOf = new Map(
    units.map(({ measured: { unit } }, index): [string, Role | null] => [
      `${unit.group}:${unit.name}`,
      roles[index] ?? null,
    ]),
  );
  const tensors = units.map((judged, index) =>
    tensorResult(judged, carrying.has(judged) ? "carried" : (roles[index] ?? null)),
  );
  return {
    schemaVersion: 1,
    verdict: beside.some(({ level }) => level === "error") ? "fail" : overall.verdict,
    origin,
    groups,
    isolated: context.isolated,
    findings: [
      ...context.levels.notices(),
      ...beside,
      ...overall.findings.map((finding): Finding => {
        const role = roleOf.get(`${finding.step ?? ""}:${finding.tensor ?? ""}`) ?? null;
        return finding.level === "error" ? { ...finding, role } : finding;
      }),
    ],
    quality,
    tensors,
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
      forced: allForced.map(summary),
    },
    tokens: { samples: tokens.samples === 0 ? inputs : tokens.samples, tokens: tokens.tokens },
    environment: { differences: environmentDifferences(reference.run, candidate.run) },
    lens,
    performance,
    evidence: overall.evidence,
    preset: scale.preset,
    rules: overall.rules,
    stopped,
    details: options.details
      ? readDetails(
          units.map(({ measured }) => measured.unit),
          { tensors, origin, quality },
          logits,
          sides,
          reader,
        )
      : null,
  };
}

/** What came of measuring the units of a comparison. */
interface Measured {
  readonly units: readonly JudgedUnit[];
  readonly logits: LogitsMeters;
  readonly stopped: boolean;
}

/** Measures every unit in execution order; stops after the first failing one where that was asked for. */
async function measureUnits(
  units: readonly Unit[],
  sides: Sides,
  ownErrors: OwnErrors,
  reader: SegmentReader,
  tokens: Tokens,
  scored: ScoredLogits | null,
  context: JudgeContext,
  options: CompareOptions,
  observer: CompareObserver,
  helpers: Helpers,
  ranks: number,
): Promise<Measured> {
  const scales = sides.floors.map(({ scale }) => scale);
  const logits = {
    prefill: new LogitsMeter(scales, scored),
    decode: new LogitsMeter(scales),
  };
  const judged: JudgedUnit[] = [];
  const totalBytes = units
    .flatMap((unit) => [unit, ...ownErrors.units(unit)])
    .reduce((total, unit) => total + bytesOf(unit), 0);
  const measuring = {
    u: context.scale.u,
    sampleAllowance,
    ownFloorLimit,
  };
  const holdsLogits = (unit: Unit): boolean => unit.role === "logits" && !context.isolated;
  const plan = planUnits(units, sides, ownErrors, {
    measuring,
    bits: context.scale.exact,
    holdsLogits,
    truth: new TrueTokens(sides.reference, tokens.table, scored),
  });
  const sizes = slotSizes(1 + sides.floors.length, widestOwn(units, ownErrors), ranks);
  const jobs = new JobStream(plan, helpers, sizes);
  let bytes = 0;
  try {
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
      const observing = holdsLogits(unit) ? logits[unit.group] : null;
      const measurement = isMeasurable(unit)
        ? await measureTensor(unit, sides, measuring, jobs, observing, tell)
        : null;
      const own = await ownErrors.measure(unit, measuring, jobs, tell);
      const statistics =
        unit.shapeConflict === null && reason === "reduced"
          ? measureStatistics(unit, sides, reader, tell)
          : null;
      // The figures of quality decide of them, as of reduced logits.
      if (isScored(unit, scored)) continue;
      const measured = { unit, measurement, unmeasurable: reason, own, statistics };
      const judgement = judgeTensor(measured, context);
      judged.push({ measured, judgement });
      if (judgement.verdict !== "fail" || failsByPropagationAlone({ measured, judgement })) {
        continue;
      }
      observer.failure?.(
        unit.name,
        judgement.findings.find(({ level }) => level === "error")?.rule ?? "",
      );
      if (options.failFast && judged.length < units.length) {
        return { units: judged, logits, stopped: true };
      }
    }
    return { units: judged, logits, stopped: false };
  } catch (error) {
    throw error instanceof FailedJob ? readingError(error.planned, error.cause) : error;
  } finally {
    await jobs.close();
  }
}

function summary(named: Dump): InputSummary {
  const dump = originalOf(named);
  return {
    file: dump.file,
    bytes: dump.bytes,
    tokensSha256: tokensSha256(named, tokenTable(named, "input_ids")),
    run: dump.run,
    repaired: dump.repaired,
  };
}
