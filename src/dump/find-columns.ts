/** Which of a schema's columns are the contract's, and whether they can hold what it says. */

import type { Field, Schema, TypeName } from "./arrow-schema.ts";
import { describeColumn } from "./columns.ts";
import { COLUMNS, type ColumnKind, type ColumnName, isColumnName, STATISTICS } from "./contract.ts";
import type { DumpFile } from "./dump-file.ts";

/** The columns that a file has. */
export type Columns = Readonly<Partial<Record<ColumnName, Field>>>;

const ACCEPTED: Readonly<Record<ColumnKind, { types: readonly TypeName[]; words: string }>> = {
  text: { types: ["Utf8", "LargeUtf8", "Utf8View"], words: "Utf8, LargeUtf8 or Utf8View" },
  integer: { types: ["Int"], words: "an integer" },
  integers: { types: ["List", "LargeList"], words: "a List or LargeList of integers" },
  bytes: {
    types: ["LargeBinary", "Binary", "BinaryView"],
    words: "LargeBinary, Binary or BinaryView",
  },
  statistics: { types: ["Struct_"], words: `a struct of ${STATISTICS.join(", ")}` },
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
  const { type, children } = field;
  if (type === "Int") return isInteger(field);
  if (type === "List" || type === "LargeList") {
    return children.length === 1 && children.every(isInteger);
  }
  if (type !== "Struct_") return true;
  return STATISTICS.every((name, index) => {
    const parts = children.filter((child) => child.name === name);
    return parts.length === 1 && parts.every(index < 4 ? isReal : isInteger);
  });
}

function isInteger(field: Field): boolean {
  return field.type === "Int" && !field.dictionary && [8, 16, 32, 64].includes(field.bits);
}

function isReal(field: Field): boolean {
  return field.type === "FloatingPoint" && !field.dictionary && [32, 64].includes(field.bits);
}
