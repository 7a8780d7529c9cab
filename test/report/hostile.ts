/** What strangers may write into a dump, and a result that holds it in every place that is theirs. */

import type { Excerpt } from "../../src/core/generation.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import { LENS } from "./lens-results.ts";
import { FAIL_BY_KEYWORDS, FAIL_BY_LAYER, finding } from "./results.ts";

/** Texts that try to leave their place, by what they try. */
export const HOSTILE_TEXTS = {
  script: "</script><script>alert(1)</script><style>*{display:none}",
  attribute: `"><img src=x onerror='alert(1)'>`,
  ansi: "\u001b[2J\u001b[31mred\u001b]0;title\u0007\u009b31m",
  controls: "a\u0000b\u0008\tc\u007f\u0085\u2028\ufffe\uffff",
  "right to left": "\u202egnp.exe\u2066\u200f\u061c",
  "10 kB": `${"model.".repeat(1707)}end`,
  markdown:
    "| a | b |\n|---|---|\n\n# h\n> q\n- l\n[x](http://evil.example) ![y](//evil.example/p.png) `c` **b** ~~s~~ $x$ www.evil.example #1 @all <b>b</b> &lt;",
  "workflow command": "a\n::error title=x::pwned\r\n  ::add-mask::x\r::stop-commands::y",
  "workflow command alone": "::set-output name=x::y",
  "workflow command after a word": "two ::error::words",
  "older command": "x ##[error]pwned ##[set-env name=A;]b ##vso[task.complete]c ##teamcity[d]",
  percent: "100%0A::error::pwned %25 a:b,c=d",
  surrogates: "\ud800x\udc00",
  xml: `]]></failure><failure message="x"/><!-- & &amp; &#0; <![CDATA[`,
  places: "{0} {side} ${x} $& $1 %s {{1}}",
  "wide characters": "第七层::error::x 前馈网络输出".repeat(8),
  blank: " ",
} as const satisfies Record<string, string>;

/** A failure in which every text of a stranger is `text`. */
export function hostileResult(text: string): ComparisonResult {
  const origin = `layers.7.${text}`;
  const renamed = (name: string): string => {
    if (name === "layers.7.mlp") return origin;
    return name === "norm" ? text : name;
  };
  const excerpt = <T extends Excerpt | null>(one: T): T =>
    one === null ? one : { ...one, text, omitted: 3 };
  const { generation } = FAIL_BY_KEYWORDS.quality;
  const input = (one: ComparisonResult["inputs"]["reference"]): typeof one => ({
    ...one,
    file: text,
    run: {
      id: text,
      dtype: text,
      device: { type: text, name: `${text}2` },
      model: { id: text, layers: 30 },
    },
  });
  const { inputs } = FAIL_BY_LAYER;
  return {
    ...FAIL_BY_LAYER,
    origin: {
      tensor: origin,
      layer: 7,
      step: "prefill",
      causes: [{ id: "cause/saturation", confidence: 1, evidence: text, detail: {} }],
    },
    tensors: FAIL_BY_LAYER.tensors.map((one) => ({ ...one, name: renamed(one.name) })),
    findings: [
      ...FAIL_BY_LAYER.findings.map((one) => ({
        ...one,
        tensor: one.tensor === null ? null : renamed(one.tensor),
      })),
      finding("structure/missing", {
        tensor: `${text} gone`,
        step: "prefill",
        value: 1,
        limit: 0,
        detail: { side: text },
      }),
      finding("layer/undecided", {
        level: "warning",
        tensor: text,
        step: "prefill",
        detail: { reason: text, open: text },
      }),
      finding("input/model", {
        level: "warning",
        detail: { key: text, reference: text, candidate: text },
      }),
      finding(text, { tensor: text }),
    ],
    rules: [
      ...FAIL_BY_LAYER.rules,
      {
        ...{ rule: "quality/keywords", step: null, applied: false, limit: null, limitFrom: null },
        ...{ decide: null, reason: text },
      },
    ],
    missing: { reference: [`${text}@0.0`], candidate: [text] },
    notCaptured: { reference: [text], candidate: [`${text}@0.0`] },
    environment: { differences: [{ key: text, reference: text, candidate: [text] }] },
    lens: {
      ...LENS,
      layers: LENS.layers.map((one) => (one.layer === null ? { ...one, tensor: text } : one)),
      head: text,
      norm: LENS.norm === null ? null : { ...LENS.norm, weight: text },
      parting: { tensor: text, layer: null },
    },
    inputs: {
      reference: input(inputs.reference),
      candidate: input(inputs.candidate),
      floors: inputs.floors.map(input),
      forced: [],
    },
    quality: {
      ...FAIL_BY_LAYER.quality,
      notAvailable: [{ figure: text, reason: text }],
      generation:
        generation === null
          ? null
          : {
              ...generation,
              listed: generation.listed.map((one) => ({
                ...one,
                prompt: excerpt(one.prompt),
                reference: one.reference && { ...one.reference, text: excerpt(one.reference.text) },
                candidate: one.candidate && { ...one.candidate, text: excerpt(one.candidate.text) },
                keywords: one.keywords.map((word) => ({ ...word, keyword: excerpt(word.keyword) })),
              })),
            },
    },
  };
}
