/** Small dumps of continuations, every part of which may be left out. */

import { createDumpWriter } from "../../src/dump/write-dump.ts";

/** What a run says of one prompt. */
export interface Spoken {
  readonly sample?: number;
  readonly repeat?: number;
  readonly prompt?: string | Uint8Array;
  /** Token ids that were fed; none where undefined. */
  readonly input?: readonly number[];
  readonly ids?: readonly number[];
  readonly text?: string | Uint8Array;
  readonly tokenTexts?: readonly unknown[];
  /** The likeliest tokens of each step: id and log-probability. */
  readonly top?: readonly (readonly (readonly [id: number, logprob: number])[])[];
  /** Whole logits of each position of the prompt, as float64. */
  readonly logits?: readonly (readonly number[])[];
  /** Logits of the decode steps, and the token that each was fed with. */
  readonly steps?: readonly { readonly fed: number; readonly logits: readonly number[] }[];
  /** Reduced logits of the prompt's positions. */
  readonly reduced?: readonly (readonly (readonly [id: number, logprob: number])[])[];
}

/** Writes a dump of `spoken`, samples numbered as they come unless they say otherwise. */
export function writeSpoken(
  path: string,
  id: string,
  spoken: readonly Spoken[],
  run: Readonly<Record<string, unknown>> = {},
): string {
  const writer = createDumpWriter(path, {
    tool: { name: "test", version: "1" },
    id,
    dtype: "F32",
    capture: { select: ["generated_*"] },
    ...run,
  });
  for (const [number, one] of spoken.entries()) {
    const [sample, repeat = 0] = [one.sample ?? number, one.repeat];
    const text = (name: string, value: string | Uint8Array | undefined): void => {
      if (value === undefined) return;
      const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
      writer.write({
        name,
        kind: "text",
        sample,
        repeat,
        dtype: "U8",
        shape: [bytes.length],
        bytes,
      });
    };
    const integers = (
      name: string,
      values: readonly number[],
      shape: readonly number[],
      step = 0,
    ) => {
      const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
      writer.write({ name, kind: "tokens", sample, step, repeat, dtype: "I64", shape, bytes });
    };
    const floats = (
      name: string,
      values: readonly number[],
      shape: readonly number[],
      step = 0,
    ) => {
      const bytes = new Uint8Array(Float64Array.from(values).buffer);
      writer.write({ name, kind: "topk", sample, step, repeat, dtype: "F64", shape, bytes });
    };
    const lists = (names: readonly [string, string], rows: Spoken["top"]): void => {
      if (rows === undefined) return;
      const shape = [rows.length, rows[0]?.length ?? 0];
      integers(
        names[0],
        rows.flat().map(([token]) => token),
        shape,
      );
      floats(
        names[1],
        rows.flat().map(([, logprob]) => logprob),
        shape,
      );
    };
    text("prompt", one.prompt);
    if (one.input !== undefined) integers("input_ids", one.input, [one.input.length]);
    if (one.ids !== undefined) integers("generated_ids", one.ids, [one.ids.length]);
    text("generated_text", one.text);
    text("generated_token_text", one.tokenTexts && JSON.stringify(one.tokenTexts));
    lists(["generated_topk_ids", "generated_topk_logprobs"], one.top);
    lists(["topk_ids", "topk_logprobs"], one.reduced);
    if (one.logits !== undefined) {
      floats("logits", one.logits.flat(), [one.logits.length, one.logits[0]?.length ?? 0]);
    }
    for (const [index, { fed, logits }] of (one.steps ?? []).entries()) {
      integers("input_ids", [fed], [1], index + 1);
      floats("logits", logits, [1, logits.length], index + 1);
    }
  }
  writer.close();
  return path;
}
