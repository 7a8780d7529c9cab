import type { LimitSource } from "../../core/findings.ts";
import type { Role, StepGroup, Verdict } from "../../core/verdict.ts";

/** Languages of the reports: English and Chinese. */
export type Language = "en" | "zh";

export type Side = "reference" | "candidate";

/** Words of a row of quality figures. */
export type QualityWord = "pass" | "fail" | "warn" | "undecided" | "notJudged";

/**
 * Everything that the human reports say, beside the words of the rules.
 * Arguments are texts that are already formatted and escaped.
 */
export interface Messages {
  readonly verdict: Readonly<Record<Verdict, string>>;
  readonly tensorVerdict: Readonly<Record<Verdict, string>>;
  readonly role: Readonly<Record<Role, string>>;
  readonly step: Readonly<Record<StepGroup, string>>;
  readonly side: Readonly<Record<Side, string>>;
  readonly source: Readonly<Record<LimitSource, string>>;
  readonly qualityWord: Readonly<Record<QualityWord, string>>;
  /** Why a rule was not applied, or a tensor not judged, by the stable word. */
  readonly reasons: Readonly<Record<string, string>>;

  readonly labels: {
    readonly reference: string;
    readonly candidate: string;
    readonly floor: string;
    readonly forced: string;
    readonly model: string;
    readonly configuration: string;
    readonly tensors: string;
    readonly missing: string;
    readonly notCaptured: string;
    readonly quality: string;
    readonly errorByLayer: string;
    readonly noiseFloor: string;
    readonly warning: string;
    readonly note: string;
    /** Of a cause, by how sure it is. */
    readonly cause: string;
    readonly likelyCause: string;
    readonly possibleCause: string;
    readonly next: string;
    readonly also: string;
  };
  readonly columns: {
    readonly layer: string;
    readonly tensor: string;
    readonly cosine: string;
    readonly relL2: string;
    readonly maxAbs: string;
    readonly overFloor: string;
    readonly overPrior: string;
    /** Own error over the floor's own. */
    readonly ownOverFloor: string;
    /** Own error in units of u. */
    readonly own: string;
    readonly bits: string;
    readonly verdict: string;
  };

  /** Between a label and what it says. */
  readonly colon: string;
  /** Between two sentences. */
  readonly stop: string;
  /** A value of which only one side is known. */
  readonly bound: Readonly<Record<"lower" | "upper", (value: string) => string>>;
  /** The stream after a layer, as against its blocks. */
  readonly layerOutput: string;
  layer(layer: number): string;
  /** Of so many that either side holds. */
  tensorsOf(compared: number, held: number): string;
  /** Of some of the prompts and steps. */
  tensorsPartly(count: number): string;
  tensorCount(count: number): string;
  moreRows(count: number): string;
  andMore(count: number): string;
  /** Of a sentence about one tensor: how many more it is true of. */
  andOthers(count: number): string;
  /** Of a job summary that left something out. */
  readonly summaryCut: string;
  readonly noFloor: string;
  size(layers: number | null, samples: number, tokens: number): readonly string[];
  tensorSummary(compared: number, missing: number, notCaptured: number): readonly string[];
  readonly stopped: string;

  /** What the groups of prefill and decode have come to, each where there are both. */
  readonly group: {
    /** A sentence about one of them. */
    of(step: string, what: string): string;
    readonly pass: string;
    readonly fail: string;
    readonly inconclusive: string;
    origin(tensor: string): string;
    /** The prefill's error may have come to it through the cache of keys and values. */
    throughCache(tensor: string): string;
  };
  readonly headline: {
    /** The first tensor that fails, and how. */
    origin(tensor: string, how: string): string;
    missing(tensors: string): string;
    quality(how: string): string;
    tensor(tensor: string, how: string): string;
    inconclusive(what: string): string;
    inconclusiveQuality(what: string): string;
    passFloor(tensors: string, worst: string, ratio: string): string;
    passPrior(tensors: string): string;
    passForced(tensors: string): string;
    passExact(tensors: string): string;
    readonly passQuality: string;
  };
  readonly evidence: {
    cleanInputRatio(ratio: string): string;
    readonly cleanInput: string;
    readonly firstTensor: string;
    readonly prior: string;
    interval(low: string, high: string): string;
    tokensNeeded(count: string): string;
    samplesNeeded(count: string): string;
    readonly storeDensely: string;
    readonly forceReferences: string;
    readonly storeLogits: string;
    /** What would decide continuations, by the reason why they are open. */
    readonly storeText: string;
    readonly repeatRuns: string;
    readonly judgeTexts: string;
    leftOpen(rules: string): string;
    readonly isolated: string;
    independent(tensors: string): string;
    readonly forced: string;
    readonly noModule: string;
    systematic(role: string, faulty: string, places: string): string;
    readonly isolatedQuality: string;
    readonly notMeasuredQuality: string;
    readonly notReachedQuality: string;
  };
  /** The modules' own errors, under forced references. */
  readonly own: {
    overFloor(ratio: string): string;
    units(u: string): string;
    /** Of the origin. */
    origin(size: string): string;
    largest(tensor: string, size: string): string;
    /** Of the origin, where it is the largest of all. */
    largestAtOrigin(size: string): string;
    unknown(tensors: string): string;
  };
  readonly quality: {
    perplexity(reference: string, candidate: string, change: string): string;
    limit(limit: string): string;
    /** What was held to a limit: the interval, or the value alone. */
    readonly by: Readonly<Record<"interval" | "point", string>>;
    kl(mean: string, max: string): string;
    klBound(mean: string, max: string): string;
    klFloor(ratio: string): string;
    top1(share: string, positions: string, nearTies: string | null): string;
    top1Short(agreed: string, positions: string): string;
    firstToken(agreed: string, samples: string): string;
    firstTokenShort(agreed: string, samples: string): string;
    /** Continuations that were compared, of which `byText` by their texts alone. */
    generation(exact: string, samples: string, byText: string | null): string;
    /** Of those that part, how many at near ties, beyond them, and where nobody knows. */
    parting(nearTies: number, real: number, unknown: number): string;
    sampled(sides: string): string;
    oneSided(reference: string, candidate: string): string;
    keywords(reference: string, candidate: string, of: string, lost: string): string;
    notApplied(reason: string, rules: string): string;
    notAvailable(reason: string, figures: string): string;
    readonly separator: string;
  };

  /** How far one side repeats itself. */
  readonly determinism: {
    /** Repetitions fed alike, or of which nobody knows; `agreement` and `difference` where there are such. */
    repeated(repetitions: string, agreement: string | null, difference: string | null): string;
    otherBatches(repetitions: string, agreement: string | null, difference: string | null): string;
    agreement(identical: string, samples: string): string;
    /** Over the tensors that two repetitions store. */
    largest(maxAbs: string, tensors: string): string;
    /** Where the place and the tokens follow. */
    first(sample: number, repeat: number): string;
  };

  /** Both continuations of a prompt. */
  readonly texts: {
    prompt(sample: number): string;
    readonly keywords: string;
    /** A side without a text: that it has no continuation, or only so many tokens of one. */
    readonly none: string;
    tokensOnly(tokens: string): string;
    atToken(token: string): string;
    atCharacter(character: string): string;
    readonly apart: string;
    ends(side: string): string;
    nats(nats: string): string;
    /** How far each side prefers its own token. */
    margin(reference: string, candidate: string): string;
    nearTie(z: string | null): string;
    noNearTie(z: string): string;
    unknownTie(reason: string): string;
    readonly yes: string;
    readonly no: string;
    readonly unknown: string;
    more(count: string): string;
  };

  readonly rule: {
    readonly level: Readonly<Record<"error" | "warning" | "info", string>>;
    readonly found: string;
    readonly why: string;
    readonly formula: string;
    readonly metric: string;
    readonly causes: string;
    readonly tune: string;
  };

  /** Number formats, as they are explained. */
  readonly format: {
    readonly bits: string;
    layout(exponent: number, mantissa: number): string;
    readonly range: string;
    extremes(max: string, normal: string, subnormal: string): string;
    readonly unspecified: string;
    readonly rounding: string;
    relative(power: number, share: string, digits: number): string;
    readonly overflow: string;
    leaves(from: string, inclusive: boolean, to: string): string;
    /** Of a format whose largest values no float64 tells apart. */
    readonly beyond: string;
    readonly noise: string;
    noiseOf(layers: number): string;
    expected(tensor: string, error: string, limit: string): string;
    readonly formula: string;
    /** Where c was measured, and what caps the limits. */
    readonly measured: string;
    readonly dumpName: string;
    /** That nobody has measured what a format costs that only operands have. */
    readonly operandsOnly: string;
    readonly source: string;
  };

  readonly cause: {
    readonly by: string;
    readonly finder: Readonly<Record<"compare" | "probe", string>>;
    readonly formula: string;
    readonly usual: string;
  };

  readonly card: {
    readonly title: string;
    readonly item: string;
    referenceColumn(device: string): string;
    candidateColumn(device: string): string;
    readonly difference: string;
    readonly perplexity: string;
    readonly cosineMean: string;
    readonly cosineMin: string;
    readonly mse: string;
    readonly maxAbs: string;
    readonly kl: string;
    readonly top1: string;
    readonly firstToken: string;
    readonly determinism: string;
    agreement(share: string, agreed: string, of: string): string;
    notMeasured(why: string): string;
    readonly noLogits: string;
    readonly noIds: string;
    readonly notReached: string;
    readonly replayed: string;
    readonly texts: string;
    readonly number: string;
    readonly prompt: string;
    textColumn(side: string): string;
    readonly firstTokenColumn: string;
    readonly agrees: string;
    readonly disagrees: string;
    readonly parts: string;
    readonly keywordsColumn: string;
    readonly identical: string;
    readonly notCompared: string;
    moreTexts(count: string): string;
    readonly conclusion: string;
    readonly data: string;
    readonly limits: string;
    readonly rule: string;
    readonly limit: string;
    readonly from: string;
    readonly outcome: string;
    readonly perTensor: string;
    readonly holds: string;
    readonly broken: string;
    readonly undecided: string;
    notApplied(reason: string): string;
    readonly layers: string;
    /** Heads of the table of layers; the last but one is what decided: a floor, the prior, or equal bits. */
    readonly layerColumns: Readonly<
      Record<
        | "layer"
        | "cosineMean"
        | "cosineMin"
        | "mse"
        | "maxAbs"
        | "relL2"
        | "floor"
        | "prior"
        | "exact"
        | "verdict",
        string
      >
    >;
    readonly notes: string;
  };
}
