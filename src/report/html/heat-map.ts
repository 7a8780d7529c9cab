/** The error of every tensor at every token of one sample, as a picture with its scale. */

import type { TokenBin, TokenErrors } from "../../core/details.ts";
import { escapeText } from "../../core/escape.ts";
import type { ComparisonResult } from "../../core/result.ts";
import type { TensorResult } from "../../core/tensor-result.ts";
import { formatError, formatRatio } from "../format-number.ts";
import { plainEvidence } from "../layer-rows.ts";
import { sentenceName } from "../tensor-label.ts";
import { factTable, type PageContext, scrolling } from "./context.ts";
import { px } from "./log-scale.ts";
import { html, jsonIsland, type Markup, trusted } from "./markup.ts";
import { NOT_FINITE, NOTHING, paletteImage, SHADES } from "./palette-image.ts";
import { quoted } from "./quoted.ts";

const WIDTH = 1080;
const LEFT = 118;
const TOP = 8;
const BELOW = 84;

/** Height of a row of cells: as much as there is room for, and enough to be seen. */
const ROOM = 620;
const ROW = { least: 2, most: 14 };

/** Room that a label of a row, and of a column, takes. */
const LABEL = { row: 13, column: 13 };

/** Characters of a token below the picture. */
const TOKEN = 11;

/** Cells that are listed beside the picture. */
const LISTED = 10;

/** One row of cells, in the unit of the picture. */
interface Row {
  readonly name: string;
  readonly layer: number | null;
  /** ρ_t of each bin, and the same in the unit; null where there is none. */
  readonly errors: readonly (number | null)[];
  readonly sizes: readonly (number | null)[];
}

/** Decades at the ends of the scale. */
interface Range {
  readonly low: number;
  readonly high: number;
}

/** Null where single tokens were not measured. */
export function heatMap(result: ComparisonResult, context: PageContext): Markup | null {
  const errors = result.details?.tokenErrors ?? null;
  if (errors === null) return null;
  const { m, w } = context;
  const unit = w.heat.unit[plainEvidence(result)];
  const rows = rowsOf(errors, result, context);
  const range = rangeOf(rows);
  if (range === null) return html`<p class="muted">${w.nothingDrawn}</p>`;
  const cells = new Uint8Array(
    rows.flatMap(({ sizes }) => sizes.map((size) => shade(size, range))),
  );
  const bins = errors.bins;
  const height = Math.min(ROW.most, Math.max(ROW.least, Math.floor(ROOM / rows.length)));
  const bottom = TOP + rows.length * height;
  const cell = (WIDTH - LEFT) / bins.length;
  const largest = listed(rows, bins).slice(0, LISTED);
  const [worst] = largest;
  const summary =
    worst === undefined
      ? ""
      : w.heat.largest(
          worst.row.name,
          tokensOf(worst.bin, context),
          sizeText(worst.size, unit, context),
        );
  const island = {
    left: LEFT / WIDTH,
    top: TOP,
    row: height,
    low: range.low,
    high: range.high,
    shades: SHADES,
    start: worst === undefined ? [0, 0] : [rows.indexOf(worst.row), bins.indexOf(worst.bin)],
    unit,
    rows: rows.map(({ name }) => escapeText(name, 80)),
    bins: bins.map((bin) => [
      tokensOf(bin, context),
      bin.text === null ? "" : quoted(bin.text, 40),
    ]),
    words: { none: w.heat.none, notFinite: w.heat.notFinite, label: w.sections.heat },
  };
  return html`<p class="muted">${w.heat.intro(m.texts.prompt(errors.sample), String(errors.tokens), String(rows.length))} ${bins.length < errors.tokens ? w.heat.binned(String(bins[0] === undefined ? 1 : bins[0].to)) : null}</p>
${legend(range, unit, context)}
${scrolling(
  w.sections.heat,
  html`<div class="cells"><svg class="heat" viewBox="0 0 ${WIDTH} ${bottom + BELOW}" role="img" aria-label="${`${w.sections.heat}${m.stop}${summary}`}">
<rect class="frame" x="${LEFT}" y="${TOP}" width="${WIDTH - LEFT}" height="${rows.length * height}"/>
<image href="${trusted(paletteImage(cells, bins.length))}" x="${LEFT}" y="${TOP}" width="${WIDTH - LEFT}" height="${rows.length * height}" preserveAspectRatio="none"/>
${rowLabels(rows, height)}${columnLabels(bins, cell, bottom)}
</svg></div>`,
  context,
)}
<p class="readout" aria-live="polite">${summary}</p>
<details><summary>${w.heat.list}</summary>${factTable(
    w.heat.list,
    [m.labels.tensors, w.heat.tokens, w.heat.text, w.heat.error, unit],
    largest.map(({ row, bin, error, size }) => [
      row.name,
      tokensOf(bin, context),
      bin.text === null ? "" : html`<code>${quoted(bin.text, 60)}</code>`,
      formatError(error),
      formatRatio(size),
    ]),
    context,
  )}</details>
<script type="application/json">${jsonIsland(island)}</script>`;
}

function rowsOf(
  { rows }: TokenErrors,
  result: ComparisonResult,
  { m }: PageContext,
): readonly Row[] {
  const evidence = plainEvidence(result);
  const known = new Map(
    result.tensors.flatMap((tensor) =>
      tensor.step === "prefill" ? [[tensor.name, tensor] as const] : [],
    ),
  );
  return rows.flatMap(({ tensor: name, relL2: errors }) => {
    const tensor = known.get(name);
    if (tensor === undefined) return [];
    const unit = unitOf(tensor, evidence);
    const sizes = errors.map((error) => (error === null || unit === null ? null : error / unit));
    return [{ name: sentenceName(tensor, m), layer: tensor.layer, errors, sizes }];
  });
}

/** What a cell of `tensor` is measured in. */
function unitOf(
  { floor, priorLimit }: TensorResult,
  evidence: ReturnType<typeof plainEvidence>,
): number | null {
  if (evidence === "exact") return 1;
  return evidence === "floor" ? (floor?.floorGm ?? null) : priorLimit;
}

function rangeOf(rows: readonly Row[]): Range | null {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { sizes } of rows) {
    for (const size of sizes) {
      if (size === null || !(size > 0) || !Number.isFinite(size)) continue;
      low = Math.min(low, Math.log10(size));
      high = Math.max(high, Math.log10(size));
    }
  }
  if (low > high) return null;
  // What is far below the rest needs no shades of its own.
  const top = Math.ceil(high);
  return { low: Math.min(top - 1, Math.max(Math.floor(low), top - 6)), high: top };
}

function shade(size: number | null, { low, high }: Range): number {
  if (size === null) return NOTHING;
  if (!Number.isFinite(size)) return NOT_FINITE;
  if (size <= 0) return 0;
  const share = (Math.log10(size) - low) / (high - low);
  return Math.round(Math.min(1, Math.max(0, share)) * (SHADES - 1));
}

function listed(
  rows: readonly Row[],
  bins: readonly TokenBin[],
): readonly {
  readonly row: Row;
  readonly bin: TokenBin;
  readonly error: number;
  readonly size: number;
}[] {
  return rows
    .flatMap((row) =>
      row.sizes.flatMap((size, index) => {
        const [bin, error = null] = [bins[index], row.errors[index]];
        return size === null || error === null || bin === undefined
          ? []
          : [{ row, bin, error, size }];
      }),
    )
    .sort((a, b) => (a.size === b.size ? 0 : b.size - a.size));
}

function sizeText(size: number, unit: string, { w }: PageContext): string {
  return Number.isFinite(size) ? `${formatRatio(size)} ${unit}` : w.heat.notFinite;
}

function tokensOf({ from, to }: TokenBin, { w }: PageContext): string {
  return to - from === 1 ? w.heat.token(from) : w.heat.tokenRange(from, to - 1);
}

function rowLabels(rows: readonly Row[], height: number): readonly (Markup | null)[] {
  let last = Number.NEGATIVE_INFINITY;
  return rows.map(({ name, layer }, index) => {
    const y = TOP + (index + 0.5) * height;
    const isFirst = layer === null || rows[index - 1]?.layer !== layer;
    if (!isFirst && height < LABEL.row) return null;
    if (y - last < LABEL.row) return null;
    last = y;
    const label = layer === null || height >= LABEL.row ? name : name.replace(/ [^ ]*$/, "");
    return html`<text class="tick" x="${LEFT - 6}" y="${px(y + 4)}" text-anchor="end">${escapeText(label, 16)}</text>`;
  });
}

function columnLabels(
  bins: readonly TokenBin[],
  cell: number,
  bottom: number,
): readonly (Markup | null)[] {
  const every = Math.ceil(LABEL.column / cell);
  return bins.map(({ from, text }, index) => {
    if (index % every !== 0) return null;
    // A part of a character says less than its place.
    const isText = text !== null && text.trim() !== "" && !text.includes("\ufffd");
    const label = isText ? escapeText(text.trim(), TOKEN) : String(from);
    const x = px(LEFT + (index + 0.5) * cell + 4);
    return html`<text class="tick" transform="translate(${x} ${bottom + 6}) rotate(-90)" text-anchor="end">${label}</text>`;
  });
}

/** The scale, in the unit of the picture. */
function legend(range: Range, unit: string, { w }: PageContext): Markup {
  const bar = Uint8Array.from({ length: SHADES }, (_, index) => index);
  const [from, to] = [10, 330];
  const decades = Array.from(
    { length: range.high - range.low + 1 },
    (_, index) => range.low + index,
  );
  const at = (decade: number): number =>
    from + ((to - from) * (decade - range.low)) / (range.high - range.low);
  return html`<svg class="scale" viewBox="0 0 640 40" role="img" aria-label="${w.heat.scale(formatRatio(10 ** range.low), formatRatio(10 ** range.high), unit)}">
<image href="${trusted(paletteImage(bar, SHADES))}" x="${from}" y="4" width="${to - from}" height="12" preserveAspectRatio="none"/>
${decades.map((decade) => html`<text class="tick" x="${px(at(decade))}" y="32" text-anchor="middle">${Number((10 ** decade).toPrecision(1))}</text>`)}
<text class="tick" x="${to + 32}" y="15">${unit}</text><rect class="beyond" x="${to + 32}" y="22" width="12" height="12"/><text class="tick" x="${to + 50}" y="32">${w.heat.notFinite}</text></svg>`;
}
