/** A dump in memory, to be changed in one place and written again. */

import { DTYPES, type DType } from "../../src/core/dtype.ts";
import type { RunMetadata, TensorEntry } from "../../src/dump/dump.ts";
import { openDump } from "../../src/dump/open-dump.ts";
import { createDumpWriter } from "../../src/dump/write-dump.ts";

/** One tensor of one sample and step, with its data. */
export interface Stored {
  readonly name: string;
  readonly kind: string;
  readonly sample: number;
  readonly step: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export interface MemoryDump {
  readonly run: RunMetadata;
  readonly tensors: readonly Stored[];
}

export function readDump(path: string): MemoryDump {
  const dump = openDump(path);
  try {
    const stored = (entry: TensorEntry): Stored => {
      const { name, kind, sample, step, dtype, shape, elements } = entry;
      const bytes = new Uint8Array(elements * DTYPES[dtype].bytes);
      dump.read(entry, 0, bytes);
      return { name, kind, sample, step, dtype, shape, bytes };
    };
    const tensors = dump.tensors.filter(({ name }) => name !== "run.end").map(stored);
    return { run: dump.run, tensors };
  } finally {
    dump.close();
  }
}

export function writeDump(path: string, { run, tensors }: MemoryDump): void {
  const writer = createDumpWriter(path, run);
  for (const tensor of tensors) writer.write(tensor);
  writer.close();
}

/** Where a tensor lies; two of one dump never share a key. */
export function keyOf({ name, sample, step }: Stored): string {
  return `${name}@${String(sample)}.${String(step)}`;
}

/** Whether two dumps hold the same tensors and say the same of their runs. */
export function sameDump(a: MemoryDump, b: MemoryDump): boolean {
  if (JSON.stringify(a.run) !== JSON.stringify(b.run)) return false;
  const others = new Map(b.tensors.map((tensor) => [keyOf(tensor), tensor]));
  return (
    a.tensors.length === others.size &&
    a.tensors.every((tensor) => {
      const other = others.get(keyOf(tensor));
      return other !== undefined && sameTensor(tensor, other);
    })
  );
}

/** Whether two tensors have one type, one shape and the same bytes. */
export function sameTensor(a: Stored, b: Stored): boolean {
  return (
    a.dtype === b.dtype &&
    String(a.shape) === String(b.shape) &&
    Buffer.compare(a.bytes, b.bytes) === 0
  );
}

/** Rows (axis 0) of a tensor, and the bytes of each. */
export function rowsOf({ shape, bytes }: Stored): {
  readonly rows: number;
  readonly rowBytes: number;
} {
  const rows = shape[0] ?? 1;
  return { rows, rowBytes: bytes.length / rows };
}

/** The numbers of a float tensor; null for other types. */
export function valuesOf({ dtype, bytes }: Pick<Stored, "dtype" | "bytes">): Float64Array | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = (size: number, read: (position: number) => number): Float64Array =>
    Float64Array.from({ length: bytes.length / size }, (_, i) => read(size * i));
  if (dtype === "F64") return values(8, (position) => view.getFloat64(position, true));
  if (dtype === "F32") return values(4, (position) => view.getFloat32(position, true));
  if (dtype === "F16") return values(2, (position) => half(view.getUint16(position, true)));
  if (dtype !== "BF16") return null;
  const wide = new DataView(new ArrayBuffer(4));
  return values(2, (position) => {
    wide.setUint16(2, view.getUint16(position, true), true);
    return wide.getFloat32(0, true);
  });
}

/** The value of 16 bits as IEEE binary16. */
function half(bits: number): number {
  const sign = bits >> 15 === 0 ? 1 : -1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** `values` as bfloat16, rounded to nearest, ties to even. */
export function toBf16(values: Float64Array): Uint8Array {
  const bytes = new Uint8Array(2 * values.length);
  const view = new DataView(bytes.buffer);
  const wide = new DataView(new ArrayBuffer(4));
  for (const [i, value] of values.entries()) {
    wide.setFloat32(0, value, true);
    const bits = wide.getUint32(0, true);
    const rounded = Number.isNaN(value) ? 0x7fc0 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
    view.setUint16(2 * i, rounded, true);
  }
  return bytes;
}
