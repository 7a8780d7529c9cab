// @ts-check
/** Ways to damage a file, and to make one that lies: seeded, the same every time. */

import { unzipSync, zipSync } from "fflate";

/**
 * @typedef {object} Chance
 * @property {(below: number) => number} int an integer from 0 to below − 1
 * @property {<T>(list: readonly T[]) => T} one
 */

/**
 * @typedef {object} Material
 * @property {Uint8Array} bytes the file
 * @property {Uint8Array} other another file, of any format
 * @property {boolean} isWhole whether nothing was done to the file yet
 */

/** Numbers at which readers break. */
const NUMBERS = [
  0n,
  1n,
  2n,
  0x7fn,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** What stands for a value in JSON. */
const VALUES = [
  null,
  true,
  -1,
  0.5,
  1e308,
  2 ** 53,
  "",
  "NaN",
  "../../x",
  "\u0000",
  [],
  {},
  [[[[[[]]]]]],
  { a: { a: { a: {} } } },
];

/** Dtypes as the formats write them. */
const DTYPES = ["<f4", "<f8", "<f2", "<V2", "|V1", "<i8", ">u8", "|b1", "|O", "<U9", "F32", "BF16"];

const MAX_BYTES = 1 << 20;

/** Bytes in which texts are looked for: the memory of a process is the reader's. */
const MAX_TEXT = 1 << 16;

/** @type {Readonly<Record<string, (material: Material, chance: Chance) => Uint8Array>>} */
const MUTATIONS = {
  bits({ bytes }, { int }) {
    const out = bytes.slice();
    for (let n = 1 + int(8); n > 0 && out.length > 0; n -= 1) {
      const at = int(out.length);
      out[at] = (out[at] ?? 0) ^ (1 << int(8));
    }
    return out;
  },
  bytes({ bytes }, { int }) {
    const out = bytes.slice();
    const at = int(out.length);
    for (let i = at; i < Math.min(out.length, at + 1 + int(16)); i += 1) out[i] = int(256);
    return out;
  },
  truncated: ({ bytes }, { int }) => bytes.slice(0, int(bytes.length + 1)),
  removed({ bytes }, { int }) {
    const at = int(bytes.length);
    return joined(bytes.subarray(0, at), bytes.subarray(at + 1 + int(64)));
  },
  repeated({ bytes }, { int, one }) {
    const at = int(bytes.length);
    const part = bytes.subarray(at, at + 1 + int(256));
    const times = one([1, 2, 1000]);
    return joined(bytes.subarray(0, at), ...new Array(times).fill(part), bytes.subarray(at));
  },
  exchanged({ bytes }, { int }) {
    const size = 1 + int(64);
    const [a, b] = [int(bytes.length), int(bytes.length)];
    const out = bytes.slice();
    out.set(bytes.subarray(a, a + Math.min(size, out.length - b)), b);
    out.set(bytes.subarray(b, b + Math.min(size, out.length - a)), a);
    return out;
  },
  /** A length or offset that lies, wherever it is. */
  number({ bytes }, { int, one }) {
    const out = bytes.slice();
    const size = one([1, 2, 4, 8]);
    if (out.length < size) return out;
    const near = BigInt(bytes.length) + BigInt(int(5) - 2);
    const value = BigInt.asUintN(size * 8, one([...NUMBERS, near]));
    // Headers lie at both ends.
    const within = out.length - size + 1;
    const at = one([
      int(within),
      int(Math.min(within, 64)),
      within - 1 - int(Math.min(within, 128)),
    ]);
    for (let i = 0; i < size; i += 1) out[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
    if (one([false, true, false])) out.subarray(at, at + size).reverse();
    return out;
  },
  /** The same where a number is written in digits. */
  digits({ bytes }, { int, one }) {
    const text = Buffer.from(bytes).toString("latin1");
    const from = int(Math.max(1, text.length - MAX_TEXT));
    const found = [...text.slice(from, from + MAX_TEXT).matchAll(/\d+/g)];
    if (found.length === 0) return bytes;
    const match = found[int(found.length)];
    const value = one([...NUMBERS.map(String), "-1", "1e400", "9".repeat(400), "0.5", ""]);
    return replaced(text, from + (match?.index ?? 0), match?.[0].length ?? 0, value);
  },
  dtype({ bytes }, { int, one }) {
    const text = Buffer.from(bytes).toString("latin1");
    const from = int(Math.max(1, text.length - MAX_TEXT));
    const found = [
      ...text
        .slice(from, from + MAX_TEXT)
        .matchAll(/(?<=['"])(?:[<>|][a-zA-Z]\d+|[BF]\w?\d+(?:_E\dM\d)?|I\d+|U8|BOOL)(?=['"])/g),
    ];
    if (found.length === 0) return bytes;
    const match = found[int(found.length)];
    return replaced(text, from + (match?.index ?? 0), match?.[0].length ?? 0, one(DTYPES));
  },
  spliced: ({ bytes, other }, { int }) =>
    joined(bytes.subarray(0, int(bytes.length + 1)), other.subarray(int(other.length + 1))),
  /** JSON with another value somewhere, also behind the length of a header. */
  json(material, chance) {
    const { bytes } = material;
    const prefix = bytes[0] === 0x7b ? 0 : bytes[8] === 0x7b ? 8 : -1;
    if (prefix === -1) return MUTATIONS["digits"]?.(material, chance) ?? bytes;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const length = prefix === 0 ? bytes.length : Number(view.getBigUint64(0, true));
    try {
      const text = Buffer.from(bytes.subarray(prefix, prefix + length)).toString();
      const value = JSON.parse(text);
      changeSomewhere(value, chance);
      const changed = Buffer.from(JSON.stringify(value));
      if (prefix === 0) return changed;
      const head = Buffer.alloc(8);
      head.writeBigUInt64LE(BigInt(changed.length));
      return joined(head, changed, bytes.subarray(prefix + length));
    } catch {
      return bytes;
    }
  },
  deep({ bytes }, { int, one }) {
    const at = bytes[0] === 0x7b ? 1 : bytes[8] === 0x7b ? 9 : int(bytes.length);
    const part = Buffer.from(one(['{"a":', "[", '{"":[', "(", "'"]).repeat(1 + int(20_000)));
    return joined(bytes.subarray(0, at), part, bytes.subarray(at));
  },
  /** What lies in an archive is damaged, and the archive made whole around it. */
  archived(material, chance) {
    // fflate searches a damaged archive for what is not there, without an end.
    const entries = material.isWhole ? openZip(material.bytes) : null;
    if (entries === null)
      return zipOf({ "a.npy": material.bytes, "b.npy": material.other }, chance);
    const name = chance.one(Object.keys(entries));
    const bytes = entries[name] ?? material.bytes;
    const inner = chance.one(INNER);
    const made = MUTATIONS[inner]?.({ ...material, bytes }, chance) ?? bytes;
    entries[name] = new Uint8Array(made);
    return zipOf(entries, chance);
  },
  /** An archive in an archive, under a name that a reader of archives looks for. */
  nested({ bytes }, chance) {
    const name = chance.one([
      "a.npy",
      "archive/data.pkl",
      "archive/data/0",
      "a.pt",
      "../a.npy",
      "a/",
    ]);
    return zipOf({ [name]: zipOf({ [name]: bytes }, chance) }, chance);
  },
  /** Much of nothing in few bytes. */
  bomb({ other }, chance) {
    const zeros = new Uint8Array(MAX_BYTES << chance.int(5));
    zeros.set(other.subarray(0, 200));
    return zipSync({ "a.npy": zeros }, { level: 9 });
  },
};

const NAMES = Object.keys(MUTATIONS);
const INNER = NAMES.filter((name) => !["archived", "nested", "bomb"].includes(name));
/** Rare, for they cost the most. */
const USUAL = NAMES.filter((name) => name !== "bomb");

/**
 * The `index`-th damaged file that `seed` makes of `files`.
 *
 * @param {readonly Uint8Array[]} files
 * @param {readonly Uint8Array[]} others files of every format
 * @param {number} seed
 * @param {number} index
 * @returns {{ readonly file: number, readonly bytes: Uint8Array, readonly how: readonly string[] }}
 */
export function damaged(files, others, seed, index) {
  const chance = chanceOf(seed * 1_000_003 + index);
  const file = chance.int(files.length);
  let bytes = files[file] ?? new Uint8Array();
  /** @type {string[]} */
  const how = [];
  for (let n = 1 + chance.int(3); n > 0; n -= 1) {
    const name = chance.int(500) === 0 ? "bomb" : chance.one(USUAL);
    how.push(name);
    if (bytes.length === 0) break;
    const material = { bytes, other: chance.one(others), isWhole: how.length === 1 };
    const made = MUTATIONS[name]?.(material, chance) ?? bytes;
    bytes = made.length > MAX_BYTES ? made.slice(0, MAX_BYTES) : made;
  }
  return { file, bytes, how };
}

/**
 * mulberry32.
 *
 * @param {number} seed
 * @returns {Chance}
 */
function chanceOf(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (/** @type {number} */ below) => Math.floor(next() * below);
  return {
    int,
    one: (list) => /** @type {any} */ (list[int(list.length)]),
  };
}

/** @param {readonly Uint8Array[]} parts */
function joined(...parts) {
  return new Uint8Array(Buffer.concat(parts));
}

/**
 * @param {string} text
 * @param {number} at
 * @param {number} length
 * @param {string} value
 */
function replaced(text, at, length, value) {
  return new Uint8Array(Buffer.from(text.slice(0, at) + value + text.slice(at + length), "latin1"));
}

/** @param {Uint8Array} bytes */
function openZip(bytes) {
  if (bytes[0] !== 0x50 || bytes[1] !== 0x4b) return null;
  try {
    const entries = unzipSync(bytes, { filter: ({ originalSize }) => originalSize <= MAX_BYTES });
    return Object.keys(entries).length === 0 ? null : entries;
  } catch {
    return null;
  }
}

/**
 * @param {Record<string, Uint8Array>} entries
 * @param {Chance} chance
 */
function zipOf(entries, { one }) {
  return zipSync(entries, { level: one([0, 0, 1]), mtime: new Date(1980, 0, 2) });
}

/**
 * Changes one value anywhere in `value`.
 *
 * @param {any} value
 * @param {Chance} chance
 */
function changeSomewhere(value, chance) {
  let at = value;
  for (;;) {
    const keys = Object.keys(at);
    if (keys.length === 0) return;
    const key = chance.one(keys);
    const inner = at[key];
    if (typeof inner === "object" && inner !== null && chance.int(4) !== 0) {
      at = inner;
      continue;
    }
    if (chance.int(4) === 0) delete at[key];
    else at[key] = chance.one(VALUES);
    return;
  }
}
