/** Every tensor with its figures; the script of the page sorts and filters the rows. */

import type { ComparisonResult } from "../../core/result.ts";
import type { TensorResult } from "../../core/tensor-result.ts";
import { formatCosine, formatCount, formatError, formatRatio } from "../format-number.ts";
import { decisive, plainEvidence } from "../layer-rows.ts";
import { ownScale, ownSize } from "../own-lines.ts";
import { shortName } from "../tensor-label.ts";
import { type PageContext, scrolling, stateOf } from "./context.ts";
import { html, type Markup } from "./markup.ts";

/** Characters of a name in its cell. */
const LONGEST_NAME = 60;

interface Column {
  readonly title: string;
  /** `n` for numbers, of which the largest is the most telling; `s` for those whose smallest is. */
  readonly kind: "n" | "s" | "t";
  readonly cell: (tensor: TensorResult) => string;
}

export function tensorTable(result: ComparisonResult, context: PageContext): Markup {
  const { m, w } = context;
  const columns = columnsOf(result, context);
  const [first, ...rest] = columns;
  if (first === undefined) return html``;
  const options = (["fail", "inconclusive", "pass"] as const).filter((verdict) =>
    result.tensors.some((tensor) => tensor.verdict === verdict),
  );
  const total = String(result.tensors.length);
  return html`<form class="filter" hidden><label>${w.table.filter} <input type="search" placeholder="${w.table.filterHint}" autocomplete="off" spellcheck="false"></label>
<label>${m.columns.verdict} <select><option value="">${w.table.every}</option>${options.map(
    (verdict) => html`<option value="${stateOf(verdict)}">${m.tensorVerdict[verdict]}</option>`,
  )}</select></label> <output data-count="${w.table.count}">${w.table.count.replace("{shown}", total).replace("{all}", total)}</output></form>
<noscript><p class="muted">${w.withoutScript}</p></noscript>
${scrolling(
  w.sections.tensors,
  html`<table class="tensors" data-sort="${w.table.sort}"><caption>${w.table.caption}</caption>
<thead><tr>${columns.map(({ title, kind }) => html`<th scope="col" class="${kind}">${title}</th>`)}</tr></thead><tbody>
${result.tensors.map(
  (tensor) =>
    html`<tr class="${rowClass(tensor)}"><td>${first.cell(tensor)}${rest.map(({ cell }) => html`<td>${cell(tensor)}`)}\n`,
)}</tbody></table>`,
  context,
)}`;
}

function rowClass({ verdict, role }: TensorResult): string {
  return role === null ? stateOf(verdict) : `${stateOf(verdict)} ${role}`;
}

function columnsOf(result: ComparisonResult, { m, w }: PageContext): readonly Column[] {
  const evidence = plainEvidence(result);
  const own = ownScale(result.tensors);
  const decode = result.tensors.some(({ step }) => step === "decode");
  const number = (
    title: string,
    figure: (tensor: TensorResult) => number | null,
    format: (value: number) => string,
    bound: (tensor: TensorResult) => number | null = () => null,
  ): Column => ({
    title,
    kind: "n",
    cell: (tensor) => {
      const value = figure(tensor);
      if (value !== null) return format(value);
      const proved = bound(tensor);
      // Next to nothing is known of a figure that may have any size.
      return proved === null || proved === 0 ? "–" : `≥${format(proved)}`;
    },
  });
  const last = {
    floor: number(m.columns.overFloor, (t) => decisive(t, "floor"), formatRatio),
    prior: number(m.columns.overPrior, (t) => decisive(t, "prior"), formatRatio),
    exact: number(m.columns.bits, (t) => decisive(t, "exact"), formatCount),
  }[evidence];
  return [
    {
      title: m.columns.layer,
      kind: "n",
      cell: ({ layer }) => (layer === null ? "–" : String(layer)),
    },
    {
      title: m.columns.tensor,
      kind: "t",
      cell: (tensor) => shortName(tensor, m, LONGEST_NAME),
    },
    ...(decode
      ? [{ title: w.table.step, kind: "t" as const, cell: (t: TensorResult) => m.step[t.step] }]
      : []),
    { ...number(m.columns.cosine, ({ cosine }) => cosine, formatCosine), kind: "s" },
    number(
      m.columns.relL2,
      ({ relL2 }) => relL2,
      formatError,
      ({ statsFigures }) => statsFigures?.bounds?.relL2 ?? null,
    ),
    number(w.table.gm, ({ tokenRelL2 }) => tokenRelL2?.gm ?? null, formatError),
    number(
      m.columns.maxAbs,
      ({ maxAbs }) => maxAbs,
      formatError,
      ({ statsFigures }) => statsFigures?.bounds?.maxAbs ?? null,
    ),
    last,
    ...(own === null
      ? []
      : [
          number(
            own === "floor" ? m.columns.ownOverFloor : m.columns.own,
            (t) => ownSize(t, own),
            formatRatio,
          ),
        ]),
    { title: m.columns.verdict, kind: "t", cell: ({ verdict }) => m.tensorVerdict[verdict] },
    { title: w.table.role, kind: "t", cell: ({ role }) => (role === null ? "" : m.role[role]) },
  ];
}
