/** Bytes out of base64, a block at a time. */

import { counted } from "../../core/counted.ts";
import type { DumpFile } from "../dump-file.ts";
import type { Piece } from "../foreign/foreign-tensor.ts";
import type { Spool } from "../spool.ts";
import type { TextSpan } from "./long-texts.ts";

/** Characters that are decoded at a time: a multiple of 4. */
const BLOCK = 2 ** 22;

const ALPHABET = /^[A-Za-z0-9+/]*={0,2}$/;

/**
 * Decodes a text, given or lying in `file`, into `spool`.
 *
 * @param label what it holds, for messages
 * @throws NpuDiffError `dump-corrupt` where it is no base64
 */
export function decodeBase64(
  file: DumpFile,
  text: string | TextSpan,
  spool: Spool,
  label: string,
): Piece {
  const position = spool.size;
  const length = typeof text === "string" ? text.length : text.bytes;
  for (let at = 0; at < length; at += BLOCK) {
    const count = Math.min(BLOCK, length - at);
    const block =
      typeof text === "string"
        ? text.slice(at, at + count)
        : Buffer.from(file.read(text.position + at, count)).toString("latin1");
    const isLast = at + count === length;
    if (count % 4 !== 0 || !ALPHABET.test(block) || (!isLast && block.endsWith("="))) {
      throw file.corrupt(`${label} is no base64`, {
        found: count % 4 === 0 ? "a character outside its alphabet" : counted(length, "character"),
        expected: "A-Z a-z 0-9 + /, a multiple of 4 of them, = at the end",
      });
    }
    spool.append(Buffer.from(block, "base64"));
  }
  return { source: spool, position, bytes: spool.size - position };
}
