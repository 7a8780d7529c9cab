/** The error along the model: a curve beside the noise floor and its limit. */

import type { ComparisonResult } from "../../core/result.ts";
import type { TensorResult } from "../../core/tensor-result.ts";
import { formatError, formatRatio } from "../format-number.ts";
import { sentenceName } from "../tensor-label.ts";
import { appliedLimit, heading, type PageContext, scrolling, unitOf } from "./context.ts";
import { type LogScale, logScale, powerOfTen, px } from "./log-scale.ts";
import { html, type Markup } from "./markup.ts";

const WIDTH = 1080;
const HEIGHT = 300;
const FRAME = { left: 56, right: WIDTH - 16, top: 22, bottom: HEIGHT - 40 };

/** Places with a text of their own for the pointer; of a larger model the table has the figures. */
const MOST_HINTS = 200;

/** Room that a label below the axis takes. */
const LABEL_ROOM = 52;

/** One tensor as it is drawn: null where it is not known. */
interface Point {
  readonly tensor: TensorResult;
  readonly error: number;
  readonly floor: number | null;
  readonly limit: number | null;
}

/** A place on the axis: a layer, or a tensor outside of the layers. */
interface Place {
  readonly label: string;
  readonly layer: number | null;
  readonly points: readonly Point[];
  /** The one that the curve goes through; null where nothing was measured. */
  readonly worst: Point | null;
}

/** What a chart shows of each tensor. */
interface Measure {
  readonly title: string;
  readonly of: (tensor: TensorResult) => Omit<Point, "tensor"> | null;
}

/** A chart for each step group and kind of error; empty where no layer was measured. */
export function layerCharts(result: ComparisonResult, context: PageContext): readonly Markup[] {
  const { m, w } = context;
  const steps = (["prefill", "decode"] as const).filter((step) =>
    result.tensors.some((tensor) => tensor.step === step),
  );
  return steps
    .flatMap((step) =>
      measures(result, context).flatMap((measure) => {
        const tensors = result.tensors.filter((tensor) => tensor.step === step);
        const title = steps.length > 1 ? m.group.of(m.step[step], measure.title) : measure.title;
        const chart = drawChart(tensors, { ...measure, title }, result, context);
        return chart === null ? [] : [html`<figure>${chart}</figure>`];
      }),
    )
    .concat(result.tensors.length === 0 ? [html`<p class="muted">${w.nothingDrawn}</p>`] : []);
}

function measures(result: ComparisonResult, { w }: PageContext): readonly Measure[] {
  const ratio = appliedLimit(result, "layer/floor-ratio");
  const whole: Measure = {
    title: w.chart.whole,
    of: ({ tokenRelL2, floor, priorLimit }) => {
      if (tokenRelL2 === null) return null;
      const held = floor === null || ratio === null ? priorLimit : floor.floorGm * ratio;
      return { error: tokenRelL2.gm, floor: floor?.floorGm ?? null, limit: held };
    },
  };
  const own: Measure = {
    title: w.chart.own,
    of: ({ own: figures }) => {
      if (figures === null) return null;
      const { gm, floorGm, statistics } = figures;
      const limit = statistics?.energy?.limit ?? null;
      return {
        error: gm ?? Number.NaN,
        floor: floorGm,
        limit: limit === null || floorGm === null ? null : limit * floorGm,
      };
    },
  };
  return result.tensors.some((tensor) => tensor.own !== null) ? [own, whole] : [whole];
}

function drawChart(
  tensors: readonly TensorResult[],
  { title, of }: Measure,
  result: ComparisonResult,
  context: PageContext,
): Markup | null {
  const { m, w } = context;
  const places = placesOf(tensors, of, context);
  const points = places.flatMap((place) => place.points);
  const scale = logScale(
    points.flatMap(({ error, floor, limit }) => [error, floor, limit]),
    FRAME.bottom,
    FRAME.top,
  );
  if (scale === null || places.length < 2) return null;
  const x = (index: number): number =>
    FRAME.left + ((index + 0.5) * (FRAME.right - FRAME.left)) / places.length;
  const origin = tensors.find(({ role }) => role === "origin") ?? null;
  const at = places.findIndex(({ points: there }) => there.some(({ tensor }) => tensor === origin));
  const summary = summaryOf(points, origin, context);
  const hasFloor = points.some(({ floor }) => floor !== null);
  const hasLimit = points.some(({ limit }) => limit !== null);
  return html`<figcaption>${heading(3, title, context)}<p class="legend">
<span class="key error">${w.chart.error}</span>${hasFloor ? html`<span class="key floor">${m.labels.noiseFloor}</span>` : null}${hasLimit ? html`<span class="key limit">${unitOf(result) === "prior" && !hasFloor ? w.chart.priorLimit : w.chart.limit}</span>` : null}<span class="key beyond">${w.chart.beyond}</span></p></figcaption>
${scrolling(
  title,
  html`<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${`${title}${m.stop}${summary}`}">
${axes(scale, places, x, w.chart.axis)}
${bandPath(places, x, scale)}
${edge(places, x, scale, "limit", ({ limit }) => limit)}
${edge(places, x, scale, "floor", ({ floor }) => floor)}
${edge(places, x, scale, "error", ({ error }) => error)}
${dots(places, x, scale)}
${at === -1 || origin === null ? null : originMark(x(at), sentenceName(origin, m))}
${places.length > MOST_HINTS ? null : hints(places, x, context)}
</svg>`,
  context,
)}<p class="muted">${summary}</p>`;
}

function placesOf(
  tensors: readonly TensorResult[],
  of: Measure["of"],
  { m }: PageContext,
): readonly Place[] {
  const found = new Map<string, { layer: number | null; label: string; points: Point[] }>();
  for (const tensor of tensors) {
    const { layer } = tensor;
    const label = layer === null ? sentenceName(tensor, m) : String(layer);
    const key = layer === null ? `name ${tensor.name}` : `layer ${layer}`;
    const place = found.get(key) ?? { layer, label, points: [] };
    found.set(key, place);
    const point = of(tensor);
    if (point !== null) place.points.push({ tensor, ...point });
  }
  return [...found.values()].map((place) => ({ ...place, worst: worstOf(place.points) }));
}

/** What is no number is worst. */
function worstOf(points: readonly Point[]): Point | null {
  return points.reduce<Point | null>((worst, point) => {
    if (worst === null || Number.isNaN(point.error)) return point;
    return point.error > worst.error ? point : worst;
  }, null);
}

function axes(
  scale: LogScale,
  places: readonly Place[],
  x: (index: number) => number,
  unit: string,
): Markup {
  const grid = scale.ticks.map((power) => {
    const y = scale.at(10 ** power);
    return html`<path class="grid" d="M${FRAME.left} ${px(y)}H${FRAME.right}"/><text class="tick" x="${FRAME.left - 8}" y="${px(y + 4)}" text-anchor="end">${powerOfTen(power)}</text>`;
  });
  const room = (FRAME.right - FRAME.left) / places.length;
  const every = Math.ceil(LABEL_ROOM / room);
  let last = Number.NEGATIVE_INFINITY;
  const labels = places.map(({ label, layer }, index) => {
    // Layers at round numbers, what is outside of them where there is room.
    const shown = layer === null ? label.length * 7 < LABEL_ROOM + 8 : layer % nice(every) === 0;
    const center = x(index);
    if (!shown || center - last < Math.min(LABEL_ROOM, 7 * label.length + 12)) return null;
    last = center;
    return html`<text class="tick" x="${px(center)}" y="${FRAME.bottom + 18}" text-anchor="middle">${label}</text>`;
  });
  return html`${grid}${labels}<text class="tick" x="${FRAME.left - 40}" y="12">${unit}</text>`;
}

/** The next of 1, 2, 5, 10, 20, … */
function nice(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  return power * ([1, 2, 5, 10].find((one) => one * power >= step) ?? 10);
}

/** Runs of neighbouring places where `value` is known, each as its corners. */
function runs(
  places: readonly Place[],
  x: (index: number) => number,
  scale: LogScale,
  value: (point: Point) => number | null,
): readonly (readonly (readonly [number, number])[])[] {
  const found: [number, number][][] = [];
  let open: [number, number][] | null = null;
  places.forEach(({ worst }, index) => {
    const known = worst === null ? null : value(worst);
    if (known === null) {
      open = null;
      return;
    }
    if (open === null) {
      open = [];
      found.push(open);
    }
    open.push([x(index), scale.at(known)]);
  });
  return found;
}

function polyline(corners: readonly (readonly [number, number])[]): string {
  return corners.map(([x, y], i) => `${i === 0 ? "M" : "L"}${px(x)} ${px(y)}`).join("");
}

function edge(
  places: readonly Place[],
  x: (index: number) => number,
  scale: LogScale,
  name: "error" | "floor" | "limit",
  value: (point: Point) => number | null,
): Markup | null {
  const path = runs(places, x, scale, value).map(polyline).join("");
  return path === "" ? null : html`<path class="line ${name}" d="${path}"/>`;
}

/** The band between the floor and what is allowed over it. */
function bandPath(
  places: readonly Place[],
  x: (index: number) => number,
  scale: LogScale,
): Markup | null {
  const known = ({ floor, limit }: Point): number | null => (limit === null ? null : floor);
  const lower = runs(places, x, scale, known);
  const upper = runs(places, x, scale, (point) => (known(point) === null ? null : point.limit));
  const path = lower
    .map((run, i) => `${polyline([...run, ...(upper[i] ?? []).toReversed()])}Z`)
    .join("");
  return path === "" ? null : html`<path class="band" d="${path}"/>`;
}

/** Every tensor as a dot, those beyond their limit apart. */
function dots(
  places: readonly Place[],
  x: (index: number) => number,
  scale: LogScale,
): readonly Markup[] {
  return (["held", "beyond"] as const).flatMap((kind) => {
    const path = places
      .flatMap(({ points }, index) =>
        points
          .filter(({ tensor }) => (tensor.verdict === "fail") === (kind === "beyond"))
          .map(({ error }) => `M${px(x(index))} ${px(scale.at(error))}h0`),
      )
      .join("");
    return path === "" ? [] : [html`<path class="dots ${kind}" d="${path}"/>`];
  });
}

function originMark(x: number, name: string): Markup {
  const isRight = x > (FRAME.left + FRAME.right) * 0.6;
  const side = isRight ? { x: px(x - 6), anchor: "end" } : { x: px(x + 6), anchor: "start" };
  return html`<path class="origin" d="M${px(x)} ${FRAME.top - 8}V${FRAME.bottom}"/><text class="origin" x="${side.x}" y="${FRAME.top - 2}" text-anchor="${side.anchor}">${name}</text>`;
}

/** What the pointer reads at each place. */
function hints(
  places: readonly Place[],
  x: (index: number) => number,
  { m, w }: PageContext,
): Markup {
  const width = (FRAME.right - FRAME.left) / places.length;
  return html`<g class="hints">${places.map(({ points }, index) => {
    const text = points
      .map(({ tensor, error, floor }) => {
        const times = floor === null ? "" : ` (${w.times(formatRatio(error / floor))})`;
        return `${sentenceName(tensor, m)}: ${formatError(error)}${times}`;
      })
      .join("; ");
    return html`<rect x="${px(x(index) - width / 2)}" y="${FRAME.top}" width="${px(width)}" height="${FRAME.bottom - FRAME.top}"><title>${text}</title></rect>`;
  })}</g>`;
}

/** The drawing in a sentence. */
function summaryOf(
  points: readonly Point[],
  origin: TensorResult | null,
  { m, w }: PageContext,
): string {
  const worst = worstOf(points);
  if (worst === null) return w.nothingDrawn;
  const shown = (point: Point): string => {
    const size = formatError(point.error);
    return point.floor === null
      ? size
      : `${size} (${w.times(formatRatio(point.error / point.floor))})`;
  };
  const first = points.find(({ tensor }) => tensor === origin) ?? null;
  return [
    ...(first === null ? [] : [w.chart.firstAt(sentenceName(first.tensor, m), shown(first))]),
    w.chart.largestAt(sentenceName(worst.tensor, m), shown(worst)),
  ].join(m.stop);
}
