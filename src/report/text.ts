/** The report of a comparison for a terminal. */

import { escapeText } from "../core/escape.ts";
import type { InputSummary } from "../core/inputs.ts";
import type { ComparisonResult } from "../core/result.ts";
import type { Paths } from "./cause-lines.ts";
import { deviceOf, dtypeOf, modelOf } from "./input-label.ts";
import { lensBlock } from "./lens/text.ts";
import { type Language, MESSAGES, type Messages, type QualityWord } from "./messages/index.ts";
import { gateLines, noticeLines } from "./notices.ts";
import { performanceBlocks } from "./performance/text.ts";
import { notAppliedLines, notAvailableLines, qualityRows } from "./quality-rows.ts";
import { PLAIN, type Style } from "./style.ts";
import { layOutLabels, padEnd, width, wrapText } from "./table.ts";
import { generationBlock } from "./text-generation.ts";
import { layerTable } from "./text-layers.ts";
import { unmeasuredQuality, verdictLines } from "./verdict-lines.ts";

/** How a text report looks. */
export interface TextOptions {
  readonly lang: Language;
  readonly style: Style;
  /** Plain ASCII glyphs; names keep their own characters. */
  readonly ascii: boolean;
  /** Width of the terminal, 40 or more. */
  readonly columns: number;
  /** Where the two dumps lie, for the next command; their names alone by default. */
  readonly paths?: Paths | null;
}

/** A pipe or a file, in English. */
export const DEFAULT_TEXT_OPTIONS: TextOptions = {
  lang: "en",
  style: PLAIN,
  ascii: false,
  columns: 80,
};

/** What the parts of a text report share. */
export interface TextContext {
  readonly m: Messages;
  readonly lang: Language;
  readonly style: Style;
  readonly ascii: boolean;
  readonly columns: number;
  /** Between parts of one line. */
  readonly dot: string;
  readonly ellipsis: string;
  readonly paths: Paths | null;
}

/** Columns that figures and their words take where they have more. */
const USUAL_COLUMNS = 70;

/** What `options` come to. */
export function makeContext({ lang, style, ascii, columns, paths }: TextOptions): TextContext {
  return {
    m: MESSAGES[lang],
    lang,
    style,
    ascii,
    columns: Math.max(40, columns),
    dot: ascii ? "|" : "·",
    ellipsis: ascii ? ".." : "…",
    paths: paths ?? null,
  };
}

/** Names of missing tensors that are listed for each side. */
const NAMES_SHOWN = 4;

/**
 * The report as lines of text, ending with a newline. A pass is two lines, and
 * what was not captured or cannot be said; everything else shows where the error
 * begins and what it does. The verdict stands at both ends: a log is read from its
 * top, a terminal from its bottom. Names from the dumps are escaped.
 *
 * @param given English, without style, 80 columns wide, where nothing else is said
 */
export function renderText(result: ComparisonResult, given: Partial<TextOptions> = {}): string {
  const context = makeContext({ ...DEFAULT_TEXT_OPTIONS, ...given });
  const performance = performanceBlocks(result.performance, context);
  const body = (
    result.verdict === "pass"
      ? [lensBlock(result.lens, context), generationBlock(result, context), ...performance]
      : [
          headerBlock(result, context),
          ...layerTable(result, context),
          lensBlock(result.lens, context),
          qualityBlock(result, context),
          generationBlock(result, context),
          ...performance,
        ]
  ).filter((lines) => lines.length > 0);
  const blocks = [
    ...(body.length === 0 ? [] : [sayVerdict(result, context, reason(result, context))]),
    ...body,
    verdictBlock(result, context),
  ];
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

function headerBlock(result: ComparisonResult, context: TextContext): readonly string[] {
  const { m, dot, columns, style } = context;
  const { inputs, tokens } = result;
  const model = modelOf(result);
  const files = [inputs.reference, inputs.candidate, ...inputs.floors, ...inputs.forced].map(
    ({ file }) => escapeText(file, 30),
  );
  const fileWidth = Math.max(...files.map(width));
  const inputText = (input: InputSummary): string => {
    const facts = [deviceOf(input), dtypeOf(input)].filter((fact) => fact !== null);
    return `${padEnd(escapeText(input.file, 30), fileWidth)}  ${facts.join(` ${dot} `)}`.trimEnd();
  };
  const { missing, notCaptured } = result;
  const rows: (readonly [string, string])[] = [
    [m.labels.reference, inputText(inputs.reference)],
    [m.labels.candidate, inputText(inputs.candidate)],
    ...(inputs.floors.length === 0 && result.evidence !== "exact"
      ? [[m.labels.floor, m.noFloor] as const]
      : inputs.floors.map((floor) => [m.labels.floor, inputText(floor)] as const)),
    ...inputs.forced.map((forced) => [m.labels.forced, inputText(forced)] as const),
    [
      m.labels.model,
      [
        ...(model.id === null ? [] : [model.id]),
        ...m.size(model.layers, tokens.samples, tokens.tokens),
      ].join(` ${dot} `),
    ],
    ...noticeLines(result, context.lang)
      .filter(({ finding }) => finding.rule === "input/config")
      .map(({ text }) => [m.labels.configuration, text] as const),
    [
      m.labels.tensors,
      [
        ...m.tensorSummary(result.tensors.length, count(missing), count(notCaptured)),
        ...(result.stopped ? [m.stopped] : []),
      ].join(` ${dot} `),
    ],
    ...absentRows(m.labels.missing, missing, m),
    ...absentRows(m.labels.notCaptured, notCaptured, m),
  ];
  return [style.bold("npu-diff compare"), ...layOutLabels(rows, columns)];
}

function count(sides: ComparisonResult["missing"]): number {
  return sides.reference.length + sides.candidate.length;
}

function absentRows(
  label: string,
  sides: ComparisonResult["missing"],
  m: Messages,
): readonly (readonly [string, string])[] {
  return (["reference", "candidate"] as const).flatMap((side) => {
    const places = sides[side];
    if (places.length === 0) return [];
    // Of many, the samples say less than the names.
    const names =
      places.length > NAMES_SHOWN
        ? [...new Set(places.map((place) => place.replace(/@[^@]*$/, "")))]
        : places;
    const shown = names.slice(0, NAMES_SHOWN).map((name) => escapeText(name, 60));
    const more = names.length > NAMES_SHOWN ? ` ${m.andMore(names.length - NAMES_SHOWN)}` : "";
    return [[label, `${m.side[side]}${m.colon}${shown.join(", ")}${more}`] as const];
  });
}

function qualityBlock(result: ComparisonResult, context: TextContext): readonly string[] {
  const { m, lang, columns, style } = context;
  const rows = qualityRows(result, lang);
  const labelWidth = Math.max(9, width(m.labels.quality));
  const indent = " ".repeat(labelWidth + 4);
  const wordWidth = Math.max(
    0,
    ...rows.map(({ word }) => (word === null ? 0 : width(m.qualityWord[word]))),
  );
  // On a wide terminal the words stay beside the figures.
  const widest = Math.max(USUAL_COLUMNS, ...rows.map(({ text }) => indent.length + width(text)));
  const room = Math.min(columns - wordWidth - 2, widest) - indent.length;
  const lines = rows.flatMap(({ text, word, reasons }) => {
    const [first = "", ...rest] = wrapText(text, room);
    const shown = word === null ? "" : `  ${paintWord(word, m, style)}`;
    return [
      `${padEnd(first, room)}${shown}`.trimEnd(),
      ...rest,
      ...reasons.flatMap((reason) => wrapText(reason, room - 2)).map((line) => `  ${line}`),
    ];
  });
  if (rows.length === 0) {
    lines.push(...wrapText(unmeasuredQuality(result, m), columns - indent.length));
  }
  const lacking = [...notAvailableLines(result, m), ...notAppliedLines(result, m)].flatMap((line) =>
    wrapText(line, columns - indent.length).map((one) => style.dim(one)),
  );
  return [...lines, ...lacking].map((line, i) =>
    i === 0 ? `  ${padEnd(m.labels.quality, labelWidth)}  ${line}` : indent + line,
  );
}

function paintWord(word: QualityWord, m: Messages, style: Style): string {
  const text = m.qualityWord[word];
  if (word === "fail") return style.bold(style.red(text));
  return word === "pass" ? style.green(text) : style.yellow(text);
}

/** The verdict with what it rests on. */
function verdictBlock(result: ComparisonResult, context: TextContext): readonly string[] {
  const { m, lang } = context;
  const { evidence } = verdictLines(result, lang);
  // The header of a longer report has said it already.
  const absent =
    result.verdict === "pass"
      ? [
          ...absentRows(m.labels.notCaptured, result.notCaptured, m).map(
            ([label, text]) => `${label}${m.colon}${text}`,
          ),
          ...notAvailableLines(result, m),
        ]
      : [];
  return sayVerdict(result, context, [...evidence, ...absent, ...gateLines(result, lang)]);
}

/** Why nothing was decided: a figure inside its limit reads like a pass without it. */
function reason(result: ComparisonResult, { lang }: TextContext): readonly string[] {
  return result.verdict === "inconclusive" ? verdictLines(result, lang).evidence.slice(0, 1) : [];
}

/** The verdict in a sentence, `evidence` in lines of its own, and the command that says more. */
function sayVerdict(
  result: ComparisonResult,
  { m, lang, columns, style, paths }: TextContext,
  evidence: readonly string[],
): readonly string[] {
  const { headline, next } = verdictLines(result, lang, paths);
  const word = m.verdict[result.verdict];
  const paint = { pass: style.green, fail: style.red, inconclusive: style.yellow }[result.verdict];
  const indent = " ".repeat(width(word) + 2);
  const lines = [headline, ...evidence].flatMap((line) => wrapText(line, columns - indent.length));
  // A command is copied: it is never broken.
  if (next !== null) lines.push(`${m.labels.next}${m.colon}${next}`);
  return lines.map((line, i) => (i === 0 ? `${style.bold(paint(word))}  ${line}` : indent + line));
}
