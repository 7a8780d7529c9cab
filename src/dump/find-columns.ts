/** Which of a schema's columns are the contract's, and whether they can hold what it says. */

import { Type } from "apache-arrow/fb/type";
import type { Field, Schema } from "./arrow-schema.ts";
import { describeColumn } from "./columns.ts";
import { COLUMNS, type ColumnKind, type ColumnName, isColumnName, STATISTICS } from "./contract.ts";
import type { DumpFile } from "./dump-file.ts";

/** The columns that a file has. */
export type Columns = Readonly<Partial<Record<ColumnName, Field>>>;

const ACCEPTED: Readonly<Record<ColumnKind, { types: readonly Type[]; words: string }>> = {
  text: { types: [Type.Utf8, Type.LargeUtf8, Type.Utf8View], words: "Utf8, LargeUtf8 or Utf8View" },
  integer: { types: [Type.Int], words: "an integer" },
  integers: { types: [Type.List, Type.LargeList], words: "a List or LargeList of integers" },
  bytes: {
    types: [Type.LargeBinary, Type.Binary, Type.BinaryView],
    words: "LargeBinary, Binary or BinaryView",
  },
  statistics: { types: [Type.Struct_], words: `a struct of ${STATISTICS.join(", ")}` },
};

/**
 * Finds the contract's columns by name; others are ignored.
 *
 * @throws NpuDiffError `dump-schema` where one is missing, there twice, or of a type that cannot hold it
 */
export function findColumns(file: DumpFile, schema: Schema): Columns {
  const columns: Partial<Record<ColumnName, Field>> = {};
  for (const field of schema.fields) {
    if (!isColumnName(field.name)) continue;
    if (columns[field.name] !== undefined) {
      throw file.fail("dump-schema", `${file.name} has a column twice`, {
        found: `two columns ${field.name}`,
        expected: "every column once",
      });
    }
    const { types, words } = ACCEPTED[COLUMNS[field.name].kind];
    if (field.dictionary || !types.includes(field.type) || !hasParts(field)) {
      throw file.fail("dump-schema", `${file.name} has a column of another type`, {
        found: describeColumn(field),
        expected: words,
      });
    }
    columns[field.name] = field;
  }
  for (const name of Object.keys(COLUMNS) as ColumnName[]) {
    if (columns[name] !== undefined || !COLUMNS[name].required) continue;
    throw file.fail("dump-schema", `${file.name} lacks the column ${name}`, {
      found: `the columns ${schema.fields.map((field) => field.name).join(", ")}`,
      expected: `a column ${name}`,
    });
  }
  return columns;
}

/** Whether a column's own parts are as its kind needs them. */
function hasParts(field: Field): boolean {
  switch (field.type) {
    case Type.Int:
      return isInteger(field);
    case Type.List:
    case Type.LargeList:
      return field.children.length === 1 && field.children.every(isInteger);
    case Type.Struct_:
      return STATISTICS.every((name, index) => {
        const parts = field.children.filter((child) => child.name === name);
        return parts.length === 1 && parts.every(index < 4 ? isReal : isInteger);
      });
    default:
      return true;
  }
}

function isInteger(field: Field): boolean {
  return field.type === Type.Int && !field.dictionary && [8, 16, 32, 64].includes(field.bits);
}

function isReal(field: Field): boolean {
  return field.type === Type.FloatingPoint && !field.dictionary && [32, 64].includes(field.bits);
}
