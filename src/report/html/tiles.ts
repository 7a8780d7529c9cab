/** The figures that a reader asks for first, a tile each. */

import type { ComparisonResult } from "../../core/result.ts";
import type { TensorResult } from "../../core/tensor-result.ts";
import {
  formatChange,
  formatCount,
  formatPlain,
  formatRatio,
  formatShare,
} from "../format-number.ts";
import { decisive, plainEvidence } from "../layer-rows.ts";
import { ownScale, ownSize } from "../own-lines.ts";
import { perplexityPair, qualityRows } from "../quality-rows.ts";
import { sentenceName } from "../tensor-label.ts";
import { badge, heading, type PageContext, regionLabel, type State, stateOf } from "./context.ts";
import { html, type Markup } from "./markup.ts";
import { QUALITY_STATES } from "./quality-section.ts";

interface Tile {
  readonly title: string;
  readonly value: string;
  /** Null where no rule looks at it. */
  readonly state: { readonly state: State; readonly word: string } | null;
  readonly notes: readonly string[];
}

export function tiles(result: ComparisonResult, context: PageContext): Markup {
  const shown = [...layerTiles(result, context), ...qualityTiles(result, context)];
  return html`<ul class="tiles" aria-label="${regionLabel(context.w.tiles.figures, context)}">${shown.map(
    ({
      title,
      value,
      state,
      notes,
    }) => html`<li class="tile${state === null ? "" : ` ${state.state}`}">
${heading(2, title, context)}<p class="value">${value}</p>${state === null ? null : badge(state.state, state.word)}<p class="note">${notes.join(context.m.quality.separator)}</p></li>\n`,
  )}</ul>`;
}

function layerTiles(result: ComparisonResult, context: PageContext): readonly Tile[] {
  const { m, w } = context;
  const { tensors, origin } = result;
  if (tensors.length === 0) return [];
  const of = (tensor: TensorResult): Tile["state"] => ({
    state: stateOf(tensor.verdict),
    word: m.tensorVerdict[tensor.verdict],
  });
  const first =
    tensors.find(({ name, step }) => name === origin?.tensor && step === origin.step) ?? null;
  const worst = first ?? largest(result);
  const failed = tensors.filter(({ verdict }) => verdict === "fail");
  const undecided = tensors.filter(({ verdict }) => verdict === "inconclusive").length;
  const inherited = failed.filter(({ role }) => role === "inherited").length;
  const total = formatCount(tensors.length);
  return [
    ...(worst === null
      ? []
      : [
          {
            title: first === null ? w.tiles.worst : w.tiles.firstFault,
            value: sentenceName(worst, m),
            state: of(worst),
            notes: sizeNotes(worst, result, context),
          },
        ]),
    {
      title: w.tiles.tensors,
      value:
        failed.length === 0
          ? undecided === 0
            ? w.tiles.allHold(total)
            : w.tiles.undecided(formatCount(undecided))
          : w.tiles.beyond(formatCount(failed.length), total),
      state: null,
      notes: [
        ...(failed.length === 0
          ? []
          : [
              w.tiles.roles(
                formatCount(failed.filter(({ role }) => role === "origin").length),
                formatCount(inherited),
              ),
            ]),
        ...(["missing", "notCaptured"] as const).flatMap((kind) => {
          const count = result[kind].reference.length + result[kind].candidate.length;
          return count === 0 ? [] : [`${m.labels[kind]}${m.colon}${formatCount(count)}`];
        }),
      ],
    },
  ];
}

/** How far a tensor is, in the units that decided. */
export function sizeNotes(
  tensor: TensorResult,
  result: ComparisonResult,
  { m, w }: PageContext,
): readonly string[] {
  const evidence = plainEvidence(result);
  const size = decisive(tensor, evidence);
  const scale = ownScale(result.tensors);
  const own = scale === null ? null : ownSize(tensor, scale);
  const words = {
    floor: () => w.times(formatRatio(size ?? 0)),
    prior: () => w.ofPrior(formatRatio(size ?? 0)),
    exact: () => w.differing(formatCount(size ?? 0)),
  };
  return [
    ...(size === null ? [] : [words[evidence]()]),
    ...(own === null || scale === null
      ? []
      : [
          w.tiles.own(
            scale === "floor" ? m.own.overFloor(formatRatio(own)) : m.own.units(formatRatio(own)),
          ),
        ]),
  ];
}

/** The tensor that is furthest in the units that decided. */
function largest(result: ComparisonResult): TensorResult | null {
  const evidence = plainEvidence(result);
  return result.tensors.reduce<TensorResult | null>((worst, tensor) => {
    const size = decisive(tensor, evidence);
    const most = worst === null ? null : decisive(worst, evidence);
    if (size === null) return worst;
    return most === null || Number.isNaN(size) || size > most ? tensor : worst;
  }, null);
}

function qualityTiles(result: ComparisonResult, context: PageContext): readonly Tile[] {
  const { m, w, lang } = context;
  const { perplexity, kl, klLowerBound, top1Agreement: top1, firstToken } = result.quality;
  const rows = qualityRows(result, lang);
  const state = (metric: string): Tile["state"] => {
    const word = rows.find((row) => row.metric === metric)?.word ?? null;
    return word === null ? null : { state: QUALITY_STATES[word], word: m.qualityWord[word] };
  };
  const tile = (title: string, metric: string, value: string, notes: readonly string[]): Tile => ({
    title,
    value,
    state: state(metric),
    notes,
  });
  return [
    ...(perplexity === null
      ? []
      : [
          tile(w.tiles.perplexity, "perplexity", formatChange(perplexity.relativeIncrease), [
            perplexityPair(perplexity.reference, perplexity.candidate).join(" → "),
          ]),
        ]),
    ...(kl === null
      ? []
      : [
          tile(w.tiles.kl, "kl", m.texts.nats(formatPlain(kl.mean)), [
            w.tiles.most(formatPlain(kl.max)),
            ...(kl.floorRatio === null ? [] : [w.times(formatRatio(kl.floorRatio))]),
          ]),
        ]),
    ...(klLowerBound === null
      ? []
      : [
          tile(
            w.tiles.kl,
            "klLowerBound",
            m.bound.lower(m.texts.nats(formatPlain(klLowerBound.mean))),
            [],
          ),
        ]),
    ...(top1 === null
      ? []
      : [
          tile(w.tiles.top1, "top1Agreement", formatShare(top1.share), [
            `${formatCount(top1.agreed)} / ${formatCount(top1.positions)}`,
            ...(top1.nearTies === null ? [] : [w.tiles.nearTies(formatCount(top1.nearTies))]),
          ]),
        ]),
    ...(firstToken === null
      ? []
      : [
          tile(
            w.tiles.firstToken,
            "firstToken",
            `${formatCount(firstToken.agreed)} / ${formatCount(firstToken.samples)}`,
            [w.tiles.ofPrompts()],
          ),
        ]),
  ];
}
