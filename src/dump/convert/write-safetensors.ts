/** A dump as one safetensors file. */

import { counted } from "../../core/counted.ts";
import { DTYPES } from "../../core/dtype.ts";
import { NpuDiffError } from "../../core/errors.ts";
import { RUN_KEY, VERSION, VERSION_KEY } from "../contract.ts";
import { type Dump, dataBytes } from "../dump.ts";
import { OutputFile } from "../output-file.ts";
import { MAX_HEADER_BYTES } from "../safetensors/safetensors-header.ts";
import { copyData, exported, exportedRun, PARTIAL, type Written, wholly } from "./exported.ts";

const ALIGNMENT = 8;

/** Why the format cannot have an entry of that name. */
function refused(key: string): string | null {
  return key === "__metadata__" || key === "__proto__"
    ? "the format has another use for that name"
    : null;
}

/**
 * Writes the dense tensors of `dump`, and the run as text in `__metadata__`.
 *
 * @throws NpuDiffError `output-unwritable`, `nothing-to-convert`, `dump-too-large`
 */
export function writeSafetensors(dump: Dump, path: string): Written {
  const { tensors, left } = exported(dump, refused);
  // PyTorch reads only what lies at a multiple of its item size.
  const inFile = tensors.toSorted(
    (a, b) => DTYPES[b.entry.dtype].bytes - DTYPES[a.entry.dtype].bytes,
  );
  const offsets = new Map<string, number>();
  let at = 0;
  for (const { key, entry } of inFile) {
    offsets.set(key, at);
    at += dataBytes(entry);
  }
  // Not as one object: its keys would change their order, or be no keys at all.
  const metadata = { [VERSION_KEY]: String(VERSION), [RUN_KEY]: JSON.stringify(exportedRun(dump)) };
  const members = tensors.map(({ key, entry }) => {
    const from = offsets.get(key) ?? 0;
    const { dtype, shape } = entry;
    const value = { dtype, shape, data_offsets: [from, from + dataBytes(entry)] };
    return `${JSON.stringify(key)}:${JSON.stringify(value)}`;
  });
  const json = `{${[`"__metadata__":${JSON.stringify(metadata)}`, ...members].join(",")}}`;
  const length = Math.ceil(Buffer.byteLength(json) / ALIGNMENT) * ALIGNMENT;
  if (length > MAX_HEADER_BYTES) throw tooLong(dump, length);
  const head = Buffer.alloc(8 + length, " ");
  head.writeBigUInt64LE(BigInt(length));
  head.write(json, 8);
  const output = new OutputFile(path, PARTIAL);
  return wholly(output, () => {
    output.write(head);
    for (const { entry } of inFile) copyData(dump, entry, output);
    return { bytes: output.position, written: tensors.map(({ entry }) => entry), left };
  });
}

function tooLong({ file }: Dump, length: number): NpuDiffError {
  return new NpuDiffError("dump-too-large", {
    what: `${file} has too many tensors for one safetensors file`,
    facts: [
      { label: "found", text: `a header of ${counted(length, "byte")}` },
      { label: "expected", text: `at most ${MAX_HEADER_BYTES}` },
    ],
    help: "convert it to .npz",
  });
}
