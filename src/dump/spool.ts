/** A temporary file without a name: for bytes that no file holds as they are needed. */

import { closeSync, mkdtempSync, openSync, readSync, rmSync, statfsSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NpuDiffError, reasonOf } from "../core/errors.ts";
import type { ByteSource } from "./byte-source.ts";

/**
 * Bytes that are written once, end to end, and read anywhere after. The file lies in the folder for temporary
 * files and has no name from the start where the system allows that, so that nothing is left behind however the
 * process ends.
 */
export class Spool implements ByteSource {
  readonly name = "a temporary file";
  #descriptor: number | null;
  #folder: string | null;
  #size = 0;

  private constructor(descriptor: number, folder: string | null) {
    this.#descriptor = descriptor;
    this.#folder = folder;
  }

  /** @throws NpuDiffError `output-unwritable` */
  static create(): Spool {
    let folder: string;
    let descriptor: number;
    try {
      folder = mkdtempSync(join(tmpdir(), "npu-diff-"));
      descriptor = openSync(join(folder, "spool"), "wx+", 0o600);
    } catch (cause) {
      throw unwritable(cause);
    }
    return new Spool(descriptor, removed(folder) ? null : folder);
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  get descriptor(): number {
    if (this.#descriptor === null) throw new RangeError(`${this.name} is closed`);
    return this.#descriptor;
  }

  /**
   * Refuses what the disk has no room for, before it is full.
   *
   * @throws NpuDiffError `output-unwritable`
   */
  reserve(bytes: number): void {
    const { bavail, bsize } = statfsSync(tmpdir());
    if (bytes <= bavail * bsize) return;
    throw unwritable(new Error(`room for ${bavail * bsize} of ${bytes} bytes`));
  }

  /**
   * Writes `bytes` behind what is there, and returns their position.
   *
   * @throws NpuDiffError `output-unwritable`, where the disk is full for instance
   */
  append(bytes: Uint8Array): number {
    const position = this.#size;
    try {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.descriptor, bytes, done, bytes.length - done, position + done);
      }
    } catch (cause) {
      throw unwritable(cause);
    }
    this.#size += bytes.length;
    return position;
  }

  readInto(position: number, target: Uint8Array): void {
    for (let done = 0; done < target.length; ) {
      const read = readSync(this.descriptor, target, done, target.length - done, position + done);
      if (read === 0) throw new RangeError(`${this.name} has ${this.#size} bytes`);
      done += read;
    }
  }

  /** Closing twice is harmless. */
  close(): void {
    if (this.#descriptor === null) return;
    closeSync(this.#descriptor);
    this.#descriptor = null;
    if (this.#folder !== null) removed(this.#folder);
    this.#folder = null;
  }
}

/** Removes a folder; false where the system keeps the file in it while it is open (Windows). */
function removed(folder: string): boolean {
  try {
    rmSync(folder, { recursive: true });
    return true;
  } catch {
    return false;
  }
}

function unwritable(cause: unknown): NpuDiffError {
  return new NpuDiffError("output-unwritable", {
    what: "a temporary file cannot be written",
    facts: [
      { label: "folder", text: tmpdir() },
      { label: "found", text: reasonOf(cause) },
      { label: "expected", text: "room for the tensors that are not stored as they are read" },
    ],
    help: "make room there, or set TMPDIR to a folder on a larger disk",
    cause,
  });
}
