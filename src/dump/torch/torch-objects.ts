/** The names that `torch.save` of tensors writes, and what they stand for. */

import type { DType } from "../../core/dtype.ts";
import type { Conversion } from "../npy/npy-header.ts";
import {
  PickleProblem,
  PyDict,
  PyGlobal,
  PyList,
  PyObject,
  PyOpaque,
  PyTuple,
  type PyValue,
  type Symbols,
} from "./pickle.ts";
import type { View } from "./views.ts";

/** How the elements of a dtype of torch become those of one of ours. */
export interface TorchDType {
  /** torch's name of it. */
  readonly name: string;
  readonly dtype: DType;
  /** Bytes of an element as it is stored. */
  readonly bytes: 1 | 2 | 4 | 8;
  /** `unsigned` ones are stored as the next larger signed integer. */
  readonly widened: boolean;
}

function dtype(name: string, ours: DType, bytes: 1 | 2 | 4 | 8, widened = false): TorchDType {
  return { name, dtype: ours, bytes, widened };
}

const BYTES = dtype("uint8", "U8", 1);

/** By the name of the storage that holds them alone. */
const STORAGES: ReadonlyMap<string, TorchDType> = new Map([
  ["DoubleStorage", dtype("float64", "F64", 8)],
  ["FloatStorage", dtype("float32", "F32", 4)],
  ["HalfStorage", dtype("float16", "F16", 2)],
  ["BFloat16Storage", dtype("bfloat16", "BF16", 2)],
  ["LongStorage", dtype("int64", "I64", 8)],
  ["IntStorage", dtype("int32", "I32", 4)],
  ["ShortStorage", dtype("int16", "I16", 2)],
  ["CharStorage", dtype("int8", "I8", 1)],
  ["ByteStorage", BYTES],
  ["BoolStorage", dtype("bool", "BOOL", 1)],
]);

/** By torch's own name; those that have no storage of their own among them. */
const DTYPES_OF_TORCH: ReadonlyMap<string, TorchDType> = new Map(
  [
    ...STORAGES.values(),
    dtype("float8_e4m3fn", "F8_E4M3", 1),
    dtype("float8_e5m2", "F8_E5M2", 1),
    dtype("uint16", "I32", 2, true),
    dtype("uint32", "I64", 4, true),
    dtype("uint64", "I64", 8, true),
  ].map((one) => [one.name, one]),
);

/** torch's names of the dtypes that are read. */
export const DTYPE_NAMES: string = [...DTYPES_OF_TORCH.keys()].join(", ");

/** How what is stored becomes our dtype's bytes. */
export function conversionOf({ bytes, widened }: TorchDType, bigEndian: boolean): Conversion {
  if (widened && bytes > 1) return { kind: "widen", bytes: bytes as 2 | 4 | 8, bigEndian };
  return bigEndian && bytes > 1 ? { kind: "swap", bytes } : { kind: "none" };
}

/** A storage: an entry of the archive. */
export class TorchStorage extends PyObject {
  readonly kind = "storage";
  readonly key: string;
  /** Null where the tensors on it say it themselves. */
  readonly dtype: TorchDType | null;
  /** Elements; bytes where there is no dtype. */
  readonly length: number;

  constructor(key: string, type: TorchDType | null, length: number) {
    super();
    this.key = key;
    this.dtype = type;
    this.length = length;
  }
}

export class TorchTensor extends PyObject {
  readonly kind = "tensor";
  readonly storage: TorchStorage;
  readonly dtype: TorchDType;
  readonly view: View;

  constructor(storage: TorchStorage, type: TorchDType, view: View) {
    super();
    this.storage = storage;
    this.dtype = type;
    this.view = view;
  }
}

/** A tensor, or its storage, of elements that no dump holds: it is left out. */
export class OtherElements extends PyObject {
  readonly kind = "other elements";
  /** torch's name of their dtype. */
  readonly dtype: string;

  constructor(name: string) {
    super();
    this.dtype = name;
  }
}

/** Storages of such elements. */
const OTHER_STORAGES: ReadonlyMap<string, string> = new Map([
  ["ComplexFloatStorage", "complex64"],
  ["ComplexDoubleStorage", "complex128"],
]);

const FROM_TYPE = "torch._tensor._rebuild_from_type_v2";

/** Calls that give a tensor or what is of no use, by the name that is called. */
const CALLS: ReadonlyMap<string, (args: readonly PyValue[]) => PyValue> = new Map<
  string,
  (args: readonly PyValue[]) => PyValue
>([
  // (storage, offset, size, stride, requires_grad, hooks, metadata)
  ["torch._utils._rebuild_tensor", ([storage, ...view]) => tensorOf(storage, null, view)],
  [
    "torch._utils._rebuild_tensor_v2",
    ([storage, offset, size, stride, , , metadata]) => {
      refuseLazy(metadata);
      return tensorOf(storage, null, [offset, size, stride]);
    },
  ],
  // (storage, offset, size, stride, requires_grad, hooks, dtype, metadata)
  [
    "torch._utils._rebuild_tensor_v3",
    ([storage, offset, size, stride, , , type, metadata]) => {
      refuseLazy(metadata);
      const name = type instanceof PyOpaque ? type.what.replace(/^torch\./, "") : "";
      const found = DTYPES_OF_TORCH.get(name);
      if (found === undefined) {
        if (!/^[a-z0-9_]{1,40}$/.test(name)) throw strange("a tensor of no known dtype");
        return new OtherElements(name);
      }
      return tensorOf(storage, found, [offset, size, stride]);
    },
  ],
  // (storage, offset, size, stride, requires_grad, hooks, format): torch_npu copies to the host, in plain order.
  [
    "torch_npu.utils.storage._rebuild_npu_tensor",
    ([storage, offset, size, stride]) => tensorOf(storage, null, [offset, size, stride]),
  ],
  ["torch._utils._rebuild_parameter", ([tensor]) => known(tensor)],
  ["torch._utils._rebuild_parameter_with_state", ([tensor]) => known(tensor)],
  // (function, type, its arguments, state): a tensor with attributes. The function is no such call again.
  [
    FROM_TYPE,
    ([callee, type, args]) => {
      const plain =
        type instanceof PyOpaque && /^torch\..*(?:Tensor|Parameter|Buffer)$/.test(type.what);
      const rebuilds = callee instanceof PyGlobal && callee.path !== FROM_TYPE;
      if (!plain || !rebuilds || !(args instanceof PyTuple)) {
        throw strange("a tensor of a class of its own");
      }
      return call(callee, args);
    },
  ],
  [
    "collections.OrderedDict",
    ([pairs]) => {
      const dict = new PyDict();
      for (const pair of pairs instanceof PyList ? pairs.items : []) {
        const [key, value] = pair instanceof PyTuple || pair instanceof PyList ? pair.items : [];
        if (key === undefined || value === undefined) throw strange("an item that is no pair");
        dict.entries.push([key, value]);
      }
      return dict;
    },
  ],
  ["torch.Size", ([lengths]) => lengths ?? new PyTuple([])],
  ...["torch.device", "torch_npu.npu._format.Format", "__builtin__.set", "_codecs.encode"].map(
    (name): [string, () => PyValue] => [name, () => new PyOpaque(name)],
  ),
]);

/** Names that are values, of which nothing is called. */
const VALUES =
  /^torch\.(?:strided|(?:b?float|u?int|bool|complex)[a-z0-9_]*|Tensor|nn\.parameter\.(?:Parameter|Buffer))$/;

const STORAGE = /^torch\.(?:storage\.)?(\w+Storage)$/;

/** What is a tensor for torch and none that can be compared. */
const OTHER_TENSORS: Readonly<Record<string, string>> = {
  "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
  "torch._utils._rebuild_sparse_csr_tensor": "a sparse tensor",
  "torch._utils._rebuild_qtensor": "a quantized tensor",
  "torch._utils._rebuild_nested_tensor": "a nested tensor",
  "torch._utils._rebuild_meta_tensor_no_storage": "a meta tensor, which has no data",
  "torch._utils._rebuild_wrapper_subclass": "a tensor of a class of its own",
  "torch._utils._rebuild_device_tensor_from_numpy": "a tensor of a device that torch does not know",
  "torch.storage.TypedStorage": "a storage without a tensor",
};

export const TORCH_SYMBOLS: Symbols = {
  resolve(path) {
    if (VALUES.test(path)) return new PyOpaque(path);
    if (CALLS.has(path) || STORAGE.test(path)) return new PyGlobal(path);
    const what = OTHER_TENSORS[path];
    if (Object.hasOwn(OTHER_TENSORS, path) && what !== undefined) {
      throw new PickleProblem(`${what} (${path})`, "dense tensors", false);
    }
    throw new PickleProblem(`the Python name ${path}`, "tensors, in dictionaries and lists", false);
  },

  reduce: call,

  // ('storage', type, key, location, length): where it lay, npu:0 for instance, makes no difference.
  persistent(id) {
    const [tag, type, key, , length] = id instanceof PyTuple ? id.items : [];
    if (tag !== "storage" || !(type instanceof PyGlobal) || typeof key !== "string") {
      throw strange("something outside of the pickle that is no storage");
    }
    const name = STORAGE.exec(type.path)?.[1] ?? "";
    const other = OTHER_STORAGES.get(name);
    if (other !== undefined) return new OtherElements(other);
    const found = STORAGES.get(name) ?? null;
    if (found === null && name !== "UntypedStorage") {
      throw new PickleProblem(
        `elements of ${name.replace("Storage", "") || "an unknown type"}`,
        DTYPE_NAMES,
        false,
      );
    }
    return new TorchStorage(key, found, count(length, "the length of a storage"));
  },
};

function call(callee: PyGlobal, { items }: PyTuple): PyValue {
  const made = CALLS.get(callee.path);
  if (made === undefined) throw new PickleProblem(`a call of ${callee.path}`, "none", false);
  return made(items);
}

function tensorOf(
  storage: PyValue | undefined,
  type: TorchDType | null,
  [offset, size, stride]: readonly (PyValue | undefined)[],
): TorchTensor | OtherElements {
  if (storage instanceof OtherElements) return storage;
  if (!(storage instanceof TorchStorage)) throw strange("a tensor without a storage");
  const found = type ?? storage.dtype ?? BYTES;
  const [shape, strides] = [counts(size, "a shape"), counts(stride, "strides")];
  if (shape.length !== strides.length) throw strange("as many strides as lengths");
  return new TorchTensor(storage, found, {
    offset: count(offset, "an offset"),
    shape,
    strides,
  });
}

function known(value: PyValue | undefined): PyValue {
  if (value instanceof TorchTensor || value instanceof OtherElements) return value;
  throw strange("a parameter without a tensor");
}

/** torch stores what a conjugate or negated view looks at, and does it when it is loaded. */
function refuseLazy(metadata: PyValue | undefined): void {
  if (!(metadata instanceof PyDict)) return;
  if (!metadata.entries.some(([, value]) => value === true)) return;
  throw new PickleProblem("a tensor that is stored negated or conjugated", "plain ones", false);
}

function counts(value: PyValue | undefined, what: string): readonly number[] {
  const items = value instanceof PyTuple || value instanceof PyList ? value.items : null;
  if (items === null) throw strange(what);
  return items.map((one) => count(one, what));
}

function count(value: PyValue | undefined, what: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw strange(what);
}

function strange(what: string): PickleProblem {
  return new PickleProblem(what, "what torch.save writes");
}
