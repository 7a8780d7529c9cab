/**
 * The one ONNX model that is run: `y = x · wᵀ`, float32. Its protocol buffer is
 * put together here, so that no package writes it.
 */

const TEXT = new TextEncoder();

/** Wire types of protocol buffers. */
const VARINT = 0;
const LENGTH_DELIMITED = 2;

function varint(value: number): readonly number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}

function integer(field: number, value: number): readonly number[] {
  return [...varint((field << 3) | VARINT), ...varint(value)];
}

function message(field: number, ...parts: readonly (readonly number[])[]): readonly number[] {
  const body = parts.flat();
  return [...varint((field << 3) | LENGTH_DELIMITED), ...varint(body.length), ...body];
}

function text(field: number, value: string): readonly number[] {
  return message(field, [...TEXT.encode(value)]);
}

/** `ValueInfoProto` of a float32 tensor of any shape: its name, and a type that has the element type alone. */
function value(field: number, name: string): readonly number[] {
  const FLOAT = 1;
  return message(field, text(1, name), message(2, message(1, integer(1, FLOAT))));
}

/** IR 8 and operator set 13: what every version of the run time since 1.10 reads. */
const IR_VERSION = 8;
const OPERATOR_SET = 13;

/** `ModelProto` with inputs `x` [rows, width] and `w` [columns, width], and the output `y` [rows, columns]. */
export function gemmModel(): Uint8Array {
  const INT = 2;
  const transposed = message(5, text(1, "transB"), integer(3, 1), integer(20, INT));
  const gemm = message(1, text(1, "x"), text(1, "w"), text(2, "y"), text(4, "Gemm"), transposed);
  const graph = message(
    7,
    gemm,
    text(2, "lm_head"),
    value(11, "x"),
    value(11, "w"),
    value(12, "y"),
  );
  const operators = message(8, text(1, ""), integer(2, OPERATOR_SET));
  return Uint8Array.from([...integer(1, IR_VERSION), ...graph, ...operators]);
}
