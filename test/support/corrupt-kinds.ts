/**
 * Ways in which a good dump goes bad, each at a place that chance picks. They
 * change bytes, names and shapes, as a faulty copy, converter or device would;
 * none of them knows how a dump is judged.
 */

import type { DType } from "../../src/core/dtype.ts";
import { type MemoryDump, rowsOf, type Stored, toBf16, valuesOf } from "./corrupt-dump.ts";

/** Chance: a number in [0, 1). */
export type Chance = () => number;

/** A changed dump; null where chance picked a place that this kind does not fit. */
export type Corrupt = (dump: MemoryDump, chance: Chance) => MemoryDump | null;

export function pick<T>(items: readonly T[], chance: Chance): T {
  const item = items[Math.floor(chance() * items.length)];
  if (item === undefined) throw new RangeError("nothing to pick from");
  return item;
}

/** Whether a tensor is one that a comparison judges. */
export function isJudged({ dtype, name }: Stored): boolean {
  return dtype === "BF16" && /^(embed|layers\..*|norm|logits)$/.test(name);
}

/** The tensors that a corruption is about: one name, in all samples or one, at the prompt or in decoding. */
function scope(dump: MemoryDump, chance: Chance): ReadonlySet<Stored> {
  const judged = dump.tensors.filter(isJudged);
  const one = pick(judged, chance);
  const alike = judged.filter(
    ({ name, step }) => name === one.name && (step === 0) === (one.step === 0),
  );
  return new Set(chance() < 0.5 ? alike : [one]);
}

/** Puts what `change` makes of each tensor of `chosen` in its place. */
function replaced(
  dump: MemoryDump,
  chosen: ReadonlySet<Stored>,
  change: (tensor: Stored) => Stored,
): MemoryDump {
  return {
    ...dump,
    tensors: dump.tensors.map((tensor) => (chosen.has(tensor) ? change(tensor) : tensor)),
  };
}

/** A corruption of the bytes of the tensors that chance picks; names, types and shapes stay. */
function ofBytes(change: (tensor: Stored, chance: Chance) => Uint8Array): Corrupt {
  return (dump, chance) =>
    replaced(dump, scope(dump, chance), (tensor) => ({ ...tensor, bytes: change(tensor, chance) }));
}

/** A corruption of the values of bfloat16 tensors. */
function ofValues(change: (values: Float64Array, width: number, chance: Chance) => void): Corrupt {
  return ofBytes((tensor, chance) => {
    const values = valuesOf(tensor) ?? new Float64Array();
    change(values, tensor.shape[1] ?? 1, chance);
    return toBf16(values);
  });
}

/** `bytes` with row `from(t)` in the place of row t. */
function rowsFrom(tensor: Stored, from: (row: number, rows: number) => number): Uint8Array {
  const { rows, rowBytes } = rowsOf(tensor);
  const moved = new Uint8Array(tensor.bytes.length);
  for (let row = 0; row < rows; row += 1) {
    const source = from(row, rows);
    moved.set(tensor.bytes.subarray(source * rowBytes, (source + 1) * rowBytes), row * rowBytes);
  }
  return moved;
}

/** Each tensor with the bytes of its partner, where it has one; null where one does not fit. */
function exchange(
  dump: MemoryDump,
  partner: (tensor: Stored) => Stored | undefined,
): MemoryDump | null {
  const partners = dump.tensors.map((tensor) => [tensor, partner(tensor) ?? tensor] as const);
  if (partners.some(([{ shape }, other]) => String(shape) !== String(other.shape))) return null;
  return { ...dump, tensors: partners.map(([tensor, { bytes }]) => ({ ...tensor, bytes })) };
}

function at(dump: MemoryDump, name: string, { sample, step }: Stored): Stored | undefined {
  return dump.tensors.find(
    (one) => one.name === name && one.sample === sample && one.step === step,
  );
}

const dropped: Corrupt = (dump, chance) => {
  const gone = scope(dump, chance);
  return { ...dump, tensors: dump.tensors.filter((tensor) => !gone.has(tensor)) };
};

const droppedSample: Corrupt = (dump, chance) => {
  const { sample } = pick(dump.tensors.filter(isJudged), chance);
  return { ...dump, tensors: dump.tensors.filter((tensor) => tensor.sample !== sample) };
};

const droppedStep: Corrupt = (dump, chance) => {
  const { sample, step } = pick(
    dump.tensors.filter((tensor) => tensor.step > 0),
    chance,
  );
  return {
    ...dump,
    tensors: dump.tensors.filter((tensor) => tensor.sample !== sample || tensor.step !== step),
  };
};

const renamed: Corrupt = (dump, chance) => {
  const name = pick(["layers.4.mlp", "layers.1.router", "model.layers.0.mlp", "lm_head"], chance);
  return replaced(dump, scope(dump, chance), (tensor) => ({ ...tensor, name }));
};

/** The data of two modules exchanged: of one layer, or of one kind in two layers. */
const swappedModules: Corrupt = (dump, chance) => {
  const [layer, other] = pick(
    [
      [0, 0],
      [3, 3],
      [0, 1],
      [2, 3],
      [1, 3],
    ],
    chance,
  );
  const part = pick(["attn", "mlp"], chance);
  const second = layer === other ? (part === "attn" ? "mlp" : "attn") : part;
  const names = [`layers.${String(layer)}.${part}`, `layers.${String(other)}.${second}`] as const;
  const one = pick(dump.tensors.filter(isJudged), chance);
  const everywhere = chance() < 0.5;
  return exchange(dump, (tensor) => {
    const here = tensor.sample === one.sample && (tensor.step === 0) === (one.step === 0);
    const index = everywhere || here ? names.findIndex((name) => name === tensor.name) : -1;
    return index < 0 ? undefined : at(dump, names[1 - index] ?? "", tensor);
  });
};

const layerOverNext: Corrupt = (dump, chance) => {
  const layer = pick([0, 1, 2], chance);
  const suffix = pick(["", ".attn", ".mlp"], chance);
  const name = `layers.${String(layer + 1)}${suffix}`;
  return exchange(dump, (tensor) =>
    tensor.name === name ? at(dump, `layers.${String(layer)}${suffix}`, tensor) : undefined,
  );
};

/** The data of two samples of one length exchanged, ids kept: of one tensor or of all. */
const exchangedSamples: Corrupt = (dump, chance) => {
  const ids = dump.tensors.filter(({ name, step }) => name === "input_ids" && step === 0);
  const one = pick(ids, chance);
  const others = ids.filter(
    ({ sample, shape }) => sample !== one.sample && String(shape) === String(one.shape),
  );
  if (others.length === 0) return null;
  const other = pick(others, chance);
  const name = chance() < 0.5 ? null : pick(dump.tensors.filter(isJudged), chance).name;
  return exchange(dump, (tensor) => {
    if (!isJudged(tensor) || (name !== null && tensor.name !== name) || tensor.step > 0) return;
    const { sample } = tensor;
    if (sample !== one.sample && sample !== other.sample) return;
    return dump.tensors.find(
      (found) =>
        found.name === tensor.name &&
        found.step === tensor.step &&
        found.sample === (sample === one.sample ? other.sample : one.sample),
    );
  });
};

/** The first rows of a sample over those of another, in one tensor. */
const sampleOverSample: Corrupt = (dump, chance) => {
  const one = pick(
    dump.tensors.filter((tensor) => isJudged(tensor) && tensor.step === 0),
    chance,
  );
  const other = pick(
    dump.tensors.filter(
      ({ name, step, sample }) => name === one.name && step === 0 && sample !== one.sample,
    ),
    chance,
  );
  const bytes = Uint8Array.from(one.bytes);
  bytes.set(other.bytes.subarray(0, bytes.length));
  return replaced(dump, new Set([one]), (tensor) => ({ ...tensor, bytes }));
};

/** The data of two decode steps of one sample exchanged, of one tensor or of all; ids kept. */
const exchangedSteps: Corrupt = (dump, chance) => {
  const one = pick(
    dump.tensors.filter((tensor) => isJudged(tensor) && tensor.step > 0),
    chance,
  );
  const all = chance() < 0.5;
  return exchange(dump, (tensor) =>
    isJudged(tensor) &&
    (all || tensor.name === one.name) &&
    tensor.sample === one.sample &&
    (tensor.step === 1 || tensor.step === 2)
      ? dump.tensors.find(
          ({ name, sample, step }) =>
            name === tensor.name && sample === tensor.sample && step === 3 - tensor.step,
        )
      : undefined,
  );
};

const changedId: Corrupt = (dump, chance) => {
  const one = pick(
    dump.tensors.filter(({ name }) => name === "input_ids"),
    chance,
  );
  const bytes = Uint8Array.from(one.bytes);
  const place = 8 * Math.floor((chance() * bytes.length) / 8);
  bytes[place] = ((bytes[place] ?? 0) + 1 + Math.floor(chance() * 254)) % 256;
  return replaced(dump, new Set([one]), (tensor) => ({ ...tensor, bytes }));
};

const fewerRows: Corrupt = (dump, chance) => {
  const cut = 1 + Math.floor(chance() * 3);
  return replaced(dump, scope(dump, chance), (tensor) => {
    const { rows, rowBytes } = rowsOf(tensor);
    const kept = Math.max(0, rows - cut);
    const shape = [kept, ...tensor.shape.slice(1)];
    return { ...tensor, shape, bytes: tensor.bytes.slice(0, kept * rowBytes) };
  });
};

const otherDType: Corrupt = (dump, chance) => {
  const dtype = pick<DType>(["F16", "F16", "F16", "I16"], chance);
  const chosen = chance() < 0.3 ? new Set(dump.tensors.filter(isJudged)) : scope(dump, chance);
  return replaced(dump, chosen, (tensor) => ({ ...tensor, dtype }));
};

/** Two bfloat16 numbers taken for one float32. */
const widerDType: Corrupt = (dump, chance) =>
  replaced(dump, scope(dump, chance), (tensor) => ({
    ...tensor,
    dtype: "F32",
    shape: [tensor.shape[0] ?? 1, (tensor.shape[1] ?? 1) / 2],
  }));

const shifted: Corrupt = (dump, chance) => {
  const by = pick([-2, -1, 1, 2], chance);
  return ofBytes((tensor) =>
    rowsFrom(tensor, (row, rows) => Math.min(Math.max(row - by, 0), rows - 1)),
  )(dump, chance);
};

const rolled: Corrupt = (dump, chance) => {
  const by = 1 + Math.floor(chance() * 4);
  return ofBytes((tensor) => rowsFrom(tensor, (row, rows) => (row + by) % rows))(dump, chance);
};

const reversed = ofBytes((tensor) => rowsFrom(tensor, (row, rows) => rows - 1 - row));

const rowOverNext = ofBytes((tensor, chance) => {
  const place = Math.floor(chance() * (rowsOf(tensor).rows - 1));
  return rowsFrom(tensor, (row) => (row === place + 1 ? place : row));
});

const zeroed = ofValues((values) => values.fill(0));

const zeroedRow = ofValues((values, width, chance) => {
  const row = Math.floor((chance() * values.length) / width);
  values.fill(0, row * width, (row + 1) * width);
});

/** A change of one channel in every row. */
function ofChannel(change: (value: number) => number): Corrupt {
  return (dump, chance) => {
    const place = chance();
    return ofValues((values, width) => {
      const channel = Math.floor(place * width);
      for (let i = channel; i < values.length; i += width) values[i] = change(values[i] ?? 0);
    })(dump, chance);
  };
}

const negated = ofValues((values) => {
  for (const [i, value] of values.entries()) values[i] = -value;
});

const negatedRow = ofValues((values, width, chance) => {
  const start = width * Math.floor((chance() * values.length) / width);
  for (let i = start; i < start + width; i += 1) values[i] = -(values[i] ?? 0);
});

const notFinite: Corrupt = (dump, chance) => {
  const value = pick([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY], chance);
  return ofValues((values) => {
    values[Math.floor(chance() * values.length)] = value;
  })(dump, chance);
};

const scaled: Corrupt = (dump, chance) => {
  const factor = pick([1.05, 0.95, 1.05, 2], chance);
  return ofValues((values) => {
    for (const [i, value] of values.entries()) values[i] = factor * value;
  })(dump, chance);
};

const rolledChannels: Corrupt = (dump, chance) => {
  const by = 1 + Math.floor(chance() * 8);
  return ofValues((values, width) => {
    const before = Float64Array.from(values);
    for (const i of values.keys()) {
      const channel = i % width;
      values[i] = before[i - channel + ((channel + by) % width)] ?? 0;
    }
  })(dump, chance);
};

const permutedRows = ofBytes((tensor, chance) => {
  const order = Array.from({ length: rowsOf(tensor).rows }, () => chance());
  const ranked = [...order.keys()].sort((a, b) => (order[a] ?? 0) - (order[b] ?? 0));
  return rowsFrom(tensor, (row) => ranked[row] ?? row);
});

/** Bits 7 to 14 of a bfloat16 number are its exponent. */
const flippedExponent = ofBytes((tensor, chance) => {
  const bytes = Uint8Array.from(tensor.bytes);
  const view = new DataView(bytes.buffer);
  const place = 2 * Math.floor((chance() * bytes.length) / 2);
  const bit = 7 + Math.floor(chance() * 8);
  view.setUint16(place, view.getUint16(place, true) ^ (1 << bit), true);
  return bytes;
});

/** The kinds by name; each is tried equally often. */
export const KINDS: Readonly<Record<string, Corrupt>> = {
  dropped,
  "dropped sample": droppedSample,
  "dropped step": droppedStep,
  renamed,
  "modules swapped": swappedModules,
  "layer over the next": layerOverNext,
  "samples exchanged": exchangedSamples,
  "sample over another": sampleOverSample,
  "decode steps exchanged": exchangedSteps,
  "other ids": changedId,
  "fewer rows": fewerRows,
  "other dtype": otherDType,
  "wider dtype": widerDType,
  shifted,
  rolled,
  reversed,
  "row over the next": rowOverNext,
  zeroed,
  "zeroed row": zeroedRow,
  "zeroed channel": ofChannel(() => 0),
  negated,
  "negated row": negatedRow,
  "negated channel": ofChannel((value) => -value),
  "not finite": notFinite,
  scaled,
  "rows permuted": permutedRows,
  "channels rolled": rolledChannels,
  "exponent flipped": flippedExponent,
};
