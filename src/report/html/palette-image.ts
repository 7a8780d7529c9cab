/** Small pictures of few colours as PNG in a data URI, which is read without a script. */

/** Cividis, as ten of its colours: even in lightness, and the same to colour-blind eyes. */
const CIVIDIS = "00224e 123570 3b496c 575d6d 707173 8a8678 a59c74 c3b369 e1cc55 fee838".split(" ");

/** Shades between the ends of the scale; indexes from 0. */
export const SHADES = 240;

/** A cell that is no finite number, in a colour that the scale has not. */
export const NOT_FINITE = 254;

/** A cell that nothing is known of: transparent. */
export const NOTHING = 255;

/** A picture of `width` columns; `cells` are indexes into the scale, row after row. */
export function paletteImage(cells: Uint8Array, width: number): string {
  const height = cells.length / width;
  const lines = new Uint8Array(height * (width + 1));
  for (let row = 0; row < height; row += 1) {
    // Before each row stands its filter: none.
    lines.set(cells.subarray(row * width, (row + 1) * width), row * (width + 1) + 1);
  }
  const transparent = new Uint8Array(256).fill(255);
  transparent[NOTHING] = 0;
  const bytes = [
    [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a],
    chunk("IHDR", [...bigEndian(width), ...bigEndian(height), 8, 3, 0, 0, 0]),
    chunk("PLTE", palette()),
    chunk("tRNS", transparent),
    chunk("IDAT", stored(lines)),
    chunk("IEND", []),
  ].flatMap((part) => Array.from(part, (byte) => String.fromCharCode(byte)));
  return `data:image/png;base64,${btoa(bytes.join(""))}`;
}

function palette(): readonly number[] {
  const anchors = CIVIDIS.map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, index) => {
    if (index >= SHADES) return [0xd6, 0x27, 0x28];
    const position = (index / (SHADES - 1)) * (anchors.length - 1);
    const from = Math.min(Math.floor(position), anchors.length - 2);
    const [low = [], high = []] = [anchors[from], anchors[from + 1]];
    return low.map((channel, i) =>
      Math.round(channel + (position - from) * ((high[i] ?? 0) - channel)),
    );
  }).flat();
}

function bigEndian(value: number): readonly number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

/** Length, name, data, and the check sum of the last two. */
function chunk(name: string, data: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(data.length + 12);
  bytes.set(bigEndian(data.length));
  bytes.set(
    Array.from(name, (letter) => letter.charCodeAt(0)),
    4,
  );
  bytes.set(data, 8);
  bytes.set(bigEndian(crc32(bytes.subarray(4, -4))), bytes.length - 4);
  return bytes;
}

/** The longest block that deflate can store. */
const BLOCK = 65_535;

/** A zlib stream that stores: how zlib packs may change with its version, and with it the report. */
function stored(data: Uint8Array): readonly number[] {
  const out: number[] = [0x78, 0x01];
  for (let start = 0; start < data.length; start += BLOCK) {
    const block = data.subarray(start, start + BLOCK);
    const size = block.length;
    const isLast = start + BLOCK >= data.length ? 1 : 0;
    out.push(isLast, size & 255, size >>> 8, ~size & 255, (~size >>> 8) & 255);
    for (const byte of block) out.push(byte);
  }
  let [a, b] = [1, 0];
  for (const byte of data) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  out.push(b >>> 8, b & 255, a >>> 8, a & 255);
  return out;
}

function crc32(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return ~sum >>> 0;
}
