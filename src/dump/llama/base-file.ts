/**
 * The base file of `llama-perplexity --kl-divergence-base`: of chunks of text
 * the token ids, and log-probabilities of the second half of each in 16 bits.
 */

import { counted } from "../../core/counted.ts";
import type { NpuDiffError } from "../../core/errors.ts";
import { MAX_COUNT, MAX_INT32 } from "../bounds.ts";
import type { DumpFile } from "../dump-file.ts";
import type { ForeignContents, ForeignTensor } from "../foreign/foreign-tensor.ts";
import { scoredLogitsJson } from "../scored-logits.ts";
import { Spool } from "../spool.ts";

/** `_logits_`. */
export const LLAMA_MAGIC = [0x5f, 0x6c, 0x6f, 0x67, 0x69, 0x74, 0x73, 0x5f] as const;

/** The magic and three int32. */
const HEADER_BYTES = 20;

/** Scale and least log-probability of a position, float32. */
const POSITION_BYTES = 8;

/** Bytes that are read at a time, or one position's. */
const BLOCK_BYTES = 2 ** 22;

/** Tokens of a vocabulary: ten times the largest, so that one position's numbers fit into memory. */
const MAX_VOCABULARY: number = 2 ** 22;

/** Steps that the log-probabilities of a position are apart, and how far below the best one they are cut off. */
const STEPS = 65_535;
const NATS = 16;

/** Rounding of float32 in numbers of up to some hundred nats. */
const SLACK = 1e-3;

/**
 * Reads a base file: each chunk is a sample, with `input_ids` [n_ctx] and, as `logits` [rows, n_vocab], the
 * log-probabilities after the tokens n_ctx/2 … n_ctx − 2 (a softmax of either is the same). They are decoded into a
 * temporary file of twice the size. A position that llama.cpp had no numbers for is NaN.
 *
 * @throws NpuDiffError `dump-corrupt`, `dump-truncated`, `dump-too-large`
 */
export function readLlamaBase(file: DumpFile): ForeignContents {
  const layout = layoutOf(file);
  const { context, vocabulary, chunks, first, rows } = layout;
  checkIds(file, layout);
  const spool = Spool.create();
  try {
    const quantum = decode(file, layout, spool);
    const tensors = Array.from({ length: chunks }, (_, sample): ForeignTensor[] => {
      const ids = {
        source: file,
        position: HEADER_BYTES + sample * context * 4,
        bytes: context * 4,
      };
      const bytes = rows * vocabulary * 4;
      // It is the same of every chunk.
      const told = (assumed: string) => (sample === 0 ? { assumed } : {});
      const logits = { source: spool, position: sample * bytes, bytes };
      return [
        { name: "input_ids", dtype: "I32", shape: [context], pieces: [ids], sample, ...told(BOS) },
        {
          name: "logits",
          dtype: "F32",
          shape: [rows, vocabulary],
          pieces: [logits],
          sample,
          ...told(`log p in 16 bits, tokens ${first}–${first + rows - 1}`),
        },
      ];
    }).flat();
    return {
      format: "llama.cpp",
      tensors,
      skipped: [],
      run: { capture: { logits: scoredLogitsJson({ firstToken: first, rows }, quantum) } },
      sources: [file, spool],
      bytes: file.size,
    };
  } catch (error) {
    spool.close();
    throw error;
  }
}

/** llama.cpp puts it in the place of a chunk's first token where the vocabulary asks for it, and keeps the first one in the file. */
const BOS = "a BOS may have stood for the first";

interface Layout {
  /** n_ctx, n_vocab and n_chunk. */
  readonly context: number;
  readonly vocabulary: number;
  readonly chunks: number;
  /** The first token that is scored, and how many are. */
  readonly first: number;
  readonly rows: number;
  /** Bytes of a position. */
  readonly stride: number;
  /** Where the positions begin. */
  readonly start: number;
}

function layoutOf(file: DumpFile): Layout {
  if (file.size < HEADER_BYTES) throw truncated(file, HEADER_BYTES);
  const header = view(file.read(0, HEADER_BYTES));
  const [context, vocabulary, chunks] = [8, 12, 16].map((at) => header.getInt32(at, true)) as [
    number,
    number,
    number,
  ];
  const counts = `n_ctx ${context}, n_vocab ${vocabulary}, n_chunk ${chunks}`;
  const first = Math.floor(context / 2);
  const rows = context - 1 - first;
  if (rows < 1 || vocabulary < 1 || chunks < 1) {
    throw file.corrupt("its header is impossible", {
      found: counts,
      expected: "3 tokens a chunk or more, a vocabulary, and chunks",
    });
  }
  if (vocabulary > MAX_VOCABULARY) {
    throw file.fail("dump-too-large", `${file.name} has too large a vocabulary`, {
      found: counted(vocabulary, "token"),
      expected: `at most ${MAX_VOCABULARY}`,
    });
  }
  const stride = POSITION_BYTES + 2 * (vocabulary + (vocabulary % 2));
  const start = HEADER_BYTES + chunks * context * 4;
  const size = start + chunks * rows * stride;
  if (!(size <= MAX_COUNT) || size > file.size) throw truncated(file, size);
  if (size < file.size) {
    const expected = `${counted(size, "byte")} of ${counts}`;
    throw file.corrupt("bytes follow its last position", {
      found: counted(file.size, "byte"),
      expected,
    });
  }
  return { context, vocabulary, chunks, first, rows, stride, start };
}

function truncated(file: DumpFile, expected: number): NpuDiffError {
  return file.fail(
    "dump-truncated",
    `${file.name} ends before its last position`,
    { found: counted(file.size, "byte"), expected: counted(expected, "byte") },
    "let llama-perplexity run to its end, with room for the file",
  );
}

function checkIds(file: DumpFile, { context, vocabulary, chunks }: Layout): void {
  const count = chunks * context;
  const atOnce = BLOCK_BYTES / 4;
  for (let from = 0; from < count; from += atOnce) {
    const ids = view(file.read(HEADER_BYTES + from * 4, Math.min(atOnce, count - from) * 4));
    for (let i = 0; i < ids.byteLength; i += 4) {
      const id = ids.getInt32(i, true);
      if (id >= 0 && id < Math.min(vocabulary, MAX_INT32)) continue;
      throw file.corrupt(`token ${from + i / 4} is none of its vocabulary`, {
        found: `${id}`,
        expected: `0 to ${vocabulary - 1}`,
      });
    }
  }
}

/** Decodes all positions into `spool`; the largest step between two log-probabilities. */
function decode(file: DumpFile, layout: Layout, spool: Spool): number {
  const { vocabulary, stride, start } = layout;
  const count = layout.chunks * layout.rows;
  const atOnce = Math.max(1, Math.floor(BLOCK_BYTES / stride));
  let quantum = 0;
  for (let from = 0; from < count; from += atOnce) {
    const positions = Math.min(atOnce, count - from);
    const block = file.read(start + from * stride, positions * stride);
    const header = view(block);
    const words = new Uint16Array(block.buffer);
    const values = new Float32Array(positions * vocabulary);
    for (let row = 0; row < positions; row += 1) {
      const scale = header.getFloat32(row * stride, true);
      const least = header.getFloat32(row * stride + 4, true);
      checkPosition(file, from + row, scale, least);
      if (scale > quantum) quantum = scale;
      const word = (row * stride + POSITION_BYTES) / 2;
      const to = row * vocabulary;
      for (let i = 0; i < vocabulary; i += 1) {
        // Two roundings to float32, as llama.cpp's own are.
        values[to + i] = Math.fround(scale * (words[word + i] as number)) + least;
      }
    }
    spool.append(new Uint8Array(values.buffer));
  }
  return quantum;
}

/** Finite numbers must be log-probabilities; others are what became of logits that were not finite. */
function checkPosition(file: DumpFile, position: number, scale: number, least: number): void {
  if (!Number.isFinite(scale) || !Number.isFinite(least)) return;
  const most = least + STEPS * scale;
  if (scale >= 0 && STEPS * scale <= NATS + SLACK && most <= SLACK) return;
  throw file.corrupt(`position ${position} holds no log-probabilities`, {
    found: `${least} to ${most} nats`,
    expected: `at most 0, over ${NATS} nats or less`,
  });
}

function view({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
