/**
 * A regular file, opened for positioned reads. Whatever a reader finds wrong
 * with a file is told through `fail`, so that every error names the file, the
 * two facts that disagree, and what to do.
 */

import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { basename } from "node:path";
import { counted } from "../core/counted.ts";
import { type ErrorCode, NpuDiffError, reasonOf } from "../core/errors.ts";
import type { ByteSource } from "./byte-source.ts";

/** The two facts that disagree. */
export interface Disagreement {
  readonly found: string;
  readonly expected: string;
}

// Node passes lengths of reads as int32; a block of 1 GiB also keeps them aligned.
const MAX_READ = 2 ** 30;

/** What a file is meant to hold, for messages about one that cannot hold it. */
export interface Kind {
  readonly expected: string;
  readonly help: string;
  readonly whenEmpty: string;
}

const DUMP: Kind = {
  expected: "an Arrow file",
  help: "give the path of a dump file",
  whenEmpty: "capture the dump again, and look for why its writer stopped (a full disk?)",
};

const HELP: Partial<Record<ErrorCode, string>> = {
  "dump-corrupt":
    "copy the file again from where it was captured (sha256sum tells whether the copy is whole), or capture it again",
  "dump-schema": "capture the dump with npu-dump, or convert it with npu-diff convert",
  "dump-metadata": "capture the dump again with npu-dump",
  "dump-too-large":
    "capture fewer tensors (npu-dump run --select), or split the prompts over several dumps",
};

/** `path` as one word of a POSIX shell. */
export function shellWord(path: string): string {
  return /^[\w./+-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

export class DumpFile implements ByteSource {
  readonly path: string;
  /** File name without its folder. */
  readonly name: string;
  /** Size in bytes when it was opened. */
  readonly size: number;
  #descriptor: number | null;

  private constructor(path: string, size: number, descriptor: number) {
    this.path = path;
    this.name = basename(path);
    this.size = size;
    this.#descriptor = descriptor;
  }

  /**
   * Opens a regular file for reading.
   *
   * @throws NpuDiffError `file-not-found`, `file-unreadable`, `file-empty`
   */
  static open(path: string, kind: Kind = DUMP): DumpFile {
    let descriptor: number;
    try {
      // Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
      // Windows has neither such FIFOs nor the flag, which then counts as 0.
      descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      throw cannotOpen(path, error);
    }
    try {
      const status = fstatSync(descriptor);
      if (!status.isFile()) {
        throw new NpuDiffError("file-unreadable", {
          what: `${basename(path)} is not a regular file`,
          facts: [
            { label: "file", text: path },
            {
              label: "found",
              text: status.isDirectory() ? "a directory" : "a pipe, socket or device",
            },
            { label: "expected", text: "a regular file" },
          ],
          help: kind.help,
        });
      }
      const file = new DumpFile(path, status.size, descriptor);
      if (file.size === 0) {
        throw file.fail(
          "file-empty",
          `${file.name} is empty`,
          { found: "0 bytes", expected: kind.expected },
          kind.whenEmpty,
        );
      }
      return file;
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  /** For whoever reads the file by itself, in another thread for instance. */
  get descriptor(): number {
    if (this.#descriptor === null) throw new RangeError(`${this.name} is closed`);
    return this.#descriptor;
  }

  /** Makes the error that says what is wrong with this file. `help` defaults to the code's own. */
  fail(
    code: ErrorCode,
    what: string,
    { found, expected }: Disagreement,
    help: string = HELP[code] ?? "capture the dump again",
    cause?: unknown,
  ): NpuDiffError {
    return new NpuDiffError(code, {
      what,
      facts: [
        { label: "file", text: this.path },
        { label: "found", text: found },
        { label: "expected", text: expected },
      ],
      help,
      cause,
    });
  }

  /** Makes the error for contents that contradict themselves. */
  corrupt(what: string, disagreement: Disagreement, cause?: unknown): NpuDiffError {
    return this.fail("dump-corrupt", `${this.name}: ${what}`, disagreement, undefined, cause);
  }

  /**
   * Fills `target` with the bytes from `position` on.
   *
   * @throws NpuDiffError `dump-truncated` where the file ends before, `file-unreadable` where the system
   *   refuses
   */
  readInto(position: number, target: Uint8Array): void {
    const { descriptor } = this;
    let done = 0;
    while (done < target.length) {
      const length = Math.min(target.length - done, MAX_READ);
      let read: number;
      try {
        read = readSync(descriptor, target, done, length, position + done);
      } catch (error) {
        throw this.fail(
          "file-unreadable",
          `${this.name} cannot be read`,
          {
            found: reasonOf(error),
            expected: `${counted(length, "byte")} from byte ${position + done} on`,
          },
          "check the disk or network that holds the file",
          error,
        );
      }
      if (read === 0) {
        throw this.fail(
          "dump-truncated",
          `${this.name} became shorter while it was open`,
          { found: `its end at byte ${position + done}`, expected: counted(this.size, "byte") },
          "wait until the file is no longer written, then start again",
        );
      }
      done += read;
    }
  }

  /** The `length` bytes from `position` on. The caller has checked `length` against a bound. */
  read(position: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.readInto(position, bytes);
    return bytes;
  }

  /** Closing twice is harmless. */
  close(): void {
    if (this.#descriptor === null) return;
    closeSync(this.#descriptor);
    this.#descriptor = null;
  }
}

function cannotOpen(path: string, error: unknown): NpuDiffError {
  const code = error instanceof Error && "code" in error ? error.code : null;
  const missing = code === "ENOENT" || code === "ENOTDIR";
  return new NpuDiffError(missing ? "file-not-found" : "file-unreadable", {
    what: missing ? `${basename(path)} does not exist` : `${basename(path)} cannot be opened`,
    facts: [
      { label: "file", text: path },
      { label: "found", text: reasonOf(error) },
      { label: "expected", text: "a file that this process may read" },
    ],
    help: missing ? "check the path" : "check the path and its permissions",
    cause: error,
  });
}
