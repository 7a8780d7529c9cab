/** JSON, and JSON with comments, with the line of everything. */

import {
  createScanner,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
} from "jsonc-parser";
import {
  Lines,
  lineCounter,
  MAX_DEPTH,
  objectOf,
  type TextFault,
  type Tree,
  type Value,
} from "./tree.ts";

// Numbers of the parser's own `SyntaxKind`, which is a const enum of its declarations.
const OPENS: ReadonlySet<number> = new Set([1, 3]);
const CLOSES: ReadonlySet<number> = new Set([2, 4]);
const END = 17;

/**
 * @param comments whether comments and commas at the end of lists are allowed.
 */
export function parseJson(
  text: string,
  { comments }: { readonly comments: boolean },
): Tree | TextFault {
  const lineAt = lineCounter(text);
  const deep = tooDeep(text);
  if (deep !== null) {
    return { line: lineAt(deep), found: `nesting deeper than ${MAX_DEPTH}`, expected: "less" };
  }
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, {
    disallowComments: !comments,
    allowTrailingComma: comments,
    allowEmptyContent: false,
  });
  const [error] = errors;
  if (error !== undefined || root === undefined) {
    return {
      line: lineAt(error?.offset ?? 0),
      found: error === undefined ? "nothing" : wordsOf(printParseErrorCode(error.error)),
      expected: comments ? "JSON, with comments at will" : "JSON without comments",
    };
  }
  const lines = new Lines();
  const faults: TextFault[] = [];
  const walk = (node: Node, path: readonly (string | number)[]): Value => {
    lines.set(path, lineAt(node.offset));
    const { children = [] } = node;
    if (node.type === "array") return children.map((child, index) => walk(child, [...path, index]));
    if (node.type !== "object") return node.value as Value;
    const entries: (readonly [string, Value])[] = [];
    const seen = new Set<string>();
    for (const { children: [key, value] = [] } of children) {
      if (key === undefined || value === undefined) continue;
      const name = String(key.value);
      if (seen.has(name)) {
        faults.push({
          line: lineAt(key.offset),
          found: `the key ${JSON.stringify(name)} twice`,
          expected: "each key once",
        });
      }
      seen.add(name);
      entries.push([name, walk(value, [...path, name])]);
      // Where a key is at fault, its own line says more than that of its value.
      lines.set([...path, name], lineAt(key.offset));
    }
    return objectOf(entries);
  };
  const value = walk(root, []);
  return faults[0] ?? { value, lineOf: (path) => lines.of(path) };
}

/** Offset of the first bracket that nests too deep; null where none does. */
function tooDeep(text: string): number | null {
  const scanner = createScanner(text, true);
  let depth = 0;
  for (let token: number = scanner.scan(); token !== END; token = scanner.scan()) {
    if (OPENS.has(token)) depth += 1;
    else if (CLOSES.has(token)) depth -= 1;
    if (depth > MAX_DEPTH) return scanner.getTokenOffset();
  }
  return null;
}

/** `CommaExpected` as `comma expected`. */
function wordsOf(code: string): string {
  return code.replaceAll(/(?<=.)([A-Z])/g, " $1").toLowerCase();
}
