/**
 * Pickles as `torch.save` writes them (protocol 2), read as data: nothing is
 * imported and nothing is called. A name of Python's is a {@link PyGlobal}, and
 * what a call of it would stand for is up to {@link Symbols}, which know a fixed
 * list; every opcode and every name outside of what tensors need is refused.
 */

import { counted } from "../../core/counted.ts";

export class PyTuple {
  readonly items: readonly PyValue[];
  constructor(items: readonly PyValue[]) {
    this.items = items;
  }
}

export class PyList {
  readonly items: PyValue[] = [];
}

export class PyDict {
  readonly entries: (readonly [key: PyValue, value: PyValue])[] = [];
}

/** A name of Python's, such as `collections.OrderedDict`. */
export class PyGlobal {
  readonly path: string;
  constructor(path: string) {
    this.path = path;
  }
}

/** A value that is known to be harmless and of no use here: a device, a dtype, a set. */
export class PyOpaque {
  readonly what: string;
  constructor(what: string) {
    this.what = what;
  }
}

/** Whatever {@link Symbols} make of names and persistent ids. */
export abstract class PyObject {
  abstract readonly kind: string;
}

export type PyValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PyTuple
  | PyList
  | PyDict
  | PyGlobal
  | PyOpaque
  | PyObject;

/** What names stand for. All of them throw {@link PickleProblem} for what they do not know. */
export interface Symbols {
  /** Refuses a name that is not on the list. */
  resolve(path: string): PyValue;
  /** What a call of `callee` would give, made of its arguments alone. */
  reduce(callee: PyGlobal, args: PyTuple): PyValue;
  /** What lies outside of the pickle. */
  persistent(id: PyValue): PyValue;
}

/** Why a pickle cannot be read. */
export class PickleProblem extends Error {
  override readonly name = "PickleProblem";
  /** Whether it is damaged, rather than of something else than tensors. */
  readonly damaged: boolean;
  readonly expected: string;

  constructor(found: string, expected: string, damaged = true) {
    super(found);
    this.expected = expected;
    this.damaged = damaged;
  }
}

/** Steps of a pickle: a tensor takes about 45 of them, and each may make one object. */
const MAX_STEPS = 2 ** 23;

/** Bytes of an integer: those of tensors have 8. */
const MAX_LONG = 32;

/** Bytes of a name of Python's. */
const MAX_NAME = 256;

const MARK = Symbol("mark");
type Slot = PyValue | typeof MARK;

/**
 * Reads the one value of a pickle.
 *
 * @throws PickleProblem
 */
export function readPickle(bytes: Uint8Array, symbols: Symbols): PyValue {
  return new Machine(bytes, symbols).run();
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #symbols: Symbols;
  readonly #stack: Slot[] = [];
  readonly #memo = new Map<number, PyValue>();
  #at = 0;

  constructor(bytes: Uint8Array, symbols: Symbols) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#symbols = symbols;
  }

  run(): PyValue {
    for (let step = 0; step < MAX_STEPS; step++) {
      const opcode = this.#take(1);
      const byte = this.#bytes[opcode] as number;
      if (byte === STOP) return this.pop();
      const run = OPCODES.get(byte);
      if (run === undefined) {
        throw new PickleProblem(
          `the instruction 0x${byte.toString(16).padStart(2, "0")} at byte ${opcode}`,
          "those of protocol 2 that torch.save uses",
        );
      }
      run(this);
    }
    throw new PickleProblem(`more than ${MAX_STEPS} instructions`, "at most that many");
  }

  /** The place of the next `length` bytes, which are then behind. */
  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) {
      throw new PickleProblem(
        `its end at byte ${this.#bytes.length}`,
        `${counted(length, "byte")} from byte ${at} on`,
      );
    }
    this.#at += length;
    return at;
  }

  push(value: Slot): this {
    this.#stack.push(value);
    return this;
  }

  pop(): PyValue {
    const value = this.#stack.pop();
    if (value === undefined || value === MARK) throw new PickleProblem("no value", "one on top");
    return value;
  }

  /** The value on top, which stays. */
  top(): PyValue {
    const value = this.pop();
    this.push(value);
    return value;
  }

  /** All values above the last mark, which goes as well. */
  popToMark(): PyValue[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark === -1) throw new PickleProblem("no mark", "one below the values");
    const values = this.#stack.splice(mark);
    values.shift();
    return values as PyValue[];
  }

  remember(index: number): this {
    this.#memo.set(index, this.top());
    return this;
  }

  recall(index: number): PyValue {
    const value = this.#memo.get(index);
    if (value === undefined) throw new PickleProblem(`value ${index}`, "one kept before");
    return value;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), false);
  }

  /** An integer of any length, two's complement; what no float64 holds exactly is a bigint. */
  long(length: number): number | bigint {
    if (length > MAX_LONG)
      throw new PickleProblem(`an integer of ${counted(length, "byte")}`, "8 bytes");
    const at = this.#take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[at + i] ?? 0);
    const signed = BigInt.asIntN(8 * length, value);
    return BigInt(Number(signed)) === signed && Number.isSafeInteger(Number(signed))
      ? Number(signed)
      : signed;
  }

  text(length: number): string {
    const at = this.#take(length);
    return new TextDecoder().decode(this.#bytes.subarray(at, at + length));
  }

  /** A line of ASCII: a module or a name in it. */
  #line(): string {
    const end = this.#bytes.subarray(this.#at, this.#at + MAX_NAME).indexOf(0x0a);
    if (end === -1) throw new PickleProblem("a name without an end", `${MAX_NAME} bytes at most`);
    const line = this.text(end);
    this.#take(1);
    return line;
  }

  global(): PyValue {
    const module = this.#line();
    return this.#symbols.resolve(`${module}.${this.#line()}`);
  }

  reduce(): PyValue {
    const args = this.pop();
    const callee = this.pop();
    if (!(args instanceof PyTuple) || !(callee instanceof PyGlobal)) {
      throw new PickleProblem("a call of a value", "of a name, with a tuple");
    }
    return this.#symbols.reduce(callee, args);
  }

  persistent(): PyValue {
    return this.#symbols.persistent(this.pop());
  }

  /** The attributes of a dictionary, such as `_metadata` of a state_dict, are of no use here. */
  build(): this {
    this.pop();
    if (!(this.top() instanceof PyDict)) throw new PickleProblem("state of an object", "none");
    return this;
  }

  append(values: readonly PyValue[]): this {
    const list = this.top();
    if (!(list instanceof PyList)) throw new PickleProblem("items of no list", "a list");
    for (const value of values) list.items.push(value);
    return this;
  }

  put(values: readonly PyValue[]): this {
    const dict = this.top();
    if (!(dict instanceof PyDict) || values.length % 2 !== 0) {
      throw new PickleProblem("items of no dictionary", "a dictionary, keys and values");
    }
    for (let i = 0; i < values.length; i += 2) {
      dict.entries.push([values[i] as PyValue, values[i + 1] as PyValue]);
    }
    return this;
  }

  tuple(length: number): PyTuple {
    return new PyTuple(Array.from({ length }, () => this.pop()).reverse());
  }

  protocol(version: number): this {
    if (version === 2) return this;
    throw new PickleProblem(`protocol ${version}`, "protocol 2, torch.save's default", false);
  }
}

/** Instructions that put a value on the stack. */
const VALUES: Readonly<Record<string, (machine: Machine) => Slot>> = {
  "(": () => MARK,
  N: () => null,
  "\x88": () => true,
  "\x89": () => false,
  K: (m) => m.u8(),
  M: (m) => m.u16(),
  J: (m) => m.i32(),
  "\x8a": (m) => m.long(m.u8()),
  G: (m) => m.f64(),
  X: (m) => m.text(m.u32()),
  "}": () => new PyDict(),
  "]": () => new PyList(),
  ")": () => new PyTuple([]),
  "\x85": (m) => m.tuple(1),
  "\x86": (m) => m.tuple(2),
  "\x87": (m) => m.tuple(3),
  t: (m) => new PyTuple(m.popToMark()),
  h: (m) => m.recall(m.u8()),
  j: (m) => m.recall(m.u32()),
  c: (m) => m.global(),
  R: (m) => m.reduce(),
  Q: (m) => m.persistent(),
};

/** Instructions that change what is there. */
const CHANGES: Readonly<Record<string, (machine: Machine) => unknown>> = {
  "\x80": (m) => m.protocol(m.u8()),
  a: (m) => m.append([m.pop()]),
  e: (m) => m.append(m.popToMark()),
  s: (m) => m.put([m.pop(), m.pop()].reverse()),
  u: (m) => m.put(m.popToMark()),
  q: (m) => m.remember(m.u8()),
  r: (m) => m.remember(m.u32()),
  b: (m) => m.build(),
};

const STOP = ".".charCodeAt(0);

const OPCODES: ReadonlyMap<number, (machine: Machine) => unknown> = new Map(
  [
    ...Object.entries(VALUES).map(
      ([opcode, value]) => [opcode, (machine: Machine) => machine.push(value(machine))] as const,
    ),
    ...Object.entries(CHANGES),
  ].map(([opcode, run]) => [opcode.charCodeAt(0), run]),
);
