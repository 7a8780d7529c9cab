/** Writes safetensors files: a length, a JSON header, the data. */

import type { DType } from "../../src/core/dtype.ts";

export interface FileTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array | Int32Array | Uint8Array;
}

export type FileTensors = Readonly<Record<string, FileTensor>>;

/** The bytes of a file with `tensors` in their order. */
export function safetensors(tensors: FileTensors): Uint8Array {
  const header: Record<string, unknown> = {};
  const parts: Buffer[] = [];
  let at = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    parts.push(bytes);
    at += bytes.length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...parts]);
}

/** A float32 tensor. */
export function f32(shape: readonly number[], data: Float32Array | readonly number[]): FileTensor {
  return { dtype: "F32", shape, data: Float32Array.from(data) };
}

/** Token ids, or a mask. */
export function i64(shape: readonly number[], data: readonly number[]): FileTensor {
  return { dtype: "I64", shape, data: BigInt64Array.from(data, BigInt) };
}
