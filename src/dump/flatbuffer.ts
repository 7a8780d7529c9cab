/**
 * Reads flatbuffers, the encoding of Arrow's metadata, with every access
 * checked. The generated accessors trust their input: a vector that claims
 * 2³¹ entries is walked to its end, and a read beyond the buffer is a zero.
 * Here both are a {@link MalformedFlatbuffer}.
 */

/** The bytes contradict themselves: an offset or a count leads out of the buffer. */
export class MalformedFlatbuffer extends Error {
  override readonly name = "MalformedFlatbuffer";
}

/** A vector of fixed-size elements: where it starts in the buffer, and how many it has. */
export interface Vector {
  readonly start: number;
  readonly length: number;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** One table of a flatbuffer. Fields go by their id in the format's definition; absent ones have defaults. */
export class Table {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #position: number;
  readonly #vtable: number;
  readonly #vtableBytes: number;

  private constructor(bytes: Uint8Array, view: DataView, position: number) {
    this.#bytes = bytes;
    this.#view = view;
    this.#position = position;
    this.#check(position, 4);
    this.#vtable = position - view.getInt32(position, true);
    this.#check(this.#vtable, 2);
    this.#vtableBytes = view.getUint16(this.#vtable, true);
    this.#check(this.#vtable, this.#vtableBytes);
  }

  /** The root table of a buffer. */
  static root(bytes: Uint8Array): Table {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < 4) throw new MalformedFlatbuffer(`a buffer of ${bytes.length} bytes`);
    return new Table(bytes, view, view.getUint32(0, true));
  }

  /** Where this table lies in its buffer. */
  get position(): number {
    return this.#position;
  }

  bool(id: number): boolean {
    return this.uint8(id) !== 0;
  }

  uint8(id: number): number {
    const at = this.#field(id, 1);
    return at === 0 ? 0 : this.#view.getUint8(at);
  }

  int16(id: number, absent = 0): number {
    const at = this.#field(id, 2);
    return at === 0 ? absent : this.#view.getInt16(at, true);
  }

  int32(id: number, absent = 0): number {
    const at = this.#field(id, 4);
    return at === 0 ? absent : this.#view.getInt32(at, true);
  }

  int64(id: number): bigint {
    const at = this.#field(id, 8);
    return at === 0 ? 0n : this.#view.getBigInt64(at, true);
  }

  table(id: number): Table | null {
    const at = this.#field(id, 4);
    return at === 0 ? null : new Table(this.#bytes, this.#view, this.#follow(at));
  }

  /** A string; null where it is absent. It must be valid UTF-8. */
  string(id: number): string | null {
    const { start, length } = this.vector(id, 1);
    if (start === 0) return null;
    try {
      return UTF8.decode(this.#bytes.subarray(start, start + length));
    } catch (cause) {
      throw new MalformedFlatbuffer("a string that is not UTF-8", { cause });
    }
  }

  /** A vector of elements of `itemBytes` bytes each, all of it inside the buffer; empty where it is absent. */
  vector(id: number, itemBytes: number): Vector {
    const at = this.#field(id, 4);
    if (at === 0) return { start: 0, length: 0 };
    const position = this.#follow(at);
    this.#check(position, 4);
    const length = this.#view.getUint32(position, true);
    this.#check(position + 4, length * itemBytes);
    return { start: position + 4, length };
  }

  /** A vector of tables, of which there may be `most`. */
  tables(id: number, most: number): Table[] {
    const { start, length } = this.vector(id, 4);
    if (length > most) throw new MalformedFlatbuffer(`${length} entries where ${most} are allowed`);
    return Array.from({ length }, (_, i) => {
      return new Table(this.#bytes, this.#view, this.#follow(start + 4 * i));
    });
  }

  /** An int64 at `position`, which lies inside a vector. */
  int64At(position: number): bigint {
    return this.#view.getBigInt64(position, true);
  }

  /** An int32 at `position`, which lies inside a vector. */
  int32At(position: number): number {
    return this.#view.getInt32(position, true);
  }

  /** Position of a field's value, 0 where it is absent. */
  #field(id: number, bytes: number): number {
    const entry = 4 + 2 * id;
    if (entry + 2 > this.#vtableBytes) return 0;
    const offset = this.#view.getUint16(this.#vtable + entry, true);
    if (offset === 0) return 0;
    this.#check(this.#position + offset, bytes);
    return this.#position + offset;
  }

  #follow(position: number): number {
    return position + this.#view.getUint32(position, true);
  }

  #check(position: number, bytes: number): void {
    if (position < 0 || position + bytes > this.#bytes.length) {
      throw new MalformedFlatbuffer(
        `bytes ${position} to ${position + bytes} of a buffer of ${this.#bytes.length}`,
      );
    }
  }
}
