/** A file that appears under its name only when it is whole. */

import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename } from "node:path";
import { NpuDiffError, reasonOf } from "../core/errors.ts";

export class OutputFile {
  readonly path: string;
  readonly #temporary: string;
  #descriptor: number | null;
  #position = 0;

  /**
   * Creates `path` + `suffix`, which becomes `path` on {@link commit}.
   *
   * @throws NpuDiffError `output-unwritable` where either exists, or the system refuses
   */
  constructor(path: string, suffix: string) {
    this.path = path;
    this.#temporary = path + suffix;
    if (existsSync(path)) throw occupied(path);
    try {
      this.#descriptor = openSync(this.#temporary, "wx");
    } catch (error) {
      if (existsSync(this.#temporary)) throw occupied(this.#temporary);
      throw unwritable(path, error);
    }
  }

  /** Name of the file while it is not whole. */
  get temporary(): string {
    return this.#temporary;
  }

  /** Bytes written so far. */
  get position(): number {
    return this.#position;
  }

  /** Appends `bytes`. */
  write(bytes: Uint8Array): void {
    if (this.#descriptor === null) throw new RangeError(`${this.path} is closed`);
    let done = 0;
    try {
      while (done < bytes.length) done += writeSync(this.#descriptor, bytes, done);
    } catch (error) {
      this.discard();
      throw unwritable(this.path, error);
    }
    this.#position += bytes.length;
  }

  /** Appends zeros up to a multiple of `alignment`. */
  pad(alignment: number): void {
    this.write(new Uint8Array((alignment - (this.#position % alignment)) % alignment));
  }

  /** Writes what the system still holds and stops writing. */
  flush(): void {
    if (this.#descriptor === null) return;
    try {
      fsyncSync(this.#descriptor);
    } catch (error) {
      this.discard();
      throw unwritable(this.path, error);
    }
    closeSync(this.#descriptor);
    this.#descriptor = null;
  }

  /** Gives the file its name. */
  commit(): void {
    this.flush();
    if (existsSync(this.path)) {
      this.discard();
      throw occupied(this.path);
    }
    try {
      renameSync(this.#temporary, this.path);
    } catch (error) {
      this.discard();
      throw unwritable(this.path, error);
    }
  }

  /** Removes the file that is not whole. */
  discard(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
    rmSync(this.#temporary, { force: true });
  }
}

function occupied(path: string): NpuDiffError {
  return new NpuDiffError("output-unwritable", {
    what: `${basename(path)} exists already`,
    facts: [
      { label: "file", text: path },
      { label: "found", text: "a file of that name" },
      { label: "expected", text: "a free name: nothing is overwritten" },
    ],
    help: "give another name, or remove the file",
  });
}

function unwritable(path: string, error: unknown): NpuDiffError {
  return new NpuDiffError("output-unwritable", {
    what: `${basename(path)} cannot be written`,
    facts: [
      { label: "file", text: path },
      { label: "found", text: reasonOf(error) },
      { label: "expected", text: "a folder that may be written to, with room on its disk" },
    ],
    help: "check the folder, its permissions and the free space",
    cause: error,
  });
}
